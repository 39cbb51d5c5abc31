"""A convolution as one product of matrices, which is how JAX is fast at it."""

from __future__ import annotations

from typing import Any

from keras import ops

from quasarcurves.quasarnet.bias_free_layers import BiasFreeConv1D


class MatrixConv1D(BiasFreeConv1D):
    """BiasFreeConv1D with the same weights and results, computed as (windows of the input) x (kernel).

    The kernel's width has to be a multiple of the stride: inputs are cut into pieces of one stride, and a window is
    a few neighbouring pieces.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve, without a bias; (n, bins, channels) -> (n, windows, filters)."""
        (width,), (stride,) = self.kernel_size, self.strides
        n_windows = self.compute_output_shape(inputs.shape)[1]
        pieces_per_window = width // stride
        n_pieces = n_windows - 1 + pieces_per_window
        missing = max(n_pieces * stride - inputs.shape[1], 0)
        if missing:
            # as much on the left as Keras does for padding "same"
            inputs = ops.pad(inputs, ((0, 0), (missing // 2, missing - missing // 2), (0, 0)))
        pieces = ops.reshape(inputs[:, : n_pieces * stride], (-1, n_pieces, stride * inputs.shape[2]))
        windows = ops.concatenate([pieces[:, i : i + n_windows] for i in range(pieces_per_window)], axis=-1)
        return ops.matmul(windows, ops.reshape(kernel, (-1, self.filters)))
