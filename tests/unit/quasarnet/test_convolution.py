"""The convolution as a product of matrices, against a sum written out in float64."""

import keras
import numpy as np
import pytest

from quasarcurves.quasarnet.convolution import MatrixConv1D


def convolved(x, kernel, bias, stride, pads):
    x = np.pad(x.astype(np.float64), ((0, 0), pads, (0, 0)))
    n = (x.shape[1] - len(kernel)) // stride + 1
    windows = [x[:, i * stride : i * stride + len(kernel)] for i in range(n)]
    return np.stack([np.einsum("nwc,wcf->nf", window, kernel) for window in windows], 1) + bias


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("bins", [443, 217, 104, 48, 12])
def test_is_a_convolution(bins, padding):
    rng = np.random.default_rng(bins)
    layer = MatrixConv1D(5, 10, 2, padding)
    x = rng.normal(size=(3, bins, 4)).astype(np.float32)
    layer.build(x.shape)
    kernel, bias = rng.normal(size=(10, 4, 5)), rng.normal(size=5)
    layer.set_weights([kernel, bias])
    # "same" keeps ceil(bins / stride) windows, the odd zero of the padding on the right
    missing = max((-(-bins // 2) - 1) * 2 + 10 - bins, 0) if padding == "same" else 0
    expected = convolved(x, kernel, bias, 2, (missing // 2, missing - missing // 2))
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=2e-5)
    plain = keras.layers.Conv1D(5, 10, 2, padding)
    plain.build(x.shape)
    plain.set_weights([kernel, bias])
    np.testing.assert_allclose(np.asarray(plain(x)), expected, atol=2e-5)
