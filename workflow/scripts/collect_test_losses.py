"""rule collect_test_losses: the test loss of every run's models."""

from pathlib import Path

from quasarcurves.analysis.histories import write_test_losses
from scripts import adapter
from scripts.adapter import Output


def collect_test_losses(
    *, folder: Path, subsets: list[str], optimizers: list[str], absent: list[str], test_losses: Output
) -> None:
    """Collect the test losses of a study."""
    names = adapter.run_names(subsets, optimizers, absent)
    write_test_losses((folder / name / "predictions.h5" for name in names), test_losses)


if __name__ == "__main__":
    adapter.main(collect_test_losses)
