"""rule compare_optimizers: what removes the spikes, and at what price."""

from quasarcurves.analysis import cures as compared
from scripts import adapter
from scripts.adapter import Input, Output


def compare_optimizers(
    *, histories: Input, spike_statistics: Input, test_losses: Input, reference: str, cures: Output
) -> None:
    """Compare every optimizer of a study with a reference."""
    compared.write(histories, spike_statistics, test_losses, reference, cures)


if __name__ == "__main__":
    adapter.main(compare_optimizers)
