"""rule plot_learning_curves: test errors against the number of training spectra, with curves and targets."""

from quasarcurves.analysis import tables
from quasarcurves.figures import learning_curve
from quasarcurves.figures.style import save
from scripts import adapter
from scripts.adapter import Input, Output


def plot_learning_curves(*, curves: Input, errors: Input, bands: Input, figures: list[Output]) -> None:
    """Draw the learning curves of a study."""
    save(learning_curve.draw(*(tables.read(path) for path in (curves, errors, bands))), figures)


if __name__ == "__main__":
    adapter.main(plot_learning_curves)
