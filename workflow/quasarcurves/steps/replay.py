"""Replays of one run: back to the state at a fork, and on in other ways, to see whether the loss still spikes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves import tasks
from quasarcurves.analysis import tables
from quasarcurves.analysis.replays import forks
from quasarcurves.files import whole_file
from quasarcurves.spectra.subsets import Subset
from quasarcurves.steps.arms import ARMS, AS_IT_IS, Arm, Fork, Setup
from quasarcurves.steps.build import build_curvature, build_trainer
from quasarcurves.training import backends
from quasarcurves.training.backends.shared import Derivatives
from quasarcurves.training.history import History
from quasarcurves.training.measures import Loss
from quasarcurves.training.passages import WINDOW, Outcome, follow, reference_level, window_of
from quasarcurves.training.plan import Learner
from quasarcurves.training.replays import Course, State, example_losses, own_batches, shuffled_epochs
from quasarcurves.training.run_lock import hold_lock
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import CurvatureSettings, ReplaySettings
from quasarcurves.training.signals import StopSignals

_ORDER, _OWN, _LOSSES = 5, 6, 7
"""Tags that keep random streams apart: orders of replays, what else an arm draws, batches that losses are taken in."""

_PROBE, _BATCHES, _RECENT = 64, 16, 200
"""Examples and batches that the curvature at a fork is measured on, and steps before it that are recent."""

REPLAY_COLUMNS = [
    "fork_step", "arm", "replay", "steps", "spiked", "first_passage", "height", "loss_after",
    "own_rise", "own_exposure", "note",
]  # fmt: skip
FORK_COLUMNS = [*forks.COLUMNS, "sharpness_share"]

_Program = Callable[[Sequence[Sequence[np.ndarray]]], Callable[[np.ndarray], np.ndarray]]
"""Values of the variables of each replay -> what takes their steps: batches (replays, steps, batch) -> losses."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplayJob:
    """The replays of some forks of a run, with their files.

    Parameters
    ----------
    run : RunSettings
    settings : ReplaySettings
    group, groups : int
        The job has every `groups`-th fork, from fork `group` on.
    key : str
        Hash of everything that a replay depends on, apart from which arms there are and how many replays.
    spectra, subset, history : Path
        Read: the prepared examples, the rows to train on, the record of the training.
    matched : Path or None
        History of the run whose effective step this one is held to.
    state : Path
        Folder of what is kept while the job is under way: the replays of an arm at a fork, once they are made.
    """

    run: RunSettings
    settings: ReplaySettings
    group: int
    groups: int
    key: str
    spectra: Path
    subset: Path
    history: Path
    matched: Path | None
    state: Path


def replay(job: ReplayJob, replays: Path, fork_table: Path) -> None:
    """Make the replays of a run and write a row for each, and a row for each fork.

    Goes on from what an earlier call has kept. The training is gone through again up to each fork, and its losses are
    compared with its record there and for a while after the fork.

    Parameters
    ----------
    job : ReplayJob
    replays, fork_table : Path
        CSV files written.

    Raises
    ------
    NotReproduced
        If the same batches do not give the same losses, bit by bit.
    Stopped
        If the process is told to end; what was made has been kept.
    """
    history = History.load(job.history)
    table = forks.choose(history, job.settings)
    steps = sorted(set(table["fork_step"]))[job.group :: job.groups]
    run = {key: getattr(job.run, key) for key in tables.RUN_KEYS}
    n_train = history.params["outcome"]["n_train"]
    keys = {"run": f"f{job.run.fraction}_r{job.run.replicate}/{job.run.optimizer}", **run, "n_train": n_train}
    keys["learning_rate"] = job.run.optimizer_spec.get("learning_rate", np.nan)
    with hold_lock(job.state), StopSignals() as stop:
        made = Replayer(job, history, stop.raise_if_received).made_at(steps)
    rows = pd.DataFrame([row for fork in made for row in fork["replays"]], columns=REPLAY_COLUMNS)
    shares = {fork["fork_step"]: fork["sharpness_share"] for fork in made}
    known = table[table["fork_step"].isin(steps)].copy()
    known["sharpness_share"] = known["fork_step"].map(shares).astype(float)
    tables.write(rows.assign(**keys)[[*keys, *REPLAY_COLUMNS]], replays)
    tables.write(known.assign(**keys)[[*keys, *FORK_COLUMNS]], fork_table)


class Replayer:
    """Makes the replays of a job; what is built for them is built when it is first needed."""

    def __init__(self, job: ReplayJob, history: History, between: Callable[[], None]) -> None:
        self.job, self.history, self.between = job, history, between
        self._programs: dict[str, tuple[Learner, _Program]] = {}

    def made_at(self, steps: Sequence[int]) -> list[dict[str, Any]]:
        """Return what was made at each fork, in their order."""
        found = []
        for i, step in enumerate(steps):
            logger.info("fork %d of %d, at step %d", i + 1, len(steps), step)
            found.append(self._made_at(step))
        return found

    def _made_at(self, step: int) -> dict[str, Any]:
        kept = {name: self._kept(step, name) for name in self.job.settings.arms}
        share = self._kept(step, "fork")
        missing = [name for name, rows in kept.items() if rows is None]
        if missing or share is None:
            fork, state = self.arrive(step)
            share = self._keep(step, "fork", self._sharpness_share())
            for name in missing:
                kept[name] = self._keep(step, name, list(self.rows(name, fork, state)))
            state.put(self.setup.learner)
        return {"fork_step": step, "sharpness_share": share, "replays": [row for rows in kept.values() for row in rows]}

    # What is built -----------------------------------------------------------------------------------------------

    @cached_property
    def course(self) -> Course:
        """The training, to be gone through again."""
        trainer = build_trainer(self.job.spectra, self._subset, self.job.run, self.job.matched)
        return Course(trainer, self.history.steps["loss"])

    @cached_property
    def _subset(self) -> Subset:
        return Subset.load(self.job.subset)

    @cached_property
    def setup(self) -> Setup:
        """What arms build on; to be asked for while the training stands at its beginning."""
        run, trainer = self.job.run, self.course.trainer
        return Setup(
            run=run,
            learner=trainer.learner,
            # the examples are the training set's own, in the order of their rows
            places=np.sort(np.asarray(trainer.plan.order(0))),
            variants=tasks.trained(run.task, run.network).variants,
        )

    @cached_property
    def _curvature(self) -> Any:
        settings, setup = CurvatureSettings(1, _PROBE, _BATCHES), self.setup
        return build_curvature(setup.learner, self.course.trainer.data, setup.places, self.job.run, settings)

    @cached_property
    def _derivatives(self) -> Derivatives:
        return backends.active().compile_derivatives(self.setup.learner)

    @property
    def _packs(self) -> bool:
        """Whether a program takes the steps of all replays of an arm at once."""
        return self.job.run.training.pack

    def _program(self, name: str, arm: Arm) -> tuple[Learner, _Program]:
        """Return what computes an arm's steps: its learner, and what starts its replays."""
        if name not in self._programs:
            learner = arm.variant(self.setup)
            key = name if learner is not self.setup.learner else AS_IT_IS
            if key not in self._programs:
                self._programs[key] = (
                    learner,
                    self._compiled_together(learner) if self._packs else self._compiled(learner),
                )
            self._programs[name] = self._programs[key]
        return self._programs[name]

    def _compiled(self, learner: Learner) -> _Program:
        """Return what starts one replay, from the variables as they are."""
        if learner is self.setup.learner:
            run = self.course.losses
        else:
            run_steps = backends.active().compile_steps(learner, self.course.trainer.data, [Loss()], self.course.most)

            def run(batches: np.ndarray) -> np.ndarray:
                return run_steps(np.ascontiguousarray(batches, np.int32))[1][:, 0]

        return lambda _: lambda batches: run(batches[0])[None]

    def _compiled_together(self, learner: Learner) -> _Program:
        """Return what starts all replays of an arm at once, each from its own values of the variables."""
        run_steps = backends.active().compile_many(learner, self.course.trainer.data, self.course.most)

        def start(values: Sequence[Sequence[np.ndarray]]) -> Callable[[np.ndarray], np.ndarray]:
            states: list[Any] = [np.stack(alike) for alike in zip(*values, strict=True)]

            def run(batches: np.ndarray) -> np.ndarray:
                nonlocal states
                states, losses = run_steps(states, np.ascontiguousarray(batches, np.int32))
                return losses

            return run

        return start

    # At a fork ---------------------------------------------------------------------------------------------------

    def arrive(self, step: int) -> tuple[Fork, State]:
        """Go to a fork, and check that the training goes on from its state as it did."""
        course = self.course
        if course.step == 0:
            _ = self._curvature  # built on the model as it was initialised
        course.go_to(step)
        state = State.of(self.setup.learner)
        self._check_null(step, state)
        norms = self.history.steps["update_norm"][max(0, step - _RECENT) : step]
        return Fork(step, self._example_losses(step), float(np.median(norms)), self._own_from(step)), state

    def _check_null(self, step: int, state: State) -> None:
        """Check that the same batches give the same losses from a state that was put back."""
        state.put(self.setup.learner)
        for batches in self.course.own_batches(step, min(step + WINDOW, len(self.course.record))):
            self.course.check(step, self.course.losses(batches))
            step += len(batches)
        state.put(self.setup.learner)

    def _own_from(self, step: int) -> Callable[[int], np.ndarray]:
        plan, size = self.course.trainer.plan, self.job.run.training.batch_size

        def own(number: int) -> np.ndarray:
            # an incomplete last batch makes some steps shorter
            found = [batches.ravel() for batches in own_batches(plan, step, step + 2 * (number // size) + 1, 128)]
            return np.concatenate(found)[:number]

        return own

    def _example_losses(self, step: int) -> np.ndarray:
        """Return the loss of each training example, batch normalisation as in training; (n,)."""
        setup, data, run = self.setup, self.course.trainer.data, self.job.run
        rng = np.random.default_rng([run.seed, _LOSSES, step])
        outputs = self._derivatives.outputs
        return example_losses(setup.learner, outputs, data, setup.places, run.training.batch_size, rng)

    def _sharpness_share(self) -> float:
        found = self._curvature.measure_batches()
        threshold = found.get("batch_threshold")
        return float("nan") if threshold is None else float(found["batch_sharpness"] / threshold)

    # Replays -----------------------------------------------------------------------------------------------------

    def rows(self, name: str, fork: Fork, state: State) -> Iterator[dict[str, Any]]:
        """Make the replays of an arm at a fork; yield a row of the table for each, or one that says why none."""
        arm, setup = ARMS[name], self.setup
        note = arm.unfit(setup)
        if note:
            yield _row(fork, name, -1, Outcome(0, False, np.nan), note)
            return
        learner, run = self._program(name, arm)
        numbers, size = range(self.job.settings.replays), self.job.run.training.batch_size
        reference, width = reference_level(self.course.record, fork.step), window_of(arm.batch_size(setup), size)
        # one after the other, unless a program takes their steps together
        together = [numbers] if self._packs else [[k] for k in numbers]
        for some in together:
            self.between()
            begun = [self._begun(arm, learner, fork, state, k) for k in some]
            outcomes = follow(run([values for values, _ in begun]), np.array([b for _, b in begun]), reference, width)
            for k, outcome in zip(some, outcomes, strict=True):
                yield _row(fork, name, k, outcome)

    def _begun(
        self, arm: Arm, learner: Learner, fork: Fork, state: State, k: int
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Put a learner where a replay begins; return the values of its variables, where wanted, and its batches."""
        run, setup = self.job.run, self.setup
        orders, own = (np.random.default_rng([run.seed, tag, run.replicate, fork.step, k]) for tag in (_ORDER, _OWN))
        examples = shuffled_epochs(setup.places, self.job.settings.steps * run.training.batch_size, orders)
        state.put(setup.learner)
        if learner is not setup.learner:
            state.carry(setup.learner, learner)
        arm.change(learner, fork, own)
        values = State.of(learner).values if self._packs else []
        return values, arm.batches(examples, setup, fork, own)

    # What is kept ------------------------------------------------------------------------------------------------

    def _file(self, step: int, name: str) -> Path:
        return self.job.state / self.job.key / f"{step}_{name}.json"

    def _kept(self, step: int, name: str) -> Any:
        """Return what an earlier job has made; None if it did not, or made fewer replays."""
        try:
            kept = json.loads(self._file(step, name).read_text())
        except (FileNotFoundError, ValueError):
            return None
        if name == "fork" or (kept and kept[0]["replay"] < 0):
            return kept
        return kept[: self.job.settings.replays] if len(kept) >= self.job.settings.replays else None

    def _keep(self, step: int, name: str, made: Any) -> Any:
        with whole_file(self._file(step, name)) as temporary:
            temporary.write_text(json.dumps(made))
        return made


def _row(fork: Fork, arm: str, replay: int, outcome: Outcome, note: str = "") -> dict[str, Any]:
    passage = outcome.steps if outcome.spiked else np.nan
    values: Mapping[str, Any] = {
        "fork_step": fork.step,
        "arm": arm,
        "replay": replay,
        "steps": outcome.steps,
        "spiked": int(outcome.spiked),
        "first_passage": passage,
        "height": outcome.height,
        "loss_after": outcome.loss_after,
        "own_rise": outcome.own_rise,
        "own_exposure": outcome.own_exposure,
        "note": note,
    }
    return dict(values)
