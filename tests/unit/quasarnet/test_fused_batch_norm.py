"""The fused batch normalisation against its formula in float64, with gradients, and against Keras's own layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from quasarcurves.quasarnet import fused_batch_norm
from quasarcurves.quasarnet.fused_batch_norm import FusedBatchNormalization
from quasarcurves.quasarnet.network import build


# in groups of 16 bins, and of 4; not to be grouped; without a need for it
@pytest.mark.parametrize("shape", [(8, 6, 3), (32, 3), (2, 6, 20), (6, 11, 3), (20, 3), (3, 5, 16)])
def test_is_batch_normalisation(shape):
    rng = np.random.default_rng(3)
    x, weight = rng.normal(2, 3, shape), rng.normal(size=shape)
    channels = shape[-1]
    gamma, beta = rng.uniform(0.5, 2, channels), rng.normal(size=channels)
    layer = FusedBatchNormalization()
    layer.build(shape)
    layer.set_weights([gamma, beta, np.full(channels, 0.5), np.full(channels, 2.0)])
    inputs = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
        loss = tf.reduce_sum(np.float32(weight) * outputs)
    gradient, by_gamma, by_beta = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])

    axes = tuple(range(len(shape) - 1))
    mean, variance = x.mean(axes), x.var(axes)
    scale = gamma / np.sqrt(variance + layer.epsilon)
    centred = x - mean
    np.testing.assert_allclose(outputs, centred * scale + beta, atol=1e-5)
    # the derivative of the loss by x, with mean and variance depending on x
    along = (weight * centred).mean(axes) / (variance + layer.epsilon)
    np.testing.assert_allclose(gradient, scale * (weight - weight.mean(axes) - centred * along), atol=1e-5)
    np.testing.assert_allclose(by_gamma, (weight * centred).sum(axes) / np.sqrt(variance + layer.epsilon), atol=2e-5)
    np.testing.assert_allclose(by_beta, weight.sum(axes), atol=2e-5)
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


def test_groups_are_for_what_can_be_grouped(monkeypatch):
    grouped = []
    monkeypatch.setattr(
        fused_batch_norm,
        "_in_groups",
        lambda x, *rest: grouped.append(tuple(x.shape)) or fused_batch_norm._at_once(x, *rest[:3]),
    )
    for shape in ((8, 6, 3), (2, 6, 20), (6, 11, 3), (3, 5, 16)):
        layer = FusedBatchNormalization()
        layer(np.ones(shape, np.float32), training=True)
    assert grouped == [(8, 1, 6, 3), (2, 1, 6, 20)]
