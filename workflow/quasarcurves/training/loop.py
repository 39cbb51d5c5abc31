"""The training loop: whole blocks of steps are compiled, every step is recorded.

Differs from `keras.Model.fit` in that the data stay resident, the order of examples is given from outside (so that
runs can be paired), an epoch is one call into compiled code, and nothing of a step's record is averaged away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from quasarcurves.training.history import History
from quasarcurves.training.measures import STEP_RECORD, Measure, Step


@dataclass(frozen=True)
class Task:
    """What is trained.

    Parameters
    ----------
    model : keras.Model
    optimizer : keras.optimizers.Optimizer
    loss : callable
        (outputs, *targets) -> (n, parts) tensor: loss per example and part, weights included; a batch's loss is the
        sum over parts, averaged over its examples.
    parts : sequence of str
        Names of the loss's parts.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    loss: Callable[..., Any]
    parts: Sequence[str]


@dataclass(frozen=True)
class Plan:
    """How it is trained.

    Parameters
    ----------
    epochs, batch_size : int
    order : callable
        epoch -> (n,) permutation of the examples, epochs counted from 0.
    last_batch : {"keep", "drop"}
        What to do with an incomplete last batch.
    validate_every : int
        Epochs between computations of the validation loss; 0 for never. The last epoch is always validated.
    measures : sequence of Measure
        What is recorded per step.
    """

    epochs: int
    batch_size: int
    order: Callable[[int], np.ndarray]
    last_batch: str = "keep"
    validate_every: int = 1
    measures: Sequence[Measure] = STEP_RECORD

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Give the epoch's batches as (steps, batch) index arrays: the full ones, then the incomplete one if kept."""
        order = np.asarray(self.order(epoch), np.int32)
        n_full = len(order) // self.batch_size * self.batch_size
        blocks = [order[:n_full].reshape(-1, self.batch_size)]
        if self.last_batch == "keep":
            blocks.append(order[n_full:].reshape(1, -1))
        return [block for block in blocks if block.size]

    def steps_per_epoch(self, n: int) -> int:
        """Give the number of optimizer steps in an epoch of n examples."""
        full, rest = divmod(n, self.batch_size)
        return full + (1 if rest and self.last_batch == "keep" else 0)

    def validates(self, epoch: int) -> bool:
        """Whether the validation loss is computed after an epoch."""
        if not self.validate_every:
            return False
        return (epoch + 1) % self.validate_every == 0 or epoch + 1 == self.epochs


@dataclass
class Progress:
    """A training under way: what is recorded so far, and the best weights seen.

    Parameters
    ----------
    epoch : int
        Epochs done.
    epochs, steps : dict of str to list
        The record so far: a number per epoch, an array per block of steps.
    best_loss : float
        Lowest validation loss so far.
    best_weights : list of arrays
        The model's weights there; empty before the first validation.
    diverged_step : int or None
        First step (from 0) whose loss was not finite.
    """

    epoch: int = 0
    epochs: dict[str, list[float]] = field(default_factory=dict)
    steps: dict[str, list[np.ndarray]] = field(default_factory=dict)
    best_loss: float = np.inf
    best_weights: list[np.ndarray] = field(default_factory=list)
    diverged_step: int | None = None

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.epochs["step"][-1]) if self.epochs else 0

    def history(self) -> History:
        """Give the record as arrays: float32 but for the step number and the seconds."""
        wide = {"step": np.int64, "seconds": np.float64}
        epochs = {name: np.array(values, wide.get(name, np.float32)) for name, values in self.epochs.items()}
        steps = {name: np.concatenate(parts) for name, parts in self.steps.items()}
        return History(epochs, steps)


def train(
    task: Task,
    data: Sequence[np.ndarray],
    plan: Plan,
    validation: Sequence[np.ndarray] | None = None,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train a model, recording every step.

    Training ends early at the first loss that is not finite: the run is then marked with that step, the record ends
    with it, and the best weights seen before stay.

    Parameters
    ----------
    task : Task
    data, validation : sequences of (n, ...) arrays
        The model's input, then the targets that `task.loss` takes.
    plan : Plan
    on_epoch : callable
        Called after every epoch.

    Returns
    -------
    Progress
        The model of `task` holds the final weights.
    """
    task.optimizer.build(task.model.trainable_variables)
    run_steps = _compile_steps(task, data, plan.measures)
    validation_loss = _compile_validation(task, validation) if validation is not None else None
    progress = Progress()
    while progress.epoch < plan.epochs and progress.diverged_step is None:
        _run_epoch(run_steps, task, plan, progress)
        validate = validation_loss is not None and plan.validates(progress.epoch)
        progress.epochs.setdefault("val_loss", []).append(validation_loss() if validate else np.nan)
        if validate and progress.epochs["val_loss"][-1] < progress.best_loss:
            progress.best_loss = progress.epochs["val_loss"][-1]
            progress.best_weights = task.model.get_weights()
        progress.epoch += 1
        on_epoch(progress)
    if task.optimizer.use_ema:
        task.optimizer.finalize_variable_values(task.model.trainable_variables)
    return progress


def _run_epoch(run_steps: Callable[..., Any], task: Task, plan: Plan, progress: Progress) -> None:
    """Run one epoch and add it to the record, up to the first loss that is not finite."""
    start = time.perf_counter()
    blocks = plan.batches(progress.epoch)
    results = [run_steps(block) for block in blocks]
    parts = np.concatenate([np.asarray(part) for part, _ in results])
    measures = [np.concatenate([np.asarray(values[i]) for _, values in results]) for i in range(len(plan.measures))]
    seconds = time.perf_counter() - start

    bad = np.flatnonzero(~np.isfinite(parts).all(axis=1))
    n_steps = bad[0] + 1 if bad.size else len(parts)
    progress.diverged_step = progress.step + int(bad[0]) if bad.size else None
    for measure, values in zip(plan.measures, measures, strict=True):
        progress.steps.setdefault(measure.name, []).append(values[:n_steps])

    sizes = np.concatenate([np.full(len(block), block.shape[1]) for block in blocks])[:n_steps]
    means = np.average(parts[:n_steps].astype(np.float64), axis=0, weights=sizes)
    row = {
        "loss": means.sum(),
        **{f"loss_{name}": mean for name, mean in zip(task.parts, means, strict=True)},
        "learning_rate": float(task.optimizer.learning_rate),
        "step": progress.step + n_steps,
        "seconds": seconds,
    }
    for name, value in row.items():
        progress.epochs.setdefault(name, []).append(value)


def _compile_steps(task: Task, data: Sequence[np.ndarray], measures: Sequence[Measure]) -> Callable[..., Any]:
    """Compile a block of steps: (steps, batch) indices -> losses by part (steps, parts), and each measure (steps,)."""
    arrays = [tf.constant(array) for array in data]
    model, optimizer = task.model, task.optimizer

    def one_step(rows: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        x, *targets = (tf.gather(array, rows) for array in arrays)
        with tf.GradientTape() as tape:
            parts = tf.reduce_mean(task.loss(model(x, training=True), *targets), axis=0)
            loss = tf.reduce_sum(parts)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        step = Step(loss, gradients, model, optimizer)
        return parts, [tf.cast(measure(step), tf.float32) for measure in measures]

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32)])
    def run_steps(batches: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        n_steps = tf.shape(batches)[0]
        all_parts = tf.TensorArray(tf.float32, n_steps)
        columns = [tf.TensorArray(tf.float32, n_steps) for _ in measures]
        for i in tf.range(n_steps):
            parts, values = one_step(batches[i])
            all_parts = all_parts.write(i, parts)
            columns = [column.write(i, value) for column, value in zip(columns, values, strict=True)]
        return all_parts.stack(), [column.stack() for column in columns]

    return run_steps


def _compile_validation(task: Task, validation: Sequence[np.ndarray], rows: int = 1024) -> Callable[[], float]:
    """Compile the mean loss over the validation examples, `rows` at a time."""
    n = len(validation[0])

    @tf.function(reduce_retracing=True)
    def summed(x: tf.Tensor, *targets: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(task.loss(task.model(x, training=False), *targets))

    def mean() -> float:
        total = 0.0
        for start in range(0, n, rows):
            total += float(summed(*(tf.constant(array[start : start + rows]) for array in validation)))
        return total / n

    return mean
