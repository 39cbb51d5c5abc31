"""rule compare_stopping: is the best model by the validation set a better one than the last?"""

from pathlib import Path

from quasarcurves.analysis import stopping as compared
from quasarcurves.steps import scoring
from scripts import adapter
from scripts.adapter import Input, Output


def compare_stopping(
    *,
    folder: Path,
    subsets: list[str],
    optimizers: list[str],
    absent: list[str],
    spectra: Input,
    task: dict,
    words: dict,
    stopping: Output,
) -> None:
    """Compare the final and the best model of every run on the test set."""
    predictions = (folder / name / "predictions.h5" for name in adapter.run_names(subsets, optimizers, absent))
    compared.write(predictions, spectra, stopping, scoring.scorer(task, words))


if __name__ == "__main__":
    adapter.main(compare_stopping)
