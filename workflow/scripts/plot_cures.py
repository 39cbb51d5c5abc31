"""rule plot_cures: rate of spikes against final losses, a point per optimizer."""

from quasarcurves.figures import cures as figure
from quasarcurves.figures.style import save
from scripts import adapter
from scripts.adapter import Input, Output


def plot_cures(*, cures: Input, figures: list[Output]) -> None:
    """Draw what each optimizer cures, and its price."""
    save(figure.draw(figure.load(cures)), figures)


if __name__ == "__main__":
    adapter.main(plot_cures)
