"""rule plot_fractions: loss against epoch, one curve per training-set size, for one optimizer."""

from pathlib import Path

from quasarcurves.analysis import tables
from quasarcurves.figures import loss_by_fraction, style
from scripts import adapter


def plot_fractions(*, epochs: Path, runs: Path, optimizer: str, figures: list[Path]) -> None:
    """Draw the loss of one optimizer for every fraction."""
    figure = loss_by_fraction.draw(tables.read(epochs), tables.read(runs), optimizer)
    style.save(figure, figures)


if __name__ == "__main__":
    adapter.main(plot_fractions)
