"""What is trained, and how: the two arguments of the training loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from quasarcurves.training.flat import flat, like
from quasarcurves.training.measures import Measure
from quasarcurves.training.optimizers import works_by_element
from quasarcurves.training.settings import steps_per_epoch


@dataclass(frozen=True)
class Learner:
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
    clipped : callable, optional
        (outputs, *targets) -> scalar: share of the outputs at which the loss is clipped, so that they get no gradient.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    loss: Callable[..., Any]
    parts: Sequence[str]
    clipped: Callable[..., Any] | None = None

    @cached_property
    def weights(self) -> list[keras.Variable]:
        """Variables that the optimizer is built for and updates.

        One row of all the model's parameters, where the optimizer works by element: its time grows with the number of
        tensors. The row holds the weights during a block of steps, the model's own variables before and after it.
        """
        variables = self.model.trainable_variables
        as_they_are = self.optimizer.built or any(variable.constraint is not None for variable in variables)
        if as_they_are or not works_by_element(self.optimizer):
            return variables
        return [keras.Variable(flat(variables), name="row")]

    @property
    def in_a_row(self) -> bool:
        """Whether `weights` are one row."""
        return self.weights[0] is not self.model.trainable_variables[0]

    def joined(self, tensors: Sequence[Any]) -> Sequence[Any]:
        """Bring tensors that are like the model's trainable variables into the form of `weights`."""
        return [flat(tensors)] if self.in_a_row else tensors

    def parted(self, tensors: Sequence[Any]) -> Sequence[Any]:
        """Bring tensors that are like `weights` into the form of the model's trainable variables."""
        return like(tensors[0], self.model.trainable_variables) if self.in_a_row else tensors


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
        Epochs between computations of the validation loss. The last epoch is always validated.
    measures : sequence of Measure, optional
        What is recorded per step; all that the optimizer has (`measures.step_record`) unless given.
    best : str
        Which weights are kept as the best, by "loss" or by the score of that name: see `record.Record.is_best`.
    """

    epochs: int
    batch_size: int
    order: Callable[[int], np.ndarray]
    last_batch: str = "keep"
    validate_every: int = 1
    measures: Sequence[Measure] | None = None
    best: str = "loss"

    def steps_per_epoch(self, n: int) -> int:
        """Return the number of optimizer steps in an epoch of n examples."""
        return steps_per_epoch(n, self.batch_size, self.last_batch)

    def block(self, order: np.ndarray, step: int, most: int) -> np.ndarray | None:
        """Return the next batches of an epoch, all of one size.

        Parameters
        ----------
        order : (n,) int array
            The epoch's examples.
        step : int
            Steps done in the epoch.
        most : int
            Batches at most.

        Returns
        -------
        (steps, batch) int32 array or None
            None at the end of the epoch.
        """
        n_full = len(order) // self.batch_size
        if step < n_full:
            end = min(step + most, n_full)
            return order[step * self.batch_size : end * self.batch_size].reshape(-1, self.batch_size)
        rest = order[n_full * self.batch_size :].reshape(1, -1)
        return rest if step == n_full and self.last_batch == "keep" and rest.size else None
