"""rules train and train_pack: history, final and best model of one run, or of several that are trained together."""

import os
from itertools import zip_longest
from pathlib import Path

from quasarcurves.provenance.receipts import recorded
from quasarcurves.training import keras_import
from quasarcurves.training.gpus import own_gpu
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import StateSettings
from scripts import adapter
from scripts.adapter import Each, Input, Output

keras_import.import_keras()

# after the line above: all of these import Keras
from quasarcurves.steps.training import Job, state_key, train_runs, use_threads  # noqa: E402


def train(
    *,
    spectra: Input,
    subset: Each[Input],
    receipts: list[Path],
    shared: dict,
    run: Each[dict],
    settings: dict,
    code: str,
    threads: int,
    state: Each[Path],
    history: Each[Output],
    model: Each[Output],
    best: Each[Output],
    matched: Each[Input],
    snapshots: Each[Output],
) -> None:
    """Train one model or several; `shared` holds what is the same for all of `run`."""
    # the run that one is held to is given by its settings, which `shared` holds: it may be longer by now
    known, runs = recorded(receipts), [RunSettings.from_json(shared | own) for own in run]
    jobs = [
        Job(each, state_key(each, [known[str(spectra)], known[str(rows)]], code), rows, *files)
        for each, rows, *files in zip_longest(runs, subset, state, history, model, best, matched, snapshots)
    ]
    # SLURM starts a job again when the one before is over for it, whether its processes live or not
    in_job = "SLURM_JOB_ID" in os.environ
    with own_gpu():
        use_threads(threads)
        train_runs(spectra, jobs, StateSettings(**settings), take_over=in_job)


if __name__ == "__main__":
    adapter.main(train)
