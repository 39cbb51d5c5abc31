"""rule measure_calibration: how far the confidences of all models are from probabilities, and what makes them some."""

from pathlib import Path

from quasarcurves.quasarnet.analysis import calibrate
from scripts import adapter
from scripts.adapter import Input, Output


def measure_calibration(
    *,
    folder: Path,
    subsets: list[str],
    optimizers: list[str],
    absent: list[str],
    spectra: Input,
    runs: Input,
    calibration: Output,
    reliability: Output,
    scalings: Output,
) -> None:
    """Write the tables of calibration, and the scalings."""
    predictions = (folder / name / "predictions.h5" for name in adapter.run_names(subsets, optimizers, absent))
    calibrate.write(predictions, spectra, runs, calibration, reliability, scalings)


if __name__ == "__main__":
    adapter.main(measure_calibration)
