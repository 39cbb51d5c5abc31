"""rule plot_purity_completeness: purity and completeness against threshold, and the errors of redshifts."""

from quasarcurves.figures import purity_completeness as figure
from quasarcurves.figures.style import save
from scripts import adapter
from scripts.adapter import Input, Output


def plot_purity_completeness(
    *, metrics: Input, test_metrics: Input, dv_histogram: Input, optimizer: str, style: dict, figures: list[Output]
) -> None:
    """Draw what the models of one optimizer are worth on the test set."""
    tables = (figure.load(path, optimizer, style["model"]) for path in (metrics, test_metrics, dv_histogram))
    save(figure.draw(*tables, **style), figures)


if __name__ == "__main__":
    adapter.main(plot_purity_completeness)
