"""Training compiled by JAX: one program for a block of steps, on copies of the variables' values.

The variables of the model and the optimizer hold the values before and after a block; within it they are arguments and
results, as JAX wants them. Data stay on the device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from quasarcurves.training.backends.shared import Derivatives, Validated, copy_in_float32, update, validated
from quasarcurves.training.flat import flat, like
from quasarcurves.training.measures import Loss, Measure
from quasarcurves.training.plan import Learner


def set_up(threads: int) -> None:
    """Use exactly this many threads, and no more of a GPU's memory than is needed; before the first operation."""
    # JAX reads it when it makes its devices: the only way to set the threads of the CPU
    os.environ["NPROC"] = str(threads)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()


def threads() -> int:
    """Return the number of threads in use."""
    return int(os.environ.get("NPROC") or os.cpu_count() or 1)


def compile_steps(
    learner: Learner, data: Sequence[np.ndarray], measures: Sequence[Measure], most: int
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Compile blocks of steps: one program serves all lengths up to `most`."""
    # on a CPU aligned arrays are shared, not copied
    arrays = [jax.device_put(array) for array in data]
    held = _variables(learner)
    run_steps = _whole_block(learner, measures)

    def run(batches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n_steps = len(batches)
        padded = np.pad(batches, ((0, most - n_steps), (0, 0)))
        state, parts, values = run_steps([variable.value for variable in held], arrays, padded, n_steps)
        for variable, value in zip(held, state, strict=True):
            variable.assign(value)
        return np.asarray(parts[:n_steps]), np.asarray(values[:n_steps])

    return run


def _whole_block(learner: Learner, measures: Sequence[Measure]) -> Callable[..., Any]:
    """Compile (state, data, batches, number of steps) -> state, losses by part and measures of all batches."""

    # the old values are not needed again: their memory is reused
    @partial(jax.jit, donate_argnums=0)
    def run_steps(state: list[Any], data: list[Any], batches: Any, n_steps: Any) -> tuple[list[Any], Any, Any]:
        def body(i: Any, carried: tuple[list[Any], Any, Any]) -> tuple[list[Any], Any, Any]:
            state, all_parts, all_values = carried
            batch = [jnp.take(array, batches[i], axis=0) for array in data]
            state, parts, values = _one_step(learner, measures, state, batch)
            return state, all_parts.at[i].set(parts), all_values.at[i].set(values)

        empty = jnp.zeros((len(batches), len(learner.parts))), jnp.zeros((len(batches), len(measures)))
        return jax.lax.fori_loop(0, n_steps, body, (state, *empty))

    return run_steps


def compile_many(
    learner: Learner, data: Sequence[np.ndarray], most: int
) -> Callable[[Sequence[Any], np.ndarray], tuple[list[Any], np.ndarray]]:
    """Compile blocks of steps, up to `most`, of many states of one training at once.

    Returns
    -------
    callable
        Values of `_variables` of each state, stacked, and (states, steps, batch) examples -> values after the steps,
        and losses (states, steps).
    """
    arrays = [jax.device_put(array) for array in data]
    step = jax.vmap(partial(_one_step, learner, [Loss()]))

    @jax.jit
    def run_steps(states: list[Any], data: list[Any], batches: Any, n_steps: Any) -> tuple[list[Any], Any]:
        def body(i: Any, carried: tuple[list[Any], Any]) -> tuple[list[Any], Any]:
            states, losses = carried
            batch = [jnp.take(array, batches[i], axis=0) for array in data]  # (states, batch, ...)
            states, _, values = step(states, batch)
            return states, losses.at[i].set(values[:, 0])

        return jax.lax.fori_loop(0, n_steps, body, (states, jnp.zeros(batches.shape[:2])))

    def run(states: Sequence[Any], batches: np.ndarray) -> tuple[list[Any], np.ndarray]:
        n_steps = batches.shape[1]
        padded = np.pad(np.swapaxes(batches, 0, 1), ((0, most - n_steps), (0, 0), (0, 0)))
        after, losses = run_steps(list(states), arrays, padded, n_steps)
        return after, np.asarray(losses[:n_steps]).T

    return run


def _one_step(
    learner: Learner, measures: Sequence[Measure], state: Sequence[Any], batch: Sequence[Any]
) -> tuple[list[Any], Any, Any]:
    """Return the values of all variables after a step, the losses by part, and the measures."""
    weights, others, rest = _cut(learner, state)
    loss, parts, others, gradients = differentiated(learner, weights, others, batch)
    weights, rest, values = updated(learner, measures, weights, rest, loss, gradients)
    return [*weights, *others, *rest], parts, values


def differentiated(
    learner: Learner, weights: Sequence[Any], others: Sequence[Any], batch: Sequence[Any]
) -> tuple[Any, Any, list[Any], list[Any]]:
    """Return the loss of a batch, the losses by part, the model's other variables, and the gradients."""
    differentiate = jax.value_and_grad(partial(_loss, learner), has_aux=True)
    (loss, (parts, moved)), gradients = differentiate(list(weights), list(others), batch)
    return loss, parts, moved, gradients


def updated(
    learner: Learner,
    measures: Sequence[Measure],
    weights: Sequence[Any],
    rest: Sequence[Any],
    loss: Any,
    gradients: Sequence[Any],
) -> tuple[list[Any], list[Any], Any]:
    """Return the weights and the optimizer's variables after its step, and the measures."""
    trained, kept = learner.weights, learner.optimizer.variables
    before = [*learner.joined(weights), *rest]
    with keras.StatelessScope(list(zip([*trained, *kept], before, strict=True))) as scope:
        values, _ = update(learner, measures, loss, learner.joined(gradients), flat(weights))
    after = [scope.get_current_value(variable) for variable in trained]
    return list(learner.parted(after)), [scope.get_current_value(variable) for variable in kept], values


def compile_validation(learner: Learner, validation: Sequence[np.ndarray]) -> Callable[[bool], Validated]:
    """Compile the mean loss over the validation examples, and the model's outputs for them."""
    program = validation_of(learner, validation)
    return lambda asked: program(*_cut(learner, [variable.value for variable in _variables(learner)])[:2], asked)


def validation_of(
    learner: Learner, validation: Sequence[np.ndarray]
) -> Callable[[list[Any], list[Any], bool], Validated]:
    """Compile the same as a function of weights and other variables too."""

    @jax.jit
    def outputs(weights: list[Any], others: list[Any], x: Any) -> Any:
        return learner.model.stateless_call(weights, others, x, training=False)[0]

    @jax.jit
    def summed(outputs: Any, *targets: Any) -> Any:
        return jnp.sum(learner.loss(outputs, *targets))

    return lambda weights, others, asked: validated(validation, partial(outputs, weights, others), summed, asked)


def compile_derivatives(learner: Learner) -> Derivatives:
    """Compile gradient, products with the Hessian, and outputs: of each shape of examples once."""
    exact = replace(learner, model=copy_in_float32(learner.model, type))

    def differentiated(weights: list[Any], others: list[Any], batch: Sequence[Any]) -> list[Any]:
        # the model's other variables, such as moving means, are not updated
        return jax.grad(lambda weights: _loss(exact, weights, others, batch)[0])(weights)

    @jax.jit
    def gradient(weights: list[Any], others: list[Any], batch: Sequence[Any]) -> Any:
        return flat(differentiated(weights, others, batch))

    @jax.jit
    def product(weights: list[Any], others: list[Any], batch: Sequence[Any], vector: Any) -> Any:
        along = like(vector, weights)
        return flat(jax.jvp(lambda weights: differentiated(weights, others, batch), (weights,), (along,))[1])

    @jax.jit
    def outputs(weights: list[Any], others: list[Any], batch: Sequence[Any]) -> Any:
        return exact.model.stateless_call(weights, others, batch[0], training=True)[0]

    def here(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            return function(*_cut(learner, [variable.value for variable in _variables(learner)])[:2], *arguments)

        return call

    return Derivatives(here(gradient), here(product), here(outputs))


def _loss(
    learner: Learner, weights: list[Any], others: list[Any], batch: Sequence[Any]
) -> tuple[Any, tuple[Any, list[Any]]]:
    """Return the mean loss of a batch; beside it the losses by part and the model's other variables after it."""
    x, *targets = batch
    outputs, others = learner.model.stateless_call(weights, others, x, training=True)
    parts = jnp.mean(learner.loss(outputs, *targets), axis=0)
    return jnp.sum(parts), (parts, others)


def _variables(learner: Learner) -> list[keras.Variable]:
    model = learner.model
    return [*model.trainable_variables, *model.non_trainable_variables, *learner.optimizer.variables]


def _cut(learner: Learner, state: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Cut values of `_variables` into the model's weights, its other variables, and the optimizer's."""
    first = len(learner.model.trainable_variables)
    second = first + len(learner.model.non_trainable_variables)
    return list(state[:first]), list(state[first:second]), list(state[second:])
