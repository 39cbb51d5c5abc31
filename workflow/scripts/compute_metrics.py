"""rule compute_metrics: what the models of all runs are worth on the test set."""

from pathlib import Path

from quasarcurves.analysis.metrics import own_table
from quasarcurves.quasarnet.analysis import tabulate
from quasarcurves.steps import scoring
from scripts import adapter
from scripts.adapter import Input, Output


def compute_metrics(
    *,
    folder: Path,
    subsets: list[str],
    optimizers: list[str],
    absent: list[str],
    spectra: Input,
    runs: Input,
    task: dict,
    words: dict,
    metrics: list[Output],
    test_metrics: Output,
    test_summary: list[Output],
    dv_histogram: list[Output],
) -> None:
    """Score the final and the best model of every run."""
    predictions = (folder / name / "predictions.h5" for name in adapter.run_names(subsets, optimizers, absent))
    if task:
        own_table.write(predictions, spectra, runs, scoring.scorer(task, words), test_metrics)
    else:
        tabulate.write(predictions, spectra, runs, *metrics, test_metrics, *test_summary, *dv_histogram)


if __name__ == "__main__":
    adapter.main(compute_metrics)
