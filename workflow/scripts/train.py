"""rule train: one run's history, final and best model."""

from pathlib import Path

from quasarcurves.receipts import made
from quasarcurves.runs import state_key, train_run, use_threads
from scripts import adapter
from scripts.adapter import Input, Output


def train(
    *,
    spectra: Input,
    subset: Input,
    receipts: list[Path],
    run: dict,
    settings: dict,
    code: str,
    threads: int,
    state: Path,
    history: Output,
    model: Output,
    best: Output,
) -> None:
    """Train one model."""
    use_threads(threads)
    key = state_key(run, made(receipts).values(), code)
    files = {"spectra": spectra, "subset": subset, "state": state, "history": history, "model": model, "best": best}
    train_run(params=run, key=key, settings=settings, **files)


if __name__ == "__main__":
    adapter.main(train)
