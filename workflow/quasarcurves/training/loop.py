"""The training loop: whole blocks of steps are compiled, every step is recorded, any step can be gone on from.

Differs from `keras.Model.fit` in that the data stay resident, the order of examples is given from outside (so that runs
can be paired), a block of steps is one call into compiled code, and nothing of a step's record is averaged away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from quasarcurves.training import backends
from quasarcurves.training.curvature import Curvature
from quasarcurves.training.measures import step_record
from quasarcurves.training.plan import Plan, Task
from quasarcurves.training.record import Progress
from quasarcurves.training.snapshots import Snapshots

_BLOCK_SECONDS = 1.0
"""Length of a block of steps: a training can be stopped, and saved, between two blocks."""

_FIRST_BLOCK = 16
"""Steps of a block before their speed is known."""


class Trainer:
    """A training that goes on, block by block, from wherever its progress is.

    Parameters
    ----------
    task : Task
    plan : Plan
    data, validation : sequences of (n, ...) arrays
        The model's input, then the targets that `task.loss` takes; `validation` may be None.
    curvature : Curvature, optional
        Measured along the way.
    snapshots : Snapshots, optional
        Taken along the way.
    """

    def __init__(
        self,
        task: Task,
        plan: Plan,
        data: Sequence[np.ndarray],
        validation: Sequence[np.ndarray] | None = None,
        curvature: Curvature | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        task.optimizer.build(task.weights)
        self.task, self.plan = task, plan
        self.progress = Progress()
        self.snapshots = snapshots
        self._measures = step_record(task.optimizer) if plan.measures is None else plan.measures
        compiled, most = backends.active(), plan.steps_per_epoch(len(data[0]))
        self._run_steps = compiled.compile_steps(task, data, self._measures, most)
        self._curvature = curvature
        self._validation_loss = None if validation is None else compiled.compile_validation(task, validation)
        self._most = _FIRST_BLOCK

    def train(
        self, after_block: Callable[[], None] = lambda: None, after_epoch: Callable[[], None] = lambda: None
    ) -> None:
        """Train to the last epoch of the plan, or to the first loss that is not finite.

        The record then ends with that step, and the best weights seen before stay.

        Parameters
        ----------
        after_block, after_epoch : callable
            Called between blocks of steps and between epochs; an exception they raise ends the training there.
        """
        progress = self.progress
        while progress.epoch < self.plan.epochs and progress.diverged_step is None:
            order = np.asarray(self.plan.order(progress.epoch), np.int32)
            while progress.diverged_step is None:
                batches = self.plan.block(order, progress.step_in_epoch, min(self._most, self._until_curvature))
                if batches is None:
                    break
                self._measure_curvature()
                self._run_block(batches)
                after_block()
            progress.close_epoch(self.task.parts, float(self.task.optimizer.learning_rate))
            if self.snapshots:
                self.snapshots.after_epoch(progress.epochs["loss"])
            if progress.epoch % self.plan.validate_every == 0:
                self.validate()
            after_epoch()

    def validate(self) -> None:
        """Compute the validation loss after the last epoch done, and keep the weights if it is the lowest."""
        if self._validation_loss is not None:
            progress = self.progress
            progress.epochs["val_loss"][-1] = loss = self._validation_loss()
            if loss < progress.best_loss:
                progress.best_loss, progress.best_weights = loss, self.task.model.get_weights()

    def finish(self) -> None:
        """Do what belongs to the end of a training alone: validate its last epoch, and apply averaged weights."""
        if np.isnan(self.progress.epochs["val_loss"][-1]):
            self.validate()
        if self.task.optimizer.use_ema:
            self.task.optimizer.finalize_variable_values(self.task.model.trainable_variables)

    @property
    def _until_curvature(self) -> int:
        """Steps to the next measurement of the curvature, the one that is due now not counted."""
        return self._curvature.every - self.progress.step % self._curvature.every if self._curvature else self._most

    def _measure_curvature(self) -> None:
        step = self.progress.step
        # before the first step there is no preconditioner
        if self._curvature and step and step % self._curvature.every == 0:
            self.progress.add_curvature({"step": step, **self._curvature.measure()})

    def _run_block(self, batches: np.ndarray) -> None:
        start = time.perf_counter()
        parts, values = self._run_steps(batches)
        columns = {measure.name: values[:, i] for i, measure in enumerate(self._measures)}
        seconds = time.perf_counter() - start
        self.progress.add_block(parts, columns, batches.shape[1], seconds)
        # the first block holds the compilation: what it says of the speed is too low, and mended by the next
        self._most = max(1, int(_BLOCK_SECONDS * len(parts) / seconds))
