"""rule plot_aligned: averages of the measures of steps around the onsets of spikes, for one optimizer."""

from quasarcurves.analysis import tables
from quasarcurves.figures import aligned as figure
from quasarcurves.figures.style import save
from scripts import adapter
from scripts.adapter import Input, Output


def plot_aligned(*, aligned: Input, optimizer: str, figures: list[Output]) -> None:
    """Draw the event-aligned averages of one optimizer."""
    save(figure.draw(tables.read(aligned), optimizer), figures)


if __name__ == "__main__":
    adapter.main(plot_aligned)
