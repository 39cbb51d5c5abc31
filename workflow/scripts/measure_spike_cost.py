"""rule measure_spike_cost: what models from before, in and after spikes are worth on the test set."""

from itertools import product
from pathlib import Path

from quasarcurves.analysis import spike_cost
from scripts import adapter
from scripts.adapter import Input, Output


def measure_spike_cost(
    *, runs: Path, subsets: list[str], optimizers: list[str], spectra: Input, costs: Output, summary: Output
) -> None:
    """Compare the models that were kept from before spikes and from their peaks."""
    predictions = (runs / subset / optimizer / "predictions.h5" for subset, optimizer in product(subsets, optimizers))
    spike_cost.write(predictions, spectra, costs, summary)


if __name__ == "__main__":
    adapter.main(measure_spike_cost)
