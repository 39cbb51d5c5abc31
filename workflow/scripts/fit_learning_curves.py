"""rule fit_learning_curves: how much training data is enough."""

from quasarcurves.analysis import enough_data
from scripts import adapter
from scripts.adapter import Input, Output


def fit_learning_curves(
    *,
    runs: Input,
    test_losses: Input,
    test_metrics: Input,
    targets: dict,
    curves: Output,
    errors: Output,
    bands: Output,
    answer: Output,
) -> None:
    """Fit the learning curves of a study."""
    enough_data.write(runs, test_losses, test_metrics, targets, curves, errors, bands, answer)


if __name__ == "__main__":
    adapter.main(fit_learning_curves)
