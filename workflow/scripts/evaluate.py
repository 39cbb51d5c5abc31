"""rule evaluate: what one run's models say of the test set."""

from quasarcurves.steps.evaluation import evaluate as apply_models
from quasarcurves.training.run_settings import EvaluationSettings
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
    threads: int,
    predictions: Output,
) -> None:
    """Apply the final and the best model to the test set, and the snapshots if there are some."""
    models = {"final": model, "best": best}
    how, taken = EvaluationSettings.from_json(run), next(iter(snapshots), None)
    apply_models(spectra, subset, how, models, predictions, taken, threads)


if __name__ == "__main__":
    adapter.main(evaluate)
