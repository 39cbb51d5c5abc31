"""Batch normalisation as one operation of TensorFlow, where Keras takes several passes over the activations."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """BatchNormalization of Keras over the last axis, with the same weights and, but for rounding, results.

    In training it is computed by `quasarcurves.quasarnet.fused_batch_norm`. That is right for first derivatives alone
    (`quasarcurves.training.backends.tensorflow` measures the curvature with another layer).
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise; (..., channels) of the same shape."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        from quasarcurves.quasarnet.fused_batch_norm import normalised  # noqa: PLC0415  (not needed by JAX, nor for inference)

        # as an image of one row: with all bins as examples, GPUs would be asked for more of these than they take
        bins = math.prod(inputs.shape[1:-1])
        x = ops.reshape(inputs, (-1, 1, bins, inputs.shape[-1]))
        outputs, mean, variance = normalised(x, self.gamma.value, self.beta.value, self.epsilon)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return ops.reshape(outputs, ops.shape(inputs))
