"""rule collect_histories: all runs in one file, and as tables."""

from itertools import product
from pathlib import Path

from quasarcurves.training.history import collect
from scripts import adapter
from scripts.adapter import Output


def collect_histories(
    *,
    runs: Path,
    subsets: list[str],
    optimizers: list[str],
    histories: Output,
    epochs: Output,
    summary: Output,
) -> None:
    """Collect the histories of a study."""
    names = ["/".join(key) for key in product(subsets, optimizers)]
    collect(((name, runs / name / "history.h5") for name in names), histories)
    histories.write_epochs(histories, epochs)
    histories.write_runs(histories, summary)


if __name__ == "__main__":
    adapter.main(collect_histories)
