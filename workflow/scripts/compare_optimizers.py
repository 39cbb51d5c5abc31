"""rule compare_optimizers: what removes the spikes, and at what price."""

from pathlib import Path

from quasarcurves.analysis import cures as compared
from quasarcurves.steps import scoring
from scripts import adapter
from scripts.adapter import Input, Output


def compare_optimizers(
    *,
    folder: Path,
    subsets: list[str],
    optimizers: list[str],
    absent: list[str],
    histories: Input,
    spike_statistics: Input,
    test_losses: Input,
    spectra: Input,
    reference: str,
    task: dict,
    words: dict,
    cures: Output,
    cures_overall: Output,
) -> None:
    """Compare every optimizer of a study with a reference."""
    predictions = (folder / name / "predictions.h5" for name in adapter.run_names(subsets, optimizers, absent))
    tested = predictions, spectra, scoring.scorer(task, words)
    compared.write(histories, spike_statistics, test_losses, reference, cures, cures_overall, *tested)


if __name__ == "__main__":
    adapter.main(compare_optimizers)
