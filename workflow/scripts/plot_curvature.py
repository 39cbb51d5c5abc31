"""rule plot_curvature: curvature over the steps of one replicate, a panel per optimizer, for one fraction."""

from quasarcurves.analysis import tables
from quasarcurves.figures import curvature
from quasarcurves.figures.style import save
from scripts import adapter
from scripts.adapter import Input, Output


def plot_curvature(*, histories: Input, spikes: Input, fraction: float, figures: list[Output]) -> None:
    """Draw curvatures against the stability threshold."""
    runs = tables.by_run(histories, fraction=fraction, replicate=0)
    save(curvature.draw(runs, tables.read(spikes)), figures)


if __name__ == "__main__":
    adapter.main(plot_curvature)
