"""Layers before batch normalisation that leave out their bias in training: normalisation subtracts it again.

The outputs of the normalisation are the same, and passes over the activations are saved. The gradient of the bias is
exactly zero, where it would be rounding that an optimizer scales up, so the bias stays at its initial zero. In
inference the bias is added, because weights from elsewhere have one. To train such weights further, their bias would
first have to be subtracted from the moving means, which include it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class BiasFreeConv1D(keras.layers.Conv1D):
    """Conv1D of Keras, linear, with the same weights, but for its bias in training."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Convolve; (n, bins, channels) -> (n, windows, filters)."""
        return self.convolution_op(inputs, self.kernel) if training else super().call(inputs)


class BiasFreeDense(keras.layers.Dense):
    """Dense of Keras, linear, with the same weights, but for its bias in training."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Multiply; (n, inputs) -> (n, units)."""
        return ops.matmul(inputs, self.kernel) if training else super().call(inputs)
