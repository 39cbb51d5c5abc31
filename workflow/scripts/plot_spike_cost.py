"""rule plot_spike_cost: test loss and completeness before spikes, at their peaks and at the end."""

from quasarcurves.analysis import tables
from quasarcurves.figures import spike_cost
from quasarcurves.figures.style import save
from scripts import adapter
from scripts.adapter import Input, Output


def plot_spike_cost(*, costs: Input, summary: Input, figures: list[Output]) -> None:
    """Draw what spikes cost."""
    save(spike_cost.draw(tables.read(costs), tables.read(summary)), figures)


if __name__ == "__main__":
    adapter.main(plot_spike_cost)
