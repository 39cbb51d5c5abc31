"""rule plot_optimizers: loss against epoch, one curve per optimizer, a panel per training-set size."""

from pathlib import Path

from quasarcurves.analysis import tables
from quasarcurves.figures import loss_by_optimizer, style
from scripts import adapter


def plot_optimizers(*, epochs: Path, runs: Path, figures: list[Path]) -> None:
    """Draw the losses of all optimizers side by side."""
    style.save(loss_by_optimizer.draw(tables.read(epochs), tables.read(runs)), figures)


if __name__ == "__main__":
    adapter.main(plot_optimizers)
