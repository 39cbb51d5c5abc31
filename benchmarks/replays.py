"""What a step of a replay costs, in steps of the training itself: side by side in one process, on one thread.

`python benchmarks/replays.py` prints a row per arm: processor time per step of the arm's replays, with the state put
back, the arm's change and its batches made, over that of the training's own steps taken in turns with it. An arm with
batches of another size is timed per step of the training's own size. What compiles is not counted: all forks share it.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from quasarcurves.training import keras_import

keras_import.import_keras()

# after the line above: all of these import Keras
from quasarcurves.quasarnet.settings import NetworkSettings  # noqa: E402
from quasarcurves.spectra import sources  # noqa: E402
from quasarcurves.spectra.subsets import Subset  # noqa: E402
from quasarcurves.steps.arms import ARMS  # noqa: E402
from quasarcurves.steps.replay import Replayer, ReplayJob  # noqa: E402
from quasarcurves.steps.training import Job, train_runs, use_threads  # noqa: E402
from quasarcurves.training.history import History  # noqa: E402
from quasarcurves.training.run_settings import RunSettings  # noqa: E402
from quasarcurves.training.settings import ReplaySettings, StateSettings, TrainingSettings  # noqa: E402

N, STEPS, TURNS = 512, 256, 5
LINES = ("LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha")


def job_in(folder: Path) -> ReplayJob:
    """Train a network for a few epochs, and return the job of replaying it at one fork."""
    sources.read({"source": "simulated", "n_spectra": N, "seed": 1}).save(folder / "spectra.h5")
    rows = np.arange(N, dtype=np.uint32)
    Subset(rows, rows[:0], rows[:0]).save(folder / "subset.h5")
    run = RunSettings(
        study="benchmark",
        seed=1,
        fraction=1.0,
        replicate=0,
        optimizer="adam",
        optimizer_spec={"class": "Adam", "learning_rate": 1e-3},
        network=NetworkSettings(16, 4, 13, LINES, ("CIV(1548)",)).to_json(),
        training=TrainingSettings(epochs=4, batch_size=32),
    )
    files = [folder / name for name in ("history.h5", "model.keras", "best.keras")]
    train_runs(
        folder / "spectra.h5",
        [Job(run, "key", folder / "subset.h5", folder / "state", *files)],
        StateSettings(99, False),
    )
    settings = ReplaySettings(32, 1, (), False, tuple(ARMS), 1, STEPS)
    return ReplayJob(
        run, settings, 0, 1, "key", folder / "spectra.h5", folder / "subset.h5", files[0], None, folder / "r"
    )


def measure(arms: list[str]) -> list[dict[str, object]]:
    """Return a row per arm."""
    with tempfile.TemporaryDirectory() as name:
        job = job_in(Path(name))
        replayer = Replayer(job, History.load(job.history), lambda: None)
        fork, state = replayer.arrive(32)
        return [measured(replayer, arm, fork, state) for arm in arms]


def measured(replayer: Replayer, arm: str, fork: object, state: object) -> dict[str, object]:
    """Time an arm and the training in turns; the first turn compiles."""
    times: list[tuple[float, float]] = []
    note = ""
    for _ in range(TURNS + 1):
        start = time.process_time()
        row = next(iter(replayer.rows(arm, fork, state)))
        middle = time.process_time()
        for batches in replayer.course.own_batches(0, STEPS):
            replayer.course.losses(batches)
        times.append((middle - start, time.process_time() - middle))
        note = row["note"]
    replay, training = np.median(times[1:], axis=0)
    known = {"arm": arm, "training_ms": round(1e3 * training / STEPS, 2)}
    return known | ({"ratio": "", "note": note} if note else {"ratio": round(replay / training, 2), "note": ""})


if __name__ == "__main__":
    use_threads(1)
    table = csv.DictWriter(sys.stdout, ("arm", "training_ms", "ratio", "note"))
    table.writeheader()
    for each in measure(sys.argv[1:] or list(ARMS)):
        table.writerow(each)
