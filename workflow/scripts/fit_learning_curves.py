"""rule fit_learning_curves: how much training data is enough."""

from quasarcurves.analysis.enough_data import write
from quasarcurves.analysis.learning_curve.collection import Costs
from quasarcurves.steps import describing
from scripts import adapter
from scripts.adapter import Input, Output


def fit_learning_curves(
    *,
    runs: Input,
    test_losses: Input,
    test_metrics: Input,
    convergence: Input,
    targets: dict,
    costs: dict,
    words: dict,
    learning_curve: Output,
    learning_curve_errors: Output,
    learning_curve_bands: Output,
) -> None:
    """Fit the learning curves of a study."""
    tables = learning_curve, learning_curve_errors, learning_curve_bands
    priced = Costs(**costs) if costs else None
    description = describing.description(words)
    write(runs, test_losses, test_metrics, convergence, targets, priced, *tables, description=description)


if __name__ == "__main__":
    adapter.main(fit_learning_curves)
