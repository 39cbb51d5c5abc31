"""A training of seconds, with what a replay of it reads."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra import sources
from quasarcurves.spectra.subsets import Subset
from quasarcurves.steps.replay import ReplayJob
from quasarcurves.steps.training import Job, train_runs
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import ReplaySettings, StateSettings, TrainingSettings

REPLAYS = ReplaySettings(10, 2, (), False, ("as_it_is", "step_x0.5", "adam"), 2, 40)
"""Forks at steps 10, 20 and 30 of the 40."""


@dataclass(frozen=True)
class Trained:
    """A run with its files."""

    folder: Path
    run: RunSettings
    history: Path

    def job(self, state: Path, settings: ReplaySettings = REPLAYS, group: int = 0, groups: int = 1) -> ReplayJob:
        """Return the job of replaying it."""
        files = (self.folder / "spectra.h5", self.folder / "subset.h5", self.history)
        return ReplayJob(self.run, settings, group, groups, "key", *files, matched=None, state=state)


def train(folder: Path, backend: str = "tensorflow", pack: bool = False) -> Trained:
    """Train on 70 spectra in batches of 16, the last of an epoch not whole, for 8 epochs."""
    sources.read({"source": "simulated", "n_spectra": 90, "seed": 3}).save(folder / "spectra.h5")
    rows = np.arange(90, dtype=np.uint32)
    Subset(rows[5:75], rows[:0], rows[75:]).save(folder / "subset.h5")
    run = RunSettings(
        study="s",
        seed=3,
        fraction=0.8,
        replicate=0,
        optimizer="adam",
        optimizer_spec={"class": "Adam", "learning_rate": 1e-2},
        network=NetworkSettings(4, 4, 13, ("LYA", "CIV(1548)"), ()).to_json(),
        training=TrainingSettings(epochs=8, batch_size=16, backend=backend, pack=pack),
    )
    files = [folder / name for name in ("history.h5", "model.keras", "best.keras")]
    job = Job(run, "key", folder / "subset.h5", folder / "state" / "f0.8_r0" / "adam", *files)
    train_runs(folder / "spectra.h5", [job], StateSettings(100, False))
    return Trained(folder, run, files[0])
