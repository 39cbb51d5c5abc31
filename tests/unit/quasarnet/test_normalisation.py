"""The fused batch normalisation against its formula in float64, with gradients, and against Keras's own layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from quasarcurves.quasarnet.network import build
from quasarcurves.quasarnet.normalisation import FusedBatchNormalization


@pytest.mark.parametrize("shape", [(6, 11, 3), (20, 3)])
def test_is_batch_normalisation(shape):
    rng = np.random.default_rng(3)
    x, weight = rng.normal(2, 3, shape), rng.normal(size=shape)
    gamma, beta = rng.uniform(0.5, 2, 3), rng.normal(size=3)
    layer = FusedBatchNormalization()
    layer.build(shape)
    layer.set_weights([gamma, beta, np.full(3, 0.5), np.full(3, 2.0)])
    inputs = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
        loss = tf.reduce_sum(np.float32(weight) * outputs)
    gradient = tape.gradient(loss, inputs)

    axes = tuple(range(len(shape) - 1))
    mean, variance = x.mean(axes), x.var(axes)
    scale = gamma / np.sqrt(variance + layer.epsilon)
    centred = x - mean
    np.testing.assert_allclose(outputs, centred * scale + beta, atol=1e-5)
    # the derivative of the loss by x, with mean and variance depending on x
    along = (weight * centred).mean(axes) / (variance + layer.epsilon)
    np.testing.assert_allclose(gradient, scale * (weight - weight.mean(axes) - centred * along), atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.99 * 0.5 + 0.01 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.99 * 2.0 + 0.01 * variance, rtol=1e-5)


def test_a_network_with_it_is_the_same_network():
    plain, fused = build(4), build(4, normalisation=FusedBatchNormalization)
    fused.set_weights(plain.get_weights())
    x = np.random.default_rng(0).normal(size=(8, 443, 1)).astype(np.float32)
    for training in (True, False):
        np.testing.assert_allclose(fused(x, training=training), plain(x, training=training), atol=1e-5)
    for one, other in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert [weight.path for weight in fused.weights] == [weight.path for weight in plain.weights]
    assert isinstance(fused.get_layer("norm_1"), keras.layers.BatchNormalization)
