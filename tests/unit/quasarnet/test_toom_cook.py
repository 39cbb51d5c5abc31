"""Convolutions with fewer multiplications, against sums written out in float64 and Keras's own layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from quasarcurves.quasarnet.bias_free_layers import BiasFreeConv1D
from quasarcurves.quasarnet.network import build
from quasarcurves.quasarnet.shapes import MANY_CHANNELS
from quasarcurves.quasarnet.toom_cook import ToomCookConv1D, transforms


@pytest.mark.parametrize("taps", [2, 3, 4, 5])
@given(data=st.data())
def test_transforms_give_a_convolution(taps, data):
    numbers = st.integers(-100, 100)
    inputs = data.draw(arrays.arrays(float, 2 * (taps - 1), elements=numbers))
    kernel = data.draw(arrays.arrays(float, taps, elements=numbers))
    of_inputs, of_kernel, to_outputs = (each.astype(float) for each in transforms(taps))
    found = to_outputs @ ((of_kernel @ kernel) * (of_inputs @ inputs))
    # the only numbers that are rounded to float32 are reciprocals of whole numbers in the kernel's
    np.testing.assert_allclose(found, np.correlate(inputs, kernel, "valid"), atol=2e-6 * taps * 100**2)


def test_three_taps_have_the_published_matrices():
    # arXiv:1509.09308, equation 7, whose products 1 to 4 are of the points 0, 1, -1 and infinity
    of_inputs, of_kernel, to_outputs = transforms(3)
    published = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    signs = np.array([-1, 1, 1, -1])[:, None]
    np.testing.assert_array_equal(of_inputs * signs, published)
    np.testing.assert_array_equal(
        of_kernel * [[-1], [1], [1], [1]], [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
    )
    np.testing.assert_array_equal(to_outputs * [1, 1, 1, -1], [[1, 1, 1, 0], [0, 1, -1, -1]])


@pytest.mark.parametrize("taps", [1, 6])
def test_other_kernels_are_refused(taps):
    with pytest.raises(ValueError, match=f"{taps} taps: expected 2 to 5"):
        transforms(taps)


def layers(bins, padding="valid", filters=MANY_CHANNELS, channels=MANY_CHANNELS, width=10, **options):
    """Both layers, of the same kernel and bias, and inputs for them."""
    rng = np.random.default_rng(bins)
    weights = rng.normal(size=(width, channels, filters)) / np.sqrt(width * channels), rng.normal(size=filters)
    both = [kind(filters, width, 2, padding, **options) for kind in (ToomCookConv1D, BiasFreeConv1D)]
    for layer in both:
        layer.build((None, bins, channels))
        layer.set_weights(weights)
    return both, rng.normal(size=(3, bins, channels)).astype(np.float32)


def operations(layer, x):
    """Names of what TensorFlow does in training."""
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(tf.TensorSpec(x.shape)).graph
    return {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("width", [10, 6])
@pytest.mark.parametrize("bins", [217, 104, 48, 21, 12])
def test_is_a_convolution(bins, width, padding):
    (fast, plain), x = layers(bins, padding, width=width)
    assert "Conv2D" not in operations(fast, x)
    n_windows = plain(x).shape[1]
    left = max((n_windows - 1) * 2 + width - bins, 0) // 2
    padded = np.pad(x.astype(np.float64), ((0, 0), (left, width), (0, 0)))
    kernel, bias = (np.asarray(each, np.float64) for each in fast.get_weights())
    windows = np.stack([padded[:, 2 * i : 2 * i + width] for i in range(n_windows)], 1)
    expected = np.einsum("nowc,wcf->nof", windows, kernel)
    np.testing.assert_allclose(fast(x, training=True), expected, atol=2e-5)
    np.testing.assert_allclose(fast(x), expected + bias, atol=2e-5)


@pytest.mark.parametrize("bins", [217, 49])
def test_derivatives_of_both_orders_are_those_of_a_convolution(bins):
    both, x = layers(bins)
    found = []
    for layer in both:
        x, kernel = tf.constant(x), layer.kernel.value
        with tf.GradientTape() as second:
            second.watch(x)
            with tf.GradientTape() as first:
                first.watch(x)
                loss = tf.reduce_sum(tf.tanh(layer(x, training=True)))
            gradients = first.gradient(loss, (x, kernel))
        along = tf.cos(tf.reshape(tf.range(tf.size(x), dtype=tf.float32), x.shape)), tf.sin(kernel)
        found.append((*gradients, *second.gradient(gradients, (x, kernel), output_gradients=along)))
    for got, expected in zip(*found, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "options", [{"filters": MANY_CHANNELS - 1}, {"channels": MANY_CHANNELS - 1}, {"dtype": "mixed_bfloat16"}]
)
def test_few_channels_and_short_numbers_are_convolved_as_before(options):
    (fast, plain), x = layers(104, **options)
    assert "Conv2D" in operations(fast, x)
    np.testing.assert_array_equal(fast(x, training=True), plain(x, training=True))


def test_a_network_computes_as_keras_does():
    keras.utils.set_random_seed(1)
    plain, fast = build(MANY_CHANNELS), build(MANY_CHANNELS, convolution=ToomCookConv1D)
    fast.set_weights(plain.get_weights())
    x = np.random.default_rng(1).normal(size=(5, 443, 1)).astype(np.float32)
    for training in (False, True):
        np.testing.assert_allclose(fast(x, training=training), plain(x, training=training), atol=1e-5)
