"""Layers before batch normalisation, which takes their bias off again: in training they leave it out.

The outputs of the normalisation are the same, passes over the activations are saved, and the gradient of the bias is
zero, as it should be, instead of rounding that an optimizer blows up. So the bias stays at the zero it starts from. In
inference it is added: weights from elsewhere have one. To train such weights further it would have to be taken off the
moving means first, which are those of the sum.
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
