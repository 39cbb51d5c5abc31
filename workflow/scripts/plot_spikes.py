"""rule plot_spikes: the loss of one optimizer with the spikes that were found, and the highest one step by step."""

from quasarcurves.analysis import tables
from quasarcurves.figures import detected_spikes
from quasarcurves.figures.style import save
from scripts import adapter
from scripts.adapter import Input, Output


def plot_spikes(*, histories: Input, spikes: Input, optimizer: str, style: dict, figures: list[Output]) -> None:
    """Draw the spikes of one optimizer for every fraction."""
    runs = tables.by_run(histories, optimizer=optimizer)
    save(detected_spikes.draw(runs, tables.read(spikes), **style), figures)


if __name__ == "__main__":
    adapter.main(plot_spikes)
