"""rule collect_histories: all runs in one file, and as tables."""

from pathlib import Path

from quasarcurves.analysis.histories import write_epochs, write_runs
from quasarcurves.training.history import collect
from scripts import adapter
from scripts.adapter import Output


def collect_histories(
    *,
    folder: Path,
    subsets: list[str],
    optimizers: list[str],
    absent: list[str],
    histories: Output,
    epochs: Output,
    runs: Output,
) -> None:
    """Collect the histories of a study, whose runs lie in `folder`."""
    names = adapter.run_names(subsets, optimizers, absent)
    collect(((name, folder / name / "history.h5") for name in names), histories)
    write_epochs(histories, epochs)
    write_runs(histories, runs)


if __name__ == "__main__":
    adapter.main(collect_histories)
