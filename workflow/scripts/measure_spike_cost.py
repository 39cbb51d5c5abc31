"""rule measure_spike_cost: what models from before, in and after spikes are worth on the test set."""

from pathlib import Path

from quasarcurves.analysis.spike_cost import write
from quasarcurves.steps import scoring
from scripts import adapter
from scripts.adapter import Input, Output


def measure_spike_cost(
    *,
    folder: Path,
    subsets: list[str],
    optimizers: list[str],
    absent: list[str],
    spectra: Input,
    task: dict,
    words: dict,
    spike_cost: Output,
    spike_cost_summary: Output,
) -> None:
    """Compare the models that were kept from before spikes and from their peaks."""
    predictions = (folder / name / "predictions.h5" for name in adapter.run_names(subsets, optimizers, absent))
    write(predictions, spectra, spike_cost, spike_cost_summary, scoring.scorer(task, words))


if __name__ == "__main__":
    adapter.main(measure_spike_cost)
