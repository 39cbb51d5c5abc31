"""Several trainings in one program, by JAX: each step is taken by all of them at once.

The networks have one form, so one vectorised program computes the losses and gradients of all. Optimizers differ: each
updates its own trainings, again all at once. Between blocks all values stay on the device, stacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from quasarcurves.training.backends.jax import differentiated, updated, validation_of
from quasarcurves.training.backends.shared import Training, Validated


class Packed:
    """The program of several trainings (see `loop.Program`).

    Parameters
    ----------
    groups : sequence of sequences of Training
        Those with the same optimizer stand together. All have the same network, the same data, of which their plans
        name the rows, and the same validation examples.
    """

    def __init__(self, groups: Sequence[Sequence[Training]]) -> None:
        trainers = [trainer for group in groups for trainer in group]
        first = trainers[0]
        self._learners = [trainer.learner for trainer in trainers]
        self._groups = [[trainer.learner for trainer in group] for group in groups]
        self._state: list[Any] | None = None
        self._run_steps = _compile_steps(groups)
        self._most = first.plan.steps_per_epoch(len(first.plan.order(0)))
        self._data = [jax.device_put(array) for array in first.data]
        self._validation = None if first.validation is None else validation_of(first.learner, first.validation)

    def run_steps(self, batches: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Take a block of steps on (steps, batch) examples each: losses by part and measures, a row per step."""
        n_steps = len(batches[0])
        padded = np.pad(np.stack(batches, 1), ((0, self._most - n_steps), (0, 0), (0, 0)))
        self._state, parts, values = self._run_steps(self._now(), self._data, padded, n_steps)
        for learner in self._learners:
            # the learning rate may depend on it; all other variables are written back when they are asked for
            learner.optimizer.iterations.assign_add(n_steps)
        parts, values = jax.device_get((parts, values))
        rows = [group[:n_steps, i] for group in values for i in range(group.shape[1])]
        return [(parts[:n_steps, i], rows[i]) for i in range(len(self._learners))]

    def validate(self, asked: Sequence[bool]) -> Iterator[Validated]:
        """Validate one training after the other: the outputs of all would fill the memory."""
        if self._validation is not None:
            weights, others, _ = self._now()
            for i, wanted in enumerate(asked):
                yield self._validation([value[i] for value in weights], [value[i] for value in others], wanted)

    def put_back(self) -> None:
        """Write the trained values back into the variables of models and optimizers."""
        if self._state is None:
            return
        weights, others, rests = jax.device_get(self._state)
        for i, learner in enumerate(self._learners):
            _assign(learner.model.trainable_variables, weights, i)
            _assign(learner.model.non_trainable_variables, others, i)
        for group, rest in zip(self._groups, rests, strict=True):
            for i, learner in enumerate(group):
                _assign(learner.optimizer.variables, rest, i)

    def _now(self) -> list[Any]:
        """Return all values, stacked: weights, other variables of models, and variables of optimizers by group."""
        if self._state is None:
            models = [learner.model for learner in self._learners]
            self._state = [
                _stacked([model.trainable_variables for model in models]),
                _stacked([model.non_trainable_variables for model in models]),
                [_stacked([learner.optimizer.variables for learner in group]) for group in self._groups],
            ]
        return self._state


def _compile_steps(groups: Sequence[Sequence[Training]]) -> Callable[..., Any]:
    """Compile (state, data, batches, number of steps) -> state, losses by part, and measures by group."""
    parts, sizes = groups[0][0].learner.parts, [len(group) for group in groups]
    n_measures = [len(group[0].measures) for group in groups]
    one_step = partial(_one_step, groups)

    # the old values are not needed again: their memory is reused
    @partial(jax.jit, donate_argnums=0)
    def run_steps(state: list[Any], data: list[Any], batches: Any, n_steps: Any) -> tuple[list[Any], Any, list[Any]]:
        def body(i: Any, carried: tuple[list[Any], Any, list[Any]]) -> tuple[list[Any], Any, list[Any]]:
            state, all_parts, all_values = carried
            batch = [jnp.take(array, batches[i], axis=0) for array in data]
            state, parts, values = one_step(state, batch)
            return state, all_parts.at[i].set(parts), [a.at[i].set(v) for a, v in zip(all_values, values, strict=True)]

        most = len(batches)
        empty_parts = jnp.zeros((most, sum(sizes), len(parts)))
        empty_values = [jnp.zeros((most, size, n)) for size, n in zip(sizes, n_measures, strict=True)]
        return jax.lax.fori_loop(0, n_steps, body, (state, empty_parts, empty_values))

    return run_steps


def _one_step(
    groups: Sequence[Sequence[Training]], state: Sequence[Any], batch: Sequence[Any]
) -> tuple[list[Any], Any, list[Any]]:
    """Return all values after a step, the losses by part (trainings, parts), and the measures by group."""
    weights, others, rests = state
    loss, parts, others, gradients = jax.vmap(partial(differentiated, groups[0][0].learner))(weights, others, batch)
    moved, start = [], 0
    for group, rest in zip(groups, rests, strict=True):
        own = slice(start, start + len(group))
        step = jax.vmap(partial(updated, group[0].learner, group[0].measures))
        moved.append(step([w[own] for w in weights], rest, loss[own], [g[own] for g in gradients]))
        start += len(group)
    weights, rests, values = zip(*moved, strict=True)
    together = [jnp.concatenate(pieces) for pieces in zip(*weights, strict=True)]
    return [together, others, list(rests)], parts, list(values)


def _stacked(variables: Sequence[Sequence[Any]]) -> list[Any]:
    """Stack the values of corresponding variables."""
    return [jnp.stack([variable.value for variable in alike]) for alike in zip(*variables, strict=True)]


def _assign(variables: Sequence[Any], stacks: Sequence[np.ndarray], i: int) -> None:
    """Assign each variable its row i of a stack."""
    for variable, stack in zip(variables, stacks, strict=True):
        # a copy: on a CPU the stack may be the memory that the next block of steps uses again
        variable.assign(np.array(stack[i]))
