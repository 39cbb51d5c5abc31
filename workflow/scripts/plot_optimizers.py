"""rule plot_optimizers: loss against epoch, one curve per optimizer, a panel per training-set size."""

from quasarcurves.analysis import tables
from quasarcurves.figures import loss_by_optimizer
from quasarcurves.figures.style import save
from scripts import adapter
from scripts.adapter import Input, Output


def plot_optimizers(*, epochs: Input, runs: Input, style: dict, figures: list[Output]) -> None:
    """Draw the losses of all optimizers side by side."""
    save(loss_by_optimizer.draw(tables.read(epochs, tables.LOSS_COLUMNS), tables.read(runs), **style), figures)


if __name__ == "__main__":
    adapter.main(plot_optimizers)
