"""Training without the biases that batch normalisation takes off, against Keras's layers, which add them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from quasarcurves.quasarnet.bias_free_layers import BiasFreeConv1D, BiasFreeDense
from quasarcurves.quasarnet.convolution import MatrixConv1D
from quasarcurves.quasarnet.loss import weighted_line_losses
from quasarcurves.quasarnet.network import build
from quasarcurves.training import optimizer_specs, optimizers
from quasarcurves.training.curvature import Curvature
from quasarcurves.training.loop import Trainer
from quasarcurves.training.plan import Learner, Plan

N = 64


def networks(convolution=BiasFreeConv1D):
    """Keras's network and one without biases in training, of the same weights."""
    keras.utils.set_random_seed(4)
    plain, bias_free = build(4, 2), build(4, 2, convolution=convolution, dense=BiasFreeDense)
    bias_free.set_weights(plain.get_weights())
    return plain, bias_free


def examples():
    rng = np.random.default_rng(1)
    offset, weight = rng.uniform(size=(2, N, 7)).astype(np.float32)
    return rng.normal(size=(N, 443, 1)).astype(np.float32), rng.integers(-1, 13, (N, 7)), offset, weight


def trained(model):
    data = examples()
    learner = Learner(
        model, optimizers.build({"class": "SGD", "learning_rate": 0.01}), weighted_line_losses, list("abcdefg")
    )
    learner.optimizer.build(learner.weights)
    curvature = Curvature(learner, [array[:16] for array in data], 3)
    plan = Plan(2, 16, lambda epoch: np.random.default_rng(epoch).permutation(N))
    trainer = Trainer(learner, plan, data, data, curvature)
    trainer.train()
    trainer.finish()
    return trainer


def removed(model):
    """The biases that normalisation takes off."""
    return {v.path: v for v in model.trainable_variables if v.name == "bias" and not v.path.startswith("heads")}


@pytest.mark.parametrize("convolution", [BiasFreeConv1D, MatrixConv1D])
def test_outputs_and_gradients_are_those_with_biases(convolution):
    x, *targets = examples()
    found = []
    for model in networks(convolution):
        for i, bias in enumerate(removed(model).values()):
            bias.assign(np.random.default_rng(i).normal(size=bias.shape))
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = tf.reduce_sum(weighted_line_losses(outputs, *targets)) / N
        sources = [variable.value for variable in model.trainable_variables]
        gradients = tape.gradient(loss, sources, unconnected_gradients="zero")
        found.append((outputs, {v.path: g.numpy() for v, g in zip(model.trainable_variables, gradients, strict=True)}))
    (plain, expected), (bias_free, got) = found
    np.testing.assert_allclose(bias_free, plain, atol=2e-5)
    assert len(removed(model)) == 3
    for path, gradient in expected.items():
        np.testing.assert_allclose(got[path], gradient, atol=1e-4 * np.abs(gradient).max() + 1e-6, err_msg=path)
        assert got[path].any() == (path not in removed(model))


def test_inference_adds_the_biases():
    x, *_ = examples()
    plain, bias_free = networks()
    without = bias_free(x, training=False).numpy()
    for model in (plain, bias_free):
        for bias in removed(model).values():
            bias.assign(np.linspace(-1, 1, 4))
    outputs = bias_free(x, training=False)
    np.testing.assert_allclose(outputs, plain(x, training=False), atol=1e-6)
    assert np.abs(outputs - without).max() > 1e-3


@pytest.mark.slow
def test_a_training_is_that_with_biases():
    plain, bias_free = map(trained, networks())
    one, other = plain.record.history(), bias_free.record.history()
    for kind in ("epochs", "steps", "curvature"):
        for column, values in getattr(one, kind).items():
            if "seconds" not in column:
                np.testing.assert_allclose(getattr(other, kind)[column], values, rtol=1e-3, err_msg=column)
    assert len(one.curvature["sharpness"]) == 2
    for variable, expected in zip(bias_free.learner.model.variables, plain.learner.model.variables, strict=True):
        np.testing.assert_allclose(variable, expected, atol=1e-4, err_msg=variable.path)
    assert not any(bias.numpy().any() for bias in removed(bias_free.learner.model).values())
    assert bias_free.learner.model.get_layer("heads").bias.numpy().all()


@pytest.mark.parametrize("name", sorted(optimizer_specs.optimizer_classes()))
def test_a_bias_without_gradient_stays_zero_under_every_optimizer(name):
    decay = {"weight_decay": 0.1} if name != "StableAdamW" else {}
    optimizer = optimizers.build({"class": name, "learning_rate": 0.01, **decay})
    kernel, bias = keras.Variable(np.ones((3, 2), np.float32), name="kernel"), keras.Variable(np.zeros(2, np.float32))
    optimizer.build([kernel, bias])
    for _ in range(5):
        optimizer.apply([tf.ones((3, 2)), tf.zeros(2)], [kernel, bias])
    assert not bias.numpy().any()
    assert (kernel.numpy() != 1).all()
