"""One run of a study, from prepared examples to its history and models: where examples, model and training meet."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from quasarcurves import tasks
from quasarcurves.provenance.fingerprint import digest
from quasarcurves.spectra.subsets import Subset
from quasarcurves.steps.build import build_trainers
from quasarcurves.training import backends, optimizer_specs, snapshots
from quasarcurves.training.checkpoint import Checkpoints
from quasarcurves.training.loop import SynchronizedTrainers, Trainer
from quasarcurves.training.progress import Reporter
from quasarcurves.training.resume import capture, restore
from quasarcurves.training.run_lock import RunLock, hold_lock
from quasarcurves.training.run_settings import BEST, FINAL, RunSettings
from quasarcurves.training.settings import StateSettings
from quasarcurves.training.signals import StopSignals

_SAVE_SECONDS = 600
"""The state is saved at least this often, whatever `checkpoint_every` says."""

logger = logging.getLogger(__name__)


def use_threads(threads: int) -> None:
    """Make the backend of Keras use exactly this many threads; to be called before its first operation."""
    backends.active().set_up(threads)


@dataclass(frozen=True)
class Job:
    """A run to be trained, with its files.

    Parameters
    ----------
    run : RunSettings
    key : str
        Hash of everything that the training depends on, apart from the number of epochs (`state_key`).
    subset : Path
        The rows to train and validate on.
    state : Path
        Folder of what is kept while the training is under way.
    history, model, best : Path
        Files written. Without validation `best` holds the final weights.
    matched : Path, optional
        History of the run whose effective step this one is held to, if its optimizer says so.
    snapshots : Path, optional
        Written as well, by `snapshots.save`, where `run` asks for snapshots.
    """

    run: RunSettings
    key: str
    subset: Path
    state: Path
    history: Path
    model: Path
    best: Path
    matched: Path | None = None
    snapshots: Path | None = None


def train_runs(spectra: Path, jobs: Sequence[Job], settings: StateSettings, take_over: bool = False) -> None:
    """Train models and write of each its history, its final weights and those that validation calls best.

    Goes on from states that an earlier call has left, if they fit: after a kill, or to extend a training. Runs with the
    same number of examples are trained at once from where they have done the same number of steps.

    Parameters
    ----------
    spectra : Path
        The prepared examples.
    jobs : sequence of Job
        Several only with JAX; with the same task, network, training and validation set.
    settings : StateSettings
        What does not change the result.
    take_over : bool
        What to do where another process trains a run: make it save its state and leave, or give up.

    Raises
    ------
    Stopped
        If the process is told to end; the state has been saved.
    AlreadyTraining
        If another process trains one of the runs, and stays.
    TakenOver
        If another process has taken over; the state has been saved.
    """
    with ExitStack() as stack:
        locks = [stack.enter_context(hold_lock(job.state, take_over)) for job in jobs]
        stop = stack.enter_context(StopSignals())
        subsets = [Subset.load(job.subset) for job in jobs]
        trainers = build_trainers(spectra, subsets, [job.run for job in jobs], [job.matched for job in jobs])
        runs = [_Run(*parts) for parts in zip(jobs, trainers, subsets, locks, strict=True)]
        for together in _at_the_same_place(runs):
            synchronized = _synchronized(together)
            _train_with_checkpoints(synchronized, together, settings.checkpoint_every, stop)
            synchronized.finish()
            for run in together:
                run.write(settings.keep_state)


class _Run:
    """A run under way: between its training and its files."""

    def __init__(self, job: Job, trainer: Trainer, subset: Subset, lock: RunLock) -> None:
        self.job, self.trainer, self.subset, self.lock = job, trainer, subset, lock
        self.reporter = Reporter(job.state, trainer.plan.epochs, f"{job.state.parent.name}/{job.state.name}")
        self._checkpoints = Checkpoints(job.state, job.key)
        self._resumed = self._resume()

    @property
    def place(self) -> tuple[int, int, int]:
        """Epochs done, steps done in the next one, and examples per epoch."""
        record = self.trainer.record
        return record.epoch, record.step_in_epoch, len(self.subset.train)

    def _resume(self) -> list[int]:
        """Go on from the latest state that fits; return the epochs at which the training was resumed."""
        state = self._checkpoints.load(self.trainer.plan.epochs)
        if state is None:
            return []
        restore(self.trainer, state)
        before = list(state.values["resumed"])
        if not self.trainer.goes_on:
            return before
        logger.info("going on from epoch %d, step %d", *state.place)
        return [*before, self.trainer.record.epoch]

    def save(self) -> None:
        """Keep the state."""
        self._checkpoints.save(capture(self.trainer, self._resumed))

    def save_finished(self) -> None:
        """Keep the state at the end."""
        self._checkpoints.save_finished(capture(self.trainer, self._resumed))

    def report(self) -> None:
        """Report the last epoch."""
        record = self.trainer.record
        self.reporter.epoch(record.epoch, record.epochs["loss"][-1], record.epochs["val_loss"][-1])

    def write(self, keep_state: bool) -> None:
        """Write the results, once the training is over."""
        self.lock.check()
        job, trainer, rows = self.job, self.trainer, self.subset
        outcome = _outcome(trainer, len(rows.train), len(rows.validation), self._resumed)
        record = trainer.record.history()
        replace(record, params={**job.run.to_json(), "outcome": outcome}).save(job.history)
        if job.snapshots and trainer.snapshots:
            snapshots.save(job.snapshots, trainer.snapshots.spikes)
        _save_models(trainer, job.model, job.best, job.run)
        size = self._checkpoints.tidy(keep_state)
        logger.info("training state kept: %.1f MB", size / 1e6)
        self.reporter.end(outcome["epochs"], float(record.epochs["loss"][-1]), outcome["diverged"])


def _at_the_same_place(runs: Sequence[_Run]) -> list[list[_Run]]:
    """Group runs by place: those of a group can be trained together."""
    found: dict[tuple, list[_Run]] = {}
    for run in runs:
        found.setdefault(run.place, []).append(run)
    return list(found.values())


def _synchronized(runs: Sequence[_Run]) -> SynchronizedTrainers:
    """Return what trains some runs at once; runs with the same optimizer have to stand together."""
    if len(runs) == 1:
        return runs[0].trainer.alone
    groups = [[run.trainer for run in same] for _, same in groupby(runs, key=lambda run: run.job.run.optimizer)]
    return SynchronizedTrainers([trainer for group in groups for trainer in group], backends.pack(groups))


def state_key(run: RunSettings, data: Iterable[str], code: str) -> str:
    """Return the key of a run's training states: they fit each other if all but the number of epochs is the same.

    Parameters
    ----------
    run : RunSettings
    data : iterable of str
        Hashes of the files it is trained on.
    code : str
        Fingerprint of the code that trains.
    """
    settings = run.to_json()
    if not optimizer_specs.depends_on_total_steps(run.optimizer_spec):
        settings["training"] = _without(settings["training"], "epochs", "steps")
    return digest([_without(settings, "study", "fraction", "optimizer"), sorted(data), code])


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _train_with_checkpoints(
    synchronized: SynchronizedTrainers, runs: Sequence[_Run], every: int, stop: StopSignals
) -> None:
    """Train to the end, and keep the state now and then."""
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        synchronized.put_back()
        for run in runs:
            run.save()
        saved = time.monotonic()

    def after_block() -> None:
        leaves = stop.received or any(run.lock.is_lost() for run in runs)
        if leaves or time.monotonic() - saved > _SAVE_SECONDS:
            save()
        stop.raise_if_received()
        for run in runs:
            run.lock.check()

    def after_epoch() -> None:
        # runs that have diverged stay at the epoch where they did
        for run in runs:
            if run.place[0] == synchronized.epoch:
                run.report()
        if synchronized.epoch % every == 0:
            save()

    first = synchronized.epoch
    synchronized.train(after_block, after_epoch)
    logger.info("%d epochs computed", synchronized.epoch - first)
    synchronized.put_back()
    for run in runs:
        run.save_finished()


def _outcome(trainer: Trainer, n_train: int, n_validation: int, resumed: list[int]) -> dict[str, Any]:
    """Return how a run has ended, as JSON can hold it."""
    record = trainer.record
    if record.diverged_step is not None:
        logger.warning("diverged: the loss of step %d is not finite", record.diverged_step)
    decides = trainer.score is not None and trainer.plan.best == trainer.score.name
    return {
        "n_train": n_train,
        "n_validation": n_validation,
        "steps_per_epoch": trainer.plan.steps_per_epoch(n_train),
        "epochs": record.epoch,
        "diverged": record.diverged_step is not None,
        "diverged_step": record.diverged_step,
        "resumed_at_epochs": resumed,
        "threads": backends.active().threads(),
        **({"best_is": trainer.score.better} if trainer.score and decides else {}),
    }


def _save_models(trainer: Trainer, model: Path, best: Path, run: RunSettings) -> None:
    # saved with plain layers in float32, whatever the training computed with
    task = tasks.trained(run.task, run.network)
    plain = task.build_plain()
    plain.set_weights(trainer.learner.model.get_weights())
    task.save(plain, model, run, FINAL)
    if trainer.record.best_weights:
        plain.set_weights(trainer.record.best_weights)
    task.save(plain, best, run, BEST)
