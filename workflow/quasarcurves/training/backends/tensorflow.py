"""Training compiled by TensorFlow: one graph for a block of steps, on the model's own variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from quasarcurves.training.backends.shared import Derivatives, Validated, copy_in_float32, update, validated
from quasarcurves.training.flat import flat, like
from quasarcurves.training.measures import Loss, Measure
from quasarcurves.training.plan import Learner

_ALIGNMENT = 64
"""Bytes; TensorFlow takes memory without a copy only where it starts at a multiple of this."""

_ZERO = tf.UnconnectedGradients.ZERO
"""Gradient of variables that a loss does not depend on."""

_compiled = partial(tf.function, autograph=False)
"""Compile a function as it is. AutoGraph would write every function it meets into the folder of temporary files, and a
killed training would leave them there."""


def set_up(threads: int) -> None:
    """Use exactly this many threads, and no more of a GPU's memory than is needed; before the first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if threads > 1:
        # one thread adds up in one order anyway; several have to be made to, which costs some speed
        tf.config.experimental.enable_op_determinism()
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def threads() -> int:
    """Return the number of threads in use."""
    return tf.config.threading.get_intra_op_parallelism_threads()


def compile_steps(
    learner: Learner, data: Sequence[np.ndarray], measures: Sequence[Measure], most: int
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Compile blocks of steps; they may have any length, also above `most`."""
    arrays = [resident(array) for array in data]
    trained, others = learner.model.trainable_variables, learner.model.non_trainable_variables
    weights = learner.weights
    moves = any(not isinstance(measure, Loss) for measure in measures)

    def one_step(rows: tf.Tensor, before: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        x, *targets = (tf.gather(array, rows) for array in arrays)
        values = _tensors(weights)
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs, moved = learner.model.stateless_call(learner.parted(values), _tensors(others), x, training=True)
            parts = tf.reduce_mean(learner.loss(outputs, *targets), axis=0)
            loss = tf.reduce_sum(parts)
        gradients = _gradients(tape, loss, values)
        _assign(others, moved)
        values, step = update(learner, measures, loss, gradients, before)
        return parts, values, step.after if moves else before

    @_compiled(input_signature=[tf.TensorSpec((None, None), tf.int32)])
    def run_steps(batches: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        n_steps = tf.shape(batches)[0]
        all_parts, all_values = tf.TensorArray(tf.float32, n_steps), tf.TensorArray(tf.float32, n_steps)
        if learner.in_a_row:
            _assign(weights, learner.joined(trained))
        # the weights after a step are those before the next one: they are gathered once per step, not twice
        row = flat(weights)

        def body(
            i: tf.Tensor, row: tf.Tensor, all_parts: tf.TensorArray, all_values: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.TensorArray]:
            parts, values, row = one_step(batches[i], row)
            return i + 1, row, all_parts.write(i, parts), all_values.write(i, values)

        begin = (tf.constant(0), row, all_parts, all_values)
        *_, all_parts, all_values = tf.while_loop(lambda i, *_: i < n_steps, body, begin, maximum_iterations=n_steps)
        if learner.in_a_row:
            _assign(trained, learner.parted(_tensors(weights)))
        return all_parts.stack(), all_values.stack()

    def run(batches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts, values = run_steps(batches)
        return parts.numpy(), values.numpy()

    return run


def _tensors(variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    return [tf.convert_to_tensor(variable) for variable in variables]


def _gradients(tape: tf.GradientTape, target: Any, sources: Sequence[tf.Tensor], along: Any = None) -> list[tf.Tensor]:
    found = tape.gradient(target, sources, along, unconnected_gradients=_ZERO)
    # that of an embedding is of the rows that were looked up, and is made whole here
    return [tf.convert_to_tensor(gradient) for gradient in found]


def _assign(variables: Sequence[keras.Variable], values: Sequence[tf.Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def resident(array: np.ndarray) -> tf.Tensor:
    """Put an array on the device, without a copy where that is the CPU and the array is aligned and contiguous.

    `tf.constant` always copies. The tensor keeps the array's memory, which must not be changed any more.
    """
    if array.ctypes.data % _ALIGNMENT or not array.flags.c_contiguous or not array.flags.writeable:
        return tf.constant(array)
    # identity: where there is a GPU the tensor moves there, else it stays the same memory
    return tf.identity(tf.experimental.dlpack.from_dlpack(array.__dlpack__()))


def compile_validation(learner: Learner, validation: Sequence[np.ndarray]) -> Callable[[bool], Validated]:
    """Compile the mean loss over the validation examples, and the model's outputs for them."""

    @_compiled(reduce_retracing=True)
    def outputs(x: tf.Tensor) -> tf.Tensor:
        return learner.model(x, training=False)

    @_compiled(reduce_retracing=True)
    def summed(outputs: tf.Tensor, *targets: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(learner.loss(outputs, *targets))

    return partial(validated, validation, outputs, summed)


def compile_derivatives(learner: Learner) -> Derivatives:
    """Compile gradient, products with the Hessian, and outputs: of each shape of examples once."""
    model = copy_in_float32(learner.model, _plain)

    def called(weights: Sequence[tf.Tensor], x: tf.Tensor) -> tf.Tensor:
        # stateless: neither the running means of batch normalisation nor the random generators of dropout move
        others = _tensors(learner.model.non_trainable_variables)
        with _differentiable_moments():
            return model.stateless_call(weights, others, x, training=True)[0]

    def differentiated(weights: Sequence[tf.Tensor], examples: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        x, *targets = examples
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = tf.reduce_sum(tf.reduce_mean(learner.loss(called(weights, x), *targets), axis=0))
        return _gradients(tape, loss, weights)

    @_compiled()
    def gradient(examples: Sequence[tf.Tensor]) -> tf.Tensor:
        return flat(differentiated(_tensors(learner.model.trainable_variables), examples))

    @_compiled()
    def product(examples: Sequence[tf.Tensor], vector: tf.Tensor) -> tf.Tensor:
        weights = _tensors(learner.model.trainable_variables)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            gradients = differentiated(weights, examples)
        return flat(_gradients(tape, gradients, weights, like(vector, weights)))

    @_compiled()
    def outputs(examples: Sequence[tf.Tensor]) -> tf.Tensor:
        return called(_tensors(learner.model.trainable_variables), examples[0])

    return Derivatives(gradient, product, outputs)


@contextmanager
def _differentiable_moments() -> Iterator[None]:
    """Let layers that normalise have right second derivatives too, while a program is traced.

    `tf.nn.moments`, which Keras calls, treats the mean within the variance as a constant. First derivatives are right
    all the same, second ones are not.
    """
    before, tf.nn.moments = tf.nn.moments, _moments
    try:
        yield
    finally:
        tf.nn.moments = before


def _moments(x: tf.Tensor, axes: Sequence[int], keepdims: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(x - mean), axes, keepdims=True)
    return (mean, variance) if keepdims else (tf.squeeze(mean, axes), tf.squeeze(variance, axes))


def _plain(layer: keras.Layer) -> type[keras.Layer]:
    """Return the class that computes as a layer does and can be differentiated twice."""
    return keras.layers.BatchNormalization if isinstance(layer, keras.layers.BatchNormalization) else type(layer)
