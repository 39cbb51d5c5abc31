"""Batch normalisation as one operation of TensorFlow, where Keras takes several passes over the activations."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """BatchNormalization of Keras over the last axis, with the same weights and, but for rounding, results.

    In training its sums are TensorFlow's `FusedBatchNormV3`. That is right for first derivatives alone
    (`quasarcurves.training.backends.tensorflow` measures the curvature with another layer).
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise; (..., channels) of the same shape."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf  # noqa: PLC0415  (whoever builds a network for JAX imports this module too)

        # as an image of one row: with all bins as examples, GPUs would be asked for more of these than they take
        bins = math.prod(inputs.shape[1:-1])
        x = ops.reshape(inputs, (-1, 1, bins, inputs.shape[-1]))
        arguments = {"scale": self.gamma, "offset": self.beta, "mean": (), "variance": (), "epsilon": self.epsilon}
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(x=x, is_training=True, **arguments)
        # what it gives is the estimate for the population; Keras keeps the variance of the batch
        n = ops.cast(ops.shape(x)[0] * bins, "float32")
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance * (n - 1) / n)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return ops.reshape(outputs, ops.shape(inputs))
