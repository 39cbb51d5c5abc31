"""rule choose_examples: the errors of all models on the test set, and the worst spectra of each kind."""

from pathlib import Path

from quasarcurves.quasarnet.analysis import gallery
from scripts import adapter
from scripts.adapter import Input, Output


def choose_examples(
    *,
    folder: Path,
    subsets: list[str],
    optimizers: list[str],
    absent: list[str],
    spectra: Input,
    examples: Output,
    confusion: Output,
    error_counts: Output,
    redshift_counts: Output,
) -> None:
    """Write the tables of the errors on the test set."""
    predictions = (folder / name / "predictions.h5" for name in adapter.run_names(subsets, optimizers, absent))
    gallery.write(predictions, spectra, examples, confusion, error_counts, redshift_counts)


if __name__ == "__main__":
    adapter.main(choose_examples)
