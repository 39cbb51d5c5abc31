"""rule train: one run's history, final and best model."""

import os
from pathlib import Path

from quasarcurves import lean
from quasarcurves.receipts import made
from quasarcurves.training.gpus import own_gpu
from scripts import adapter
from scripts.adapter import Input, Output

lean.import_keras()

# after the line above: all of these import Keras
from quasarcurves.runs import state_key, train_run, use_threads  # noqa: E402


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
    matched: list[Input],
    snapshots: list[Output],
) -> None:
    """Train one model."""
    # the run that this one is held to is given by its settings, which `run` holds: it may be longer by now
    data = [value for path, value in made(receipts).items() if path in (str(spectra), str(subset))]
    key = state_key(run, data, code)
    files = {"spectra": spectra, "subset": subset, "state": state, "history": history, "model": model, "best": best}
    optional = {"matched": next(iter(matched), None), "snapshots_file": next(iter(snapshots), None)}
    # SLURM starts a job again when the one before is over for it, whether its processes live or not
    in_job = "SLURM_JOB_ID" in os.environ
    with own_gpu():
        use_threads(threads)
        train_run(params=run, key=key, settings=settings, take_over=in_job, **optional, **files)


if __name__ == "__main__":
    adapter.main(train)
