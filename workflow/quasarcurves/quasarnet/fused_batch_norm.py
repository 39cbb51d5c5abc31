"""Batch normalisation as one operation of TensorFlow, where Keras takes several passes over the activations.

On a processor that operation is several times slower forward where the number of channels (100, say) is no multiple of
the numbers in a register. There a few neighbouring bins are taken for one, with as many times more channels.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import ops

_LANES = 16
"""Numbers in the widest registers there are."""


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """BatchNormalization of Keras over the last axis, with the same weights and, but for rounding, results.

    In training its first derivatives are right, its second are not: the curvature is measured with another layer
    (`quasarcurves.training.backends.tensorflow`).
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise; (..., channels) of the same shape. Frozen layers do as in inference, as Keras's own."""
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        # as an image of one row: with all bins as examples, GPUs would be asked for more of these than they take
        bins = math.prod(inputs.shape[1:-1])
        x = ops.reshape(inputs, (-1, 1, bins, inputs.shape[-1]))
        outputs, mean, variance = normalised(x, self.gamma.value, self.beta.value, self.epsilon)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return ops.reshape(outputs, ops.shape(inputs))


def normalised(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, ...]:
    """Normalise by the statistics of a batch; only first derivatives are right.

    Parameters
    ----------
    x : (n, 1, bins, channels) tensor
    gamma, beta : (channels,) tensors
        Factor, and what is added after it.
    epsilon : float
        Added to the variance.

    Returns
    -------
    outputs : (n, 1, bins, channels) tensor
    mean, variance : (channels,) tensors
        Of the batch.
    """
    together = _LANES // math.gcd(x.shape[-1], _LANES)
    if together == 1 or tf.config.list_logical_devices("GPU"):
        return _at_once(x, gamma, beta, epsilon)
    return _on_processor(x, gamma, beta, epsilon, together)


def _on_processor(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float, together: int
) -> tuple[tf.Tensor, ...]:
    @tf.custom_gradient
    def apply(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tuple:
        fits = tf.size(x) % (together * x.shape[-1]) == 0
        arguments = x, gamma, beta, epsilon
        outputs, mean, variance = tf.cond(
            fits, partial(_in_groups, *arguments, together), partial(_at_once, *arguments)
        )

        def gradient(by_outputs: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
            kept = {"reserve_space_1": mean, "reserve_space_2": variance, "reserve_space_3": ()}
            return tf.raw_ops.FusedBatchNormGradV3(y_backprop=by_outputs, x=x, scale=gamma, epsilon=epsilon, **kept)[:3]

        return (outputs, mean, variance), gradient

    return apply(x, gamma, beta)


def _at_once(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, ...]:
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=(), variance=(), epsilon=epsilon, is_training=True
    )
    # TensorFlow returns the estimate for the population, over n - 1; Keras takes that of the batch
    n = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return outputs, mean, variance * ((n - 1) / n)


def _in_groups(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float, together: int) -> tuple[tf.Tensor, ...]:
    """Normalise with `together` neighbouring bins taken for one: (n, 1, bins, channels) of the same shape.

    Mean and variance of all bins follow from those of each of the `together` places.
    """
    channels = x.shape[-1]
    wide = tf.reshape(x, (1, 1, -1, together * channels))
    ones = tf.ones(together * channels)
    _, *each = _at_once(wide, ones, tf.zeros_like(ones), epsilon)
    means, variances = (tf.reshape(values, (together, channels)) for values in each)
    mean = tf.reduce_mean(means, 0)
    variance = tf.reduce_mean(variances + tf.square(means - mean), 0)
    names = ("scale", "offset", "mean", "variance")
    repeated = {name: tf.tile(row, [together]) for name, row in zip(names, (gamma, beta, mean, variance), strict=True)}
    outputs, *_ = tf.raw_ops.FusedBatchNormV3(x=wide, epsilon=epsilon, is_training=False, **repeated)
    return tf.reshape(outputs, tf.shape(x)), mean, variance
