"""Convolutions of many channels with fewer multiplications, by Toom and Cook's algorithm.

A convolution is a product of polynomials. The algorithm evaluates both at a few points, multiplies there, and
interpolates: `2 (taps - 1)` products of matrices give `taps - 1` neighbouring outputs, in place of `taps (taps - 1)`.
For the network's kernels these are 8 in place of 20. A. Lavin & S. Gray, "Fast Algorithms for Convolutional Neural
Networks" (CVPR 2016), arXiv:1509.09308, section 4, in one dimension; S. Winograd, "Arithmetic Complexity of
Computations" (SIAM 1980). Rounding grows with the number of points: with these eight, results are within 2e-6 of the
largest in float32, where a sum taken directly is within 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from keras import ops

from quasarcurves.quasarnet.bias_free_layers import BiasFreeConv1D
from quasarcurves.quasarnet.convolution import beginning, pieces
from quasarcurves.quasarnet.shapes import MANY_CHANNELS

_POINTS = (0, 1, -1, 2, -2, 1 / 2, -1 / 2)
"""Where polynomials are evaluated besides at infinity: small numbers, exact in binary, keep rounding low."""


class Transforms(NamedTuple):
    """Matrices that evaluate and interpolate, for kernels of `taps` pieces; points = 2 (taps - 1).

    Attributes
    ----------
    of_inputs : (points, points) float32 array
        From neighbouring inputs.
    of_kernel : (points, taps) float32 array
    to_outputs : (taps - 1, points) float32 array
        From products to neighbouring outputs.
    """

    of_inputs: np.ndarray
    of_kernel: np.ndarray
    to_outputs: np.ndarray


def transforms(taps: int) -> Transforms:
    """Return the matrices; `outputs = to_outputs @ ((of_kernel @ kernel) * (of_inputs @ inputs))`.

    Raises
    ------
    ValueError
        If a kernel of so many taps needs more points than there are.
    """
    finite = 2 * (taps - 1) - 1
    if not 1 <= finite <= len(_POINTS):
        raise ValueError(f"{taps} taps: expected 2 to {len(_POINTS) // 2 + 2}")
    points = np.array(_POINTS[:finite])
    others = [np.delete(points, i) for i in range(finite)]
    # rows of Lagrange's polynomials without their denominators, and that which vanishes at all points
    of_inputs = np.zeros((finite + 1, finite + 1))
    of_inputs[:-1, :-1] = [np.atleast_1d(np.poly(rest))[::-1] for rest in others]
    of_inputs[-1] = np.poly(points)[::-1]
    denominators = [np.prod(point - rest) for point, rest in zip(points, others, strict=True)]
    of_kernel = _values(points, taps) / np.array([*denominators, 1])[:, None]
    return Transforms(*(each.astype(np.float32) for each in (of_inputs, of_kernel, _values(points, taps - 1).T)))


def _values(points: np.ndarray, terms: int) -> np.ndarray:
    """Powers of each point, and of infinity the highest alone; (points, terms)."""
    return np.vstack([np.vander(points, terms, increasing=True), np.eye(terms)[-1]])


class ToomCookConv1D(BiasFreeConv1D):
    """BiasFreeConv1D with the same weights and, but for rounding, results and derivatives of all orders.

    It pays on a processor and with many channels; else the layer computes as its parent does. The kernel's width has to
    be a multiple of the stride, by 2 to 5.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve, without a bias; (n, bins, channels) -> (n, windows, filters)."""
        if not self._pays(inputs):
            return super().convolution_op(inputs, kernel)
        (width,), (stride,) = self.kernel_size, self.strides
        taps, n_windows = width // stride, self.compute_output_shape(inputs.shape)[1]
        outputs, channels = taps - 1, stride * inputs.shape[2]
        n_tiles = -(-n_windows // outputs)
        blocks = ops.reshape(pieces(self, inputs, outputs * (n_tiles + 1)), (-1, n_tiles + 1, outputs, channels))
        matrices = transforms(taps)
        evaluated = ops.matmul(matrices.of_kernel, ops.reshape(kernel, (taps, channels * self.filters)))
        products = ops.matmul(
            _evaluated(blocks, matrices.of_inputs), ops.reshape(evaluated, (2 * outputs, channels, self.filters))
        )
        found = ops.matmul(matrices.to_outputs, ops.reshape(products, (2 * outputs, -1)))
        found = ops.transpose(ops.reshape(found, (outputs, -1, n_tiles, self.filters)), (1, 2, 0, 3))
        return beginning(ops.reshape(found, (-1, n_tiles * outputs, self.filters)), n_windows)

    def _pays(self, inputs: Any) -> bool:
        many = min(inputs.shape[2], self.filters) >= MANY_CHANNELS
        return many and self.compute_dtype == "float32" and not tf.config.list_logical_devices("GPU")


def _evaluated(blocks: tf.Tensor, of_inputs: np.ndarray) -> tf.Tensor:
    """Evaluate every two neighbouring blocks; (n, tiles + 1, outputs, channels) -> (points, n * tiles, channels).

    This and `_gathered` are linear and each other's gradient, so that derivatives of all orders are right. With those
    that TensorFlow finds, a convolution of 100 channels and its gradients take 2.6 times as long.
    """

    @tf.custom_gradient
    def evaluate(blocks: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        by_place = tf.transpose(blocks, (2, 0, 1, 3))
        both = tf.concat([by_place[:, :, :-1], by_place[:, :, 1:]], 0)
        values = tf.matmul(of_inputs, tf.reshape(both, (len(of_inputs), -1)))
        values = tf.reshape(values, (len(of_inputs), -1, blocks.shape[3]))
        return values, lambda by_values: _gathered(by_values, of_inputs, *blocks.shape.as_list()[1:])

    return evaluate(blocks)


def _gathered(values: tf.Tensor, of_inputs: np.ndarray, rows: int, outputs: int, channels: int) -> tf.Tensor:
    """Add up for each of a row of blocks what its two tiles give it; the transpose of `_evaluated`."""

    @tf.custom_gradient
    def gather(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        both = tf.matmul(of_inputs, tf.reshape(values, (len(of_inputs), -1)), transpose_a=True)
        first, second = tf.unstack(tf.reshape(both, (2, outputs, -1, rows - 1, channels)))
        summed = tf.concat([first[:, :, :1], first[:, :, 1:] + second[:, :, :-1], second[:, :, -1:]], 2)
        return tf.transpose(summed, (1, 2, 0, 3)), lambda by_blocks: _evaluated(by_blocks, of_inputs)

    return gather(values)
