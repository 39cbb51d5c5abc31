"""rule evaluate: what one run's models say of the test set."""

from quasarcurves.quasarnet.settings import EvaluationSettings
from quasarcurves.steps.evaluation import evaluate as apply_models
from scripts import adapter
from scripts.adapter import Input, Output


def evaluate(
    *,
    spectra: Input,
    subset: Input,
    model: Input,
    best: Input,
    snapshots: list[Input],
    run: dict,
    predictions: Output,
) -> None:
    """Apply the final and the best model to the test set, and the snapshots if there are some."""
    models = {"final": model, "best": best}
    apply_models(spectra, subset, EvaluationSettings.from_json(run), models, predictions, next(iter(snapshots), None))


if __name__ == "__main__":
    adapter.main(evaluate)
