"""rule locate_errors: at which redshifts, where within a box and among which fibres models are wrong."""

from pathlib import Path

from quasarcurves.quasarnet.analysis import locate
from scripts import adapter
from scripts.adapter import Input, Output


def locate_errors(
    *,
    folder: Path,
    subsets: list[str],
    optimizers: list[str],
    absent: list[str],
    spectra: Input,
    runs: Input,
    errors_by_redshift: Output,
    redshift_wiggles: Output,
    false_positives: Output,
) -> None:
    """Write the tables of where the errors on the test set are."""
    names = adapter.run_names(subsets, optimizers, absent)
    predictions = [folder / name / "predictions.h5" for name in names]
    locate.write(predictions, spectra, runs, errors_by_redshift, redshift_wiggles, false_positives)


if __name__ == "__main__":
    adapter.main(locate_errors)
