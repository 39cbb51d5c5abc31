"""QuasarNET in JAX, for `peers.py`: all batches of a pass in one scan, convolutions as products of matrices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from peers_worker import (
    ADAM_EPSILON,
    BETA_1,
    BETA_2,
    CONVOLUTIONS,
    FIRST,
    KERNEL_WIDTH,
    LOG_EPSILON,
    MOMENTUM,
    NORM_EPSILON,
    OFFSET_SCALE,
    OFFSET_SHIFT,
    RATE,
    STRIDE,
    Inputs,
    Seconds,
    serve,
    timed,
)

# JAX reads both when it makes its devices: there is no other way to set its threads
os.environ |= {"NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}

import jax
import jax.numpy as jnp

Tree = dict[str, Any]


def start(inputs: Inputs) -> tuple[Tree, Tree]:
    """Return the weights, and the running means and variances."""
    weights, running = {name: jnp.asarray(kernel) for name, kernel in inputs.kernels.items()}, {}
    for name in [*(f"conv_{i}" for i in range(1, CONVOLUTIONS + 1)), "fc_common"]:
        ones, zeros = jnp.ones(inputs.filters), jnp.zeros(inputs.filters)
        weights |= {f"{name}_gamma": ones, f"{name}_beta": zeros}
        running |= {f"{name}_mean": zeros, f"{name}_variance": ones}
    return weights | {"bias": jnp.zeros(inputs.kernels["heads"].shape[1])}, running


def convolved(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Multiply patches with the kernel; (n, bins, channels) -> (n, windows, filters)."""
    n_windows = (x.shape[1] - KERNEL_WIDTH) // STRIDE + 1
    per_window = KERNEL_WIDTH // STRIDE
    n_pieces = n_windows - 1 + per_window
    pieces = x[:, : n_pieces * STRIDE].reshape(len(x), n_pieces, -1)
    windows = jnp.concatenate([pieces[:, i : i + n_windows] for i in range(per_window)], -1)
    return windows @ kernel.reshape(-1, kernel.shape[-1])


def outputs_of(weights: Tree, flux: jax.Array) -> tuple[jax.Array, Tree]:
    """Return the logits, (n, L * 2B), and the means and variances of the batch."""
    seen: Tree = {}

    def activated(x: jax.Array, name: str) -> jax.Array:
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axes)
        # one pass for both, as Flax takes them
        variance = jnp.square(x).mean(axes) - jnp.square(mean)
        seen.update({f"{name}_mean": mean, f"{name}_variance": variance})
        factor = weights[f"{name}_gamma"] * jax.lax.rsqrt(variance + NORM_EPSILON)
        return jax.nn.relu(x * factor + (weights[f"{name}_beta"] - mean * factor))

    x = flux[..., None]
    for i in range(1, CONVOLUTIONS + 1):
        x = activated(convolved(x, weights[f"conv_{i}"]), f"conv_{i}")
    x = activated(x.reshape(len(x), -1) @ weights["fc_common"], "fc_common")
    return x @ weights["heads"] + weights["bias"], seen


def loss_of(boxes: int, weights: Tree, flux: jax.Array, box: Any, offset: Any, weight: Any) -> tuple[jax.Array, Tree]:
    """Sum the loss over lines and average it over spectra; return the statistics of the batch too."""
    logits, seen = outputs_of(weights, flux)
    p, q = jnp.split(jax.nn.sigmoid(logits.reshape(*box.shape, 2 * boxes)), 2, -1)
    y = jax.nn.one_hot(box, boxes)
    filled, empty = y.sum(-1) + LOG_EPSILON, (1 - y).sum(-1) + LOG_EPSILON
    hits, misses = (y * _log(p)).sum(-1) / filled, ((1 - y) * _log(1 - p)).sum(-1) / empty
    offs = (y * jnp.square(offset[..., None] - OFFSET_SCALE * q - OFFSET_SHIFT)).sum(-1) / filled
    return (weight * (offs - hits - misses)).sum(-1).mean(), seen


def _log(values: jax.Array) -> jax.Array:
    return jnp.log(jnp.clip(values, LOG_EPSILON, 1 - LOG_EPSILON))


def adam(t: jax.Array, weight: jax.Array, m: jax.Array, v: jax.Array, gradient: jax.Array) -> tuple[jax.Array, ...]:
    """Take Adam's step on a tensor, as Keras does; return the weights and both means after it."""
    m, v = m + (1 - BETA_1) * (gradient - m), v + (1 - BETA_2) * (jnp.square(gradient) - v)
    rate = RATE * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
    return weight - rate * m / (jnp.sqrt(v) + ADAM_EPSILON), m, v


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def steps(boxes: int, state: tuple, data: Sequence[jax.Array], batches: jax.Array) -> tuple[tuple, jax.Array]:
    """Take a step on each of the batches; return the state after them and the losses."""

    def one(state: tuple, rows: jax.Array) -> tuple[tuple, jax.Array]:
        t, weights, running, m, v = state
        batch = [array[rows] for array in data]
        differentiated = jax.value_and_grad(partial(loss_of, boxes), has_aux=True)
        (loss, seen), gradients = differentiated(weights, *batch)
        moved = {name: adam(t + 1.0, weights[name], m[name], v[name], gradients[name]) for name in weights}
        running = jax.tree.map(lambda old, new: MOMENTUM * old + (1 - MOMENTUM) * new, running, seen)
        parts = ({name: each[i] for name, each in moved.items()} for i in range(3))
        weights, m, v = parts
        return (t + 1, weights, running, m, v), loss

    return jax.lax.scan(one, state, batches)


class Training:
    """A training under way."""

    def __init__(self, inputs: Inputs) -> None:
        self._boxes, self._batches = inputs.boxes, jnp.asarray(inputs.batches)
        self._data = [jnp.asarray(each) for each in (inputs.flux, inputs.box, inputs.offset, inputs.weight)]
        weights, running = start(inputs)
        m, v = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
        # memory that is given away must not be another's too
        self._state = jax.tree.map(jnp.copy, (jnp.zeros(()), weights, running, m, v))

    def first_losses(self) -> Sequence[float]:
        """Take the first steps and return their losses."""
        return self._pass()[:FIRST].tolist()

    def turn(self, passes: int) -> Seconds:
        """Take a step on each of the batches, so many times, and return the time it took."""
        return timed(lambda: [self._pass().block_until_ready() for _ in range(passes)])

    def _pass(self) -> jax.Array:
        self._state, losses = steps(self._boxes, self._state, self._data, self._batches)
        return losses


if __name__ == "__main__":
    serve(lambda form, inputs: Training(inputs))
