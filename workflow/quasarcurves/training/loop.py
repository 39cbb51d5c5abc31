"""The training loop: whole blocks of steps are compiled, every step is recorded, any step can be gone on from.

Differs from `keras.Model.fit` in that the data stay resident, the order of examples is given from outside (so that runs
can be paired), a block of steps is one call into compiled code, and the record keeps every step. It is written for
several trainings that take their steps together; usually there is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Protocol

import numpy as np

from quasarcurves.training import backends
from quasarcurves.training.backends.shared import Validated
from quasarcurves.training.curvature import Curvature
from quasarcurves.training.measures import step_record
from quasarcurves.training.plan import Learner, Plan
from quasarcurves.training.record import Record
from quasarcurves.training.score import Score
from quasarcurves.training.snapshots import Snapshots

_BLOCK_SECONDS = 1.0
"""Length of a block of steps: a training can be stopped, and saved, between two blocks."""

_FIRST_BLOCK = 16
"""Steps of a block before their speed is known."""


class Trainer:
    """A training under way: each block of steps goes on from where its record ends.

    Parameters
    ----------
    learner : Learner
    plan : Plan
    data, validation : sequences of (n, ...) arrays
        The model's input, then the targets that `learner.loss` takes; `validation` may be None.
    curvature : Curvature, optional
        Measured along the way.
    snapshots : Snapshots, optional
        Taken along the way.
    score : Score, optional
        Measured with the validation loss.
    """

    def __init__(
        self,
        learner: Learner,
        plan: Plan,
        data: Sequence[np.ndarray],
        validation: Sequence[np.ndarray] | None = None,
        curvature: Curvature | None = None,
        snapshots: Snapshots | None = None,
        score: Score | None = None,
    ) -> None:
        learner.optimizer.build(learner.weights)
        self.learner, self.plan = learner, plan
        self.data, self.validation = data, validation
        self.record = Record(score=score.name if score else "")
        self.snapshots = snapshots
        self.score = score
        self.measures = step_record(learner.optimizer) if plan.measures is None else plan.measures
        self._curvature = curvature
        self._measured: dict[str, float] = {}

    def train(
        self, after_block: Callable[[], None] = lambda: None, after_epoch: Callable[[], None] = lambda: None
    ) -> None:
        """Train by itself: see `SynchronizedTrainers.train`."""
        self.alone.train(after_block, after_epoch)

    def finish(self) -> None:
        """End a training by itself: see `SynchronizedTrainers.finish`."""
        self.alone.finish()

    def decides(self, score: float) -> float | None:
        """Return what chooses the best weights, the higher the better; None if the validation loss does."""
        return None if self.score is None or self.plan.best != self.score.name else self.score.sign * score

    @cached_property
    def alone(self) -> SynchronizedTrainers:
        """This training by itself, compiled when it is first asked for."""
        return SynchronizedTrainers([self], _Alone(self))

    @property
    def goes_on(self) -> bool:
        """Whether there are steps left to take: the plan is not done, and every loss was finite."""
        return self.record.epoch < self.plan.epochs and self.record.diverged_step is None

    @property
    def until_curvature(self) -> float:
        """Steps to the next measurement of the curvature; 1 if it is due now, as the step after it is measured too."""
        if self._curvature is None:
            return np.inf
        return 1 if self.curvature_is_due else self._curvature.every - self.record.step % self._curvature.every

    @property
    def curvature_is_due(self) -> bool:
        """Whether the curvature is to be measured before the next step; before the first there is no preconditioner."""
        step = self.record.step
        return self._curvature is not None and step > 0 and step % self._curvature.every == 0

    def measure_curvature(self) -> None:
        """Measure the curvature where the training stands, if it is to be measured at all."""
        if self._curvature is not None:
            self._measured = {"step": self.record.step, **self._curvature.measure()}

    def measure_step(self) -> None:
        """Measure the step that was taken after the curvature was measured, and record both.

        Together, so that no training goes on from a state between the two.
        """
        if self._curvature is not None:
            self.record.add_curvature({**self._measured, **self._curvature.measure_step()})

    def add_block(self, parts: np.ndarray, values: np.ndarray, batch: int, seconds: float) -> None:
        """Record a block of steps: losses by part (steps, parts), measures (steps, measures), and the time it took."""
        columns = {measure.name: values[:, i] for i, measure in enumerate(self.measures)}
        self.record.add_block(parts, columns, batch, seconds)

    def close_epoch(self) -> None:
        """End an epoch."""
        self.record.close_epoch(self.learner.parts, float(self.learner.optimizer.learning_rate))


class Program(Protocol):
    """The compiled steps of some trainings; lists have an item per training, in their order."""

    def run_steps(self, batches: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Take a block of steps on (steps, batch) examples each: losses by part and measures, a row per step."""

    def validate(self, asked: Sequence[bool]) -> Iterator[Validated]:
        """Yield the validation loss of each training, with its outputs if asked for; nothing without examples."""

    def put_back(self) -> None:
        """Write the trained values back into the variables of models and optimizers."""


class SynchronizedTrainers:
    """Trainings that take their steps together. Each has its own examples, and all have equally many.

    Parameters
    ----------
    trainers : sequence of Trainer
        With the same number of epochs, of steps in an epoch and of examples in each step. All have done as many steps.
    program : Program
        Compiled for them.
    """

    def __init__(self, trainers: Sequence[Trainer], program: Program) -> None:
        self.trainers, self.program = trainers, program
        self._most = _FIRST_BLOCK

    def train(
        self, after_block: Callable[[], None] = lambda: None, after_epoch: Callable[[], None] = lambda: None
    ) -> None:
        """Train to the last epoch of the plan; a training whose loss is not finite ends there.

        Its record then ends with that step, and the best weights seen before stay.

        Parameters
        ----------
        after_block, after_epoch : callable
            Called between blocks of steps and between epochs. An exception that one raises ends the training there.
        """
        while live := self._live():
            self._train_epoch(live, after_block)
            for trainer in live:
                trainer.close_epoch()
            self._take_snapshots(live)
            if live[0].record.epoch % live[0].plan.validate_every == 0:
                self._validate(live)
            after_epoch()

    def finish(self) -> None:
        """End the trainings: validate their last epoch, and apply averaged weights."""
        self._validate([trainer for trainer in self.trainers if np.isnan(trainer.record.epochs["val_loss"][-1])])
        self.put_back()
        for trainer in self.trainers:
            if trainer.learner.optimizer.use_ema:
                trainer.learner.optimizer.finalize_variable_values(trainer.learner.model.trainable_variables)

    @property
    def epoch(self) -> int:
        """Epochs done by the trainings that have done most: those that diverged have stopped before."""
        return max(trainer.record.epoch for trainer in self.trainers)

    def put_back(self) -> None:
        """Write the trained values back into the variables of models and optimizers."""
        self.program.put_back()

    def _live(self) -> list[Trainer]:
        return [trainer for trainer in self.trainers if trainer.goes_on]

    def _train_epoch(self, live: Sequence[Trainer], after_block: Callable[[], None]) -> None:
        epoch = live[0].record.epoch
        # a training that has diverged still takes its steps, which are not recorded: the program has all or none
        orders = [np.asarray(trainer.plan.order(epoch), np.int32) for trainer in self.trainers]
        while live:
            step, most = live[0].record.step_in_epoch, int(min(self._most, live[0].until_curvature))
            found = [
                trainer.plan.block(order, step, most) for trainer, order in zip(self.trainers, orders, strict=True)
            ]
            # the epoch ends for all at once: they have as many examples
            blocks = [block for block in found if block is not None]
            if not blocks:
                break
            measured = live if live[0].curvature_is_due else []
            self._measure(measured, Trainer.measure_curvature)
            self._run_block(blocks)
            self._measure(measured, Trainer.measure_step)
            live = [trainer for trainer in live if trainer.goes_on]
            after_block()

    def _run_block(self, blocks: Sequence[np.ndarray]) -> None:
        start = time.perf_counter()
        found = self.program.run_steps(blocks)
        seconds = time.perf_counter() - start
        for trainer, (parts, values) in zip(self.trainers, found, strict=True):
            if trainer.goes_on:
                trainer.add_block(parts, values, blocks[0].shape[1], seconds / len(self.trainers))
        # the time of the first block includes the compilation, so its speed is too low: the next block corrects it
        self._most = max(1, int(_BLOCK_SECONDS * len(blocks[0]) / seconds))

    def _measure(self, trainers: Sequence[Trainer], measurement: Callable[[Trainer], None]) -> None:
        if trainers:
            self.put_back()
        for trainer in trainers:
            measurement(trainer)

    def _take_snapshots(self, live: Sequence[Trainer]) -> None:
        if live and live[0].snapshots:
            self.put_back()
        for trainer in live:
            if trainer.snapshots:
                trainer.snapshots.after_epoch(trainer.record.epochs["loss"])

    def _validate(self, live: Sequence[Trainer]) -> None:
        """Compute the validation losses and scores after the last epoch done, and keep the best weights."""
        if not live:
            return
        scored = [trainer.score is not None for trainer in self.trainers]
        # none are found if there are no validation examples
        for trainer, (loss, outputs) in zip(self.trainers, self.program.validate(scored), strict=False):
            if trainer in live:
                score = np.nan if trainer.score is None or outputs is None else trainer.score.measure(outputs)
                trainer.record.validate(loss, score)
                trainer.record.keep_if_best(trainer.decides(score), partial(self._weights, trainer))

    def _weights(self, trainer: Trainer) -> list[np.ndarray]:
        self.put_back()
        return trainer.learner.model.get_weights()


class _Alone:
    """One training's program, on the variables themselves."""

    def __init__(self, trainer: Trainer) -> None:
        compiled, learner = backends.active(), trainer.learner
        most = trainer.plan.steps_per_epoch(len(trainer.data[0]))
        self._run_steps = compiled.compile_steps(learner, trainer.data, trainer.measures, most)
        validation = trainer.validation
        self._validation = None if validation is None else compiled.compile_validation(learner, validation)

    def run_steps(self, batches: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self._run_steps(batches[0])]

    def validate(self, asked: Sequence[bool]) -> Iterator[Validated]:
        if self._validation is not None:
            yield self._validation(asked[0])

    def put_back(self) -> None:
        pass
