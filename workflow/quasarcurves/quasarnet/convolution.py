"""A convolution as one product of matrices, which is how JAX is fast at it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from quasarcurves.quasarnet.bias_free_layers import BiasFreeConv1D


class MatrixConv1D(BiasFreeConv1D):
    """BiasFreeConv1D with the same weights and results, computed as (windows of the input) x (kernel).

    The kernel's width has to be a multiple of the stride: a window is a few neighbouring pieces of one stride.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve, without a bias; (n, bins, channels) -> (n, windows, filters)."""
        n_windows = self.compute_output_shape(inputs.shape)[1]
        per_window = self.kernel_size[0] // self.strides[0]
        cut = pieces(self, inputs, n_windows - 1 + per_window)
        windows = ops.concatenate([cut[:, i : i + n_windows] for i in range(per_window)], axis=-1)
        return ops.matmul(windows, ops.reshape(kernel, (-1, self.filters)))


def pieces(layer: keras.layers.Conv1D, inputs: Any, n_pieces: int) -> Any:
    """Cut inputs into pieces of one stride, from where the first window begins; zeros fill up what is missing.

    Parameters
    ----------
    layer : keras.layers.Conv1D
        Its kernel's width is a multiple of the stride.
    inputs : (n, bins, channels) tensor
    n_pieces : int
        At least those that the windows take.

    Returns
    -------
    (n, n_pieces, stride * channels) tensor
    """
    (width,), (stride,) = layer.kernel_size, layer.strides
    _, bins, channels = inputs.shape
    n_windows = layer.compute_output_shape(inputs.shape)[1]
    # as much on the left as Keras does for padding "same"
    left = max((n_windows - 1) * stride + width - bins, 0) // 2
    right = n_pieces * stride - bins - left
    if left or right > 0:
        inputs = ops.pad(inputs, ((0, 0), (left, max(right, 0)), (0, 0)))
    return ops.reshape(beginning(inputs, n_pieces * stride), (-1, n_pieces, stride * channels))


def beginning(values: Any, n: int) -> Any:
    """Return the first n of (examples, n or more, channels): split, as TensorFlow's gradient of a slice is slow."""
    return values if values.shape[1] == n else ops.split(values, [n], axis=1)[0]
