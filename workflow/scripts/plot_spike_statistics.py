"""rule plot_spike_statistics: rate, height and duration of spikes against the number of training spectra."""

from quasarcurves.analysis import tables
from quasarcurves.figures import spike_statistics
from quasarcurves.figures.style import save
from scripts import adapter
from scripts.adapter import Input, Output


def plot_spike_statistics(*, statistics: Input, style: dict, figures: list[Output]) -> None:
    """Draw the statistics of the spikes of every run."""
    save(spike_statistics.draw(tables.read(statistics), **style), figures)


if __name__ == "__main__":
    adapter.main(plot_spike_statistics)
