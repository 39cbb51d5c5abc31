"""Sustained spikes of one run, step by step: what the steps of a rise are like, and which examples carry it.

The training is gone through again, and its losses are compared with its record on the way and afterwards: looking
closely must not change it. Offsets count from the onset, the first step of the growth (`spikes.splitting`): at offset 0
a measure is of the weights that the batch of that step meets, before they are updated.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves import tasks
from quasarcurves.analysis import tables
from quasarcurves.analysis.replays import carriers, forks
from quasarcurves.spectra.subsets import Subset
from quasarcurves.steps.build import build_curvature, build_trainer
from quasarcurves.training import backends
from quasarcurves.training.history import History
from quasarcurves.training.replays import Course, example_losses
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import CurvatureSettings
from quasarcurves.training.signals import StopSignals

FIRST, LAST = -100, 20
"""Offsets of the steps that are measured."""

BEFORE = 32
"""Steps before the onset at which the loss of each example is that before the rise."""

LISTED = 20
"""Examples listed of a spike."""

_PROBE, _BATCHES = 256, 8
"""Examples of the probe, and batches that the batch sharpness is of."""

_CHECKED = 64
"""Steps after the last look that are compared with the record."""

_LOSSES = 8
"""Tag that keeps the batches that the losses of examples are taken in apart from other random draws."""

_RECORDED = ("loss", "square_over_past")
"""Measures that the record has of every step."""

MEASURES = [
    *_RECORDED, "batch_sharpness", "batch_sharpness_median", "batch_sharpness_mean", "batch_threshold",
    "update_curvature", "descent_cosine", "clipped_share",
]  # fmt: skip

STEP_COLUMNS = ["onset", "peak", "height_ratio", "offset", *MEASURES]

PLACES = ["onset", "peak", "rank", "row"]
LOSSES = ["loss_before", "loss_onset", "loss_peak", "share", "cumulated", "n_half"]
"""Columns of an example that carries a spike; between them stands what its task says of it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MicroscopeJob:
    """A run to be looked at, with its files.

    Parameters
    ----------
    run : RunSettings
    number : int
        Sustained spikes, the tallest first.
    spectra, subset, history : Path
        Read: the prepared examples, the rows to train on, the record of the training.
    matched : Path or None
        History of the run whose effective step this one is held to.
    """

    run: RunSettings
    number: int
    spectra: Path
    subset: Path
    history: Path
    matched: Path | None = None


def magnify(job: MicroscopeJob, steps: Path, spectra: Path, listed: int = LISTED) -> None:
    """Look at the tallest sustained spikes of a run and write a row per step, and a row per example that carries one.

    Parameters
    ----------
    job : MicroscopeJob
    steps, spectra : Path
        CSV files written; without a spike they have no row.
    listed : int
        Examples of each spike.

    Raises
    ------
    NotReproduced
        If the training does not give the same losses as its record, bit by bit.
    Stopped
        If the process is told to end.
    """
    history = History.load(job.history)
    spikes = chosen(forks.sustained_spikes(history), job.number)
    own = {key: getattr(job.run, key) for key in tables.RUN_KEYS}
    name = f"f{job.run.fraction}_r{job.run.replicate}/{job.run.optimizer}"
    keys = {"run": name, **own, "n_train": history.params["outcome"]["n_train"]}
    step_rows, example_rows = _look(job, history, spikes, listed) if len(spikes) else ([], [])
    of_examples = [*PLACES, *_known(job, np.zeros(0, int)), *LOSSES]
    for rows, columns, path in ((step_rows, STEP_COLUMNS, steps), (example_rows, of_examples, spectra)):
        table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)
        tables.write(table.assign(**keys)[[*keys, *columns]], path)


def _known(job: MicroscopeJob, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the task says of examples."""
    return tasks.trained(job.run.task, job.run.network).describe(job.spectra, rows)


def chosen(spikes: pd.DataFrame, number: int) -> pd.DataFrame:
    """Return the tallest spikes, in the order of their onsets."""
    tallest = spikes.sort_values("height_ratio", ascending=False, kind="stable").head(number)
    return tallest.sort_values("onset", ignore_index=True)


def _look(
    job: MicroscopeJob, history: History, spikes: pd.DataFrame, listed: int
) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """Return the rows of the steps and of the examples, a table per spike each."""
    microscope, n = _Microscope(job, history), len(history.steps["loss"])
    looks = [_Look(spike, n) for spike in tables.records(spikes)]
    with StopSignals() as stop:
        microscope.go_through(looks, stop.raise_if_received)
    return [microscope.steps(look) for look in looks], [microscope.examples(look, listed) for look in looks]


class _Look:
    """What is looked at of a spike.

    Parameters
    ----------
    spike : mapping
        A row of `forks.sustained_spikes`.
    n : int
        Steps of the training.
    """

    def __init__(self, spike: dict[str, Any], n: int) -> None:
        self.onset, self.peak, self.height_ratio = int(spike["onset"]), int(spike["peak"]), spike["height_ratio"]
        # the first step of all has no preconditioner yet
        self.measured = range(max(1, self.onset + FIRST), min(n, self.onset + LAST + 1))
        self.listed = [max(1, self.onset - BEFORE), self.onset, self.peak]


class _Microscope:
    """A training that is gone through again, with what is measured on the way."""

    def __init__(self, job: MicroscopeJob, history: History) -> None:
        self._job, self._history = job, history
        rows = Subset.load(job.subset)
        trainer = build_trainer(job.spectra, rows, job.run, job.matched)
        # the examples are the training set's own, in the order of their rows
        self._rows, self._places = np.sort(rows.train), np.sort(np.asarray(trainer.plan.order(0)))
        settings = CurvatureSettings(1, _PROBE, _BATCHES)
        # built on the model as it was initialised
        self._curvature = build_curvature(trainer.learner, trainer.data, self._places, job.run, settings)
        self._outputs = backends.active().compile_derivatives(trainer.learner).outputs
        self._course = Course(trainer, history.steps["loss"])
        self._measured: dict[int, dict[str, float]] = {}
        self._losses: dict[int, np.ndarray] = {}

    def go_through(self, looks: Sequence[_Look], between: Any) -> None:
        """Take the training's steps up to the last one looked at, and measure."""
        measured = {step for look in looks for step in look.measured}
        listed = {step for look in looks for step in look.listed}
        for step in sorted(measured | listed):
            between()
            self._course.go_to(step)
            if step in listed:
                self._losses[step] = self._example_losses()
            if step in measured:
                self._measured[step] = self._measure_step(step)
        self._course.go_to(min(self._course.step + _CHECKED, len(self._course.record)))

    def _measure_step(self, step: int) -> dict[str, float]:
        """Measure where the training stands, and the step that it takes from there."""
        course = self._course
        before = self._curvature.measure_cheaply()
        (batch,) = next(course.own_batches(step, step + 1))
        course.go_to(step + 1)
        after = self._curvature.measure_step([array[batch] for array in course.trainer.data])
        recorded = {name: self._history.steps[name][step] for name in _RECORDED if name in self._history.steps}
        return {**recorded, **before, **after}

    def _example_losses(self) -> np.ndarray:
        run, trainer = self._job.run, self._course.trainer
        # the same batches at all times: a rise is not that of another company
        rng = np.random.default_rng([run.seed, _LOSSES, run.replicate])
        return example_losses(trainer.learner, self._outputs, trainer.data, self._places, run.training.batch_size, rng)

    def steps(self, look: _Look) -> pd.DataFrame:
        """Return a row per step of a spike; a measure that the optimizer does not have is NaN."""
        table = pd.DataFrame([self._measured[step] for step in look.measured]).reindex(columns=MEASURES)
        known = {"onset": look.onset, "peak": look.peak, "height_ratio": look.height_ratio}
        return table.assign(**known, offset=np.array(look.measured) - look.onset)

    def examples(self, look: _Look, listed: int) -> pd.DataFrame:
        """Return a row per example that carries a spike."""
        before, onset, peak = (self._losses[step] for step in look.listed)
        table = carriers.carriers(before, peak).head(listed)
        place = table["place"].to_numpy()
        rows = self._rows[place]
        losses = {"loss_before": before[place], "loss_onset": onset[place], "loss_peak": peak[place]}
        return table.assign(onset=look.onset, peak=look.peak, row=rows, **_known(self._job, rows), **losses)
