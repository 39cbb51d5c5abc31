"""rule compare_optimizers: what removes the spikes, and at what price."""

from itertools import product
from pathlib import Path

from quasarcurves.analysis import cures as compared
from scripts import adapter
from scripts.adapter import Input, Output


def compare_optimizers(
    *,
    folder: Path,
    subsets: list[str],
    optimizers: list[str],
    histories: Input,
    spike_statistics: Input,
    test_losses: Input,
    spectra: Input,
    reference: str,
    cures: Output,
    cures_overall: Output,
) -> None:
    """Compare every optimizer of a study with a reference."""
    predictions = (folder / subset / optimizer / "predictions.h5" for subset, optimizer in product(subsets, optimizers))
    compared.write(histories, spike_statistics, test_losses, reference, cures, cures_overall, predictions, spectra)


if __name__ == "__main__":
    adapter.main(compare_optimizers)
