"""Going through a training again, stopping where one likes, and going on from there in another way.

A training is bit-reproducible, so its state at any step can be made again from its beginning. That costs one training,
and is less than what goes on from a few forks; nothing has to be kept while the training runs, and forks may depend on
what its record shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quasarcurves.training import backends
from quasarcurves.training.loop import Trainer
from quasarcurves.training.measures import Loss
from quasarcurves.training.passages import BLOCK
from quasarcurves.training.plan import Learner, Plan


class NotReproduced(ValueError):
    """A training that was gone through again gave other losses than its record."""


@dataclass(frozen=True)
class State:
    """Values of all variables of a model and its optimizer, in their order."""

    model: list[np.ndarray]
    optimizer: list[np.ndarray]

    @classmethod
    def of(cls, learner: Learner) -> State:
        """Copy the present state of a learner."""
        return cls(
            [np.array(each) for each in _of_model(learner)], [np.array(each) for each in learner.optimizer.variables]
        )

    @property
    def values(self) -> list[np.ndarray]:
        """Values of the model's variables, those trained first, and of the optimizer's."""
        return [*self.model, *self.optimizer]

    def put(self, learner: Learner) -> None:
        """Put the learner that the state was taken from into it."""
        for variable, value in zip([*_of_model(learner), *learner.optimizer.variables], self.values, strict=True):
            variable.assign(value)

    def carry(self, learner: Learner, other: Learner) -> None:
        """Put another learner into it: the same network, and what its optimizer shares with that of `learner`."""
        for variable, value in zip(_of_model(other), self.model, strict=True):
            variable.assign(value)
        names = (_own_name(variable) for variable in learner.optimizer.variables)
        known = dict(zip(names, self.optimizer, strict=True))
        for variable in other.optimizer.variables:
            if _own_name(variable) in known:
                variable.assign(known[_own_name(variable)])


def _of_model(learner: Learner) -> list[Any]:
    return [*learner.model.trainable_variables, *learner.model.non_trainable_variables]


def _own_name(variable: Any) -> str:
    """Return a variable's path without its optimizer's name."""
    return variable.path.partition("/")[2]


class Course:
    """A training gone through again from its beginning.

    Parameters
    ----------
    trainer : Trainer
        Fresh.
    record : (steps,) float32 array
        The loss of every step as the training recorded it.
    """

    def __init__(self, trainer: Trainer, record: np.ndarray) -> None:
        self.trainer, self.record, self.step = trainer, record, 0
        self._loss = next(i for i, measure in enumerate(trainer.measures) if isinstance(measure, Loss))
        self.most = max(BLOCK, trainer.plan.steps_per_epoch(len(trainer.plan.order(0))))
        self._run = backends.active().compile_steps(trainer.learner, trainer.data, trainer.measures, self.most)

    def go_to(self, step: int) -> None:
        """Take the training's own steps up to one.

        Raises
        ------
        NotReproduced
            If a loss differs from that recorded, in any bit.
        """
        for batches in self.own_batches(self.step, step):
            self.check(self.step, self.losses(batches))
            self.step += len(batches)

    def check(self, step: int, losses: np.ndarray) -> None:
        """Compare losses from a step on with those recorded.

        Raises
        ------
        NotReproduced
            If one differs, in any bit.
        """
        expected = self.record[step : step + len(losses)]
        # two losses that are not finite are the same
        if not np.array_equal(losses, expected, equal_nan=True):
            first = int(np.flatnonzero(losses != expected)[0])
            raise NotReproduced(
                f"step {step + first}: the loss is {losses[first]:.9g}, and was {expected[first]:.9g} in the record, "
                "expected the same bits: replays need the machine, the threads and the libraries of the training"
            )

    def losses(self, batches: np.ndarray) -> np.ndarray:
        """Take a block of steps on (steps, batch) examples; return their losses, (steps,) float32."""
        _, values = self._run(np.ascontiguousarray(batches, np.int32))
        return values[:, self._loss]

    def own_batches(self, first: int, last: int) -> Iterator[np.ndarray]:
        """Yield the training's own batches from one step to another, (steps, batch) each."""
        yield from own_batches(self.trainer.plan, first, last, self.most)


def own_batches(plan: Plan, first: int, last: int, most: int) -> Iterator[np.ndarray]:
    """Yield the batches of a plan from one step to another, counted from 0; blocks of `most` steps at most.

    Returns
    -------
    iterator of (steps, batch) int arrays
    """
    per_epoch = plan.steps_per_epoch(len(plan.order(0)))
    while first < last:
        epoch, step = divmod(first, per_epoch)
        block = plan.block(np.asarray(plan.order(epoch), np.int32), step, min(most, last - first))
        assert block is not None
        yield block
        first += len(block)


def cut_batches(examples: np.ndarray, size: int) -> np.ndarray:
    """Cut a row of examples into full batches; (steps, size)."""
    whole = len(examples) // size * size
    return examples[:whole].reshape(-1, size)


def shuffled_epochs(places: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return examples in new orders, one epoch after the other, `number` in all; (number,)."""
    epochs: Sequence[np.ndarray] = [rng.permutation(places) for _ in range(-(-number // len(places)))]
    return np.concatenate(epochs)[:number]


def example_losses(
    learner: Learner,
    outputs: Any,
    data: Sequence[np.ndarray],
    places: np.ndarray,
    batch_size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the loss of each example where a learner stands, batch normalisation as in training.

    Parameters
    ----------
    learner : Learner
    outputs : callable
        Those of `backends.compile_derivatives`.
    data : sequence of (n, ...) arrays
        The model's input, then the targets that `learner.loss` takes.
    places : (k,) int array
        Examples wanted, by their places in `data`.
    batch_size : int
        Examples that share the statistics of batch normalisation; all, if they are fewer.
    rng : Generator
        Draws which ones do.

    Returns
    -------
    (k,) float64 array
    """
    order = rng.permutation(len(places))
    size = min(batch_size, len(order))
    losses = np.zeros(len(order))
    for batch in [*cut_batches(order, size), order[-size:]]:
        x, *targets = (array[places[batch]] for array in data)
        losses[batch] = np.asarray(learner.loss(outputs([x, *targets]), *targets)).sum(axis=1)
    return losses
