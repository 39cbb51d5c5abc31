"""rule plot_fractions: loss against epoch, one curve per training-set size, for one optimizer."""

from quasarcurves.analysis import tables
from quasarcurves.figures import loss_by_fraction
from quasarcurves.figures.style import save
from scripts import adapter
from scripts.adapter import Input, Output


def plot_fractions(*, epochs: Input, runs: Input, optimizer: str, style: dict, figures: list[Output]) -> None:
    """Draw the loss of one optimizer for every fraction."""
    figure = loss_by_fraction.draw(tables.read(epochs, tables.LOSS_COLUMNS), tables.read(runs), optimizer, **style)
    save(figure, figures)


if __name__ == "__main__":
    adapter.main(plot_fractions)
