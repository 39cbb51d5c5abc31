"""rule choose_worst_examples: the test examples of a task file on which models have the largest loss."""

from pathlib import Path

from quasarcurves.analysis.metrics import worst
from scripts import adapter
from scripts.adapter import Input, Output


def choose_worst_examples(
    *,
    folder: Path,
    subsets: list[str],
    optimizers: list[str],
    absent: list[str],
    spectra: Input,
    worst_examples: Output,
    worst_arrays: Output,
) -> None:
    """Write the examples of the largest loss, and what there is of them to draw."""
    predictions = (folder / name / "predictions.h5" for name in adapter.run_names(subsets, optimizers, absent))
    worst.write(predictions, spectra, worst_examples, worst_arrays)


if __name__ == "__main__":
    adapter.main(choose_worst_examples)
