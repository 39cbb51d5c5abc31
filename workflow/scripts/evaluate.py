"""rule evaluate: what one run's models say of the test set."""

from quasarcurves.evaluation import evaluate as apply_models
from quasarcurves.runs import use_threads
from scripts import adapter
from scripts.adapter import Input, Output


def evaluate(
    *, spectra: Input, subset: Input, model: Input, best: Input, run: dict, threads: int, predictions: Output
) -> None:
    """Apply the final and the best model to the test set."""
    use_threads(threads)
    apply_models(spectra, subset, run, {"final": model, "best": best}, predictions)


if __name__ == "__main__":
    adapter.main(evaluate)
