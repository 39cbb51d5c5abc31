"""rule train: one run's history, final and best model."""

from pathlib import Path

from quasarcurves.runs import train_run, use_threads
from scripts import adapter


def train(
    *,
    spectra: Path,
    subset: Path,
    run: dict,
    threads: int,
    history: Path,
    model: Path,
    best: Path,
    state: Path,
) -> None:
    """Train one model."""
    use_threads(threads)
    train_run(spectra, subset, run, history, model, best, state)


if __name__ == "__main__":
    adapter.main(train)
