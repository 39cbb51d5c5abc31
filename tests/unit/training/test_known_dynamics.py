"""Two problems whose course is known: where Adam fails and AMSGrad does not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from quasarcurves.training import optimizers
from quasarcurves.training.curvature import Curvature
from quasarcurves.training.loop import Trainer
from quasarcurves.training.plan import Learner, Plan

pytestmark = pytest.mark.slow

BETAS = {"class": "Adam", "beta_1": 0.9, "beta_2": 0.99}


def online(spec, steps=100_000):
    """Minimise 1010 x every 101st step and -10 x in the others, x in [-1, 1], with a step of alpha / sqrt(t).

    Reddi et al. (2018), arXiv:1904.09237, section 3: over a period x = -1 is best, by 10 in 101 steps.
    """
    x = keras.Variable(0.0)
    x.constraint = lambda value: keras.ops.clip(value, -1.0, 1.0)
    optimizer = optimizers.build(spec)
    optimizer.build([x])
    alpha = float(optimizer.learning_rate)

    @tf.function
    def run():
        for t in tf.range(1, steps + 1):
            optimizer.learning_rate = alpha / tf.sqrt(tf.cast(t, tf.float32))
            optimizer.apply([tf.where(t % 101 == 1, 1010.0, -10.0)], [x])

    run()
    return float(x)


@pytest.mark.parametrize(("amsgrad", "place"), [(False, 1.0), (True, -1.0)])
def test_online_problem_leads_adam_to_the_worst_point_and_amsgrad_to_the_best(amsgrad, place):
    # the one large gradient of a period still moves x at each step that it is met
    assert online({**BETAS, "learning_rate": 0.5, "amsgrad": amsgrad}) == pytest.approx(place, abs=0.05)


def quadratic(spec, steps=2500, every=50):
    """Minimise w^2 / 2 from w = 1, the curvature measured on the way."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.ones((1, 1))])
    learner = Learner(model, optimizers.build(spec), lambda out: out**2, "a")
    learner.optimizer.build(learner.weights)
    x = np.full((1, 1), np.sqrt(0.5), np.float32)
    plan = Plan(steps, 1, lambda epoch: np.zeros(1, int))
    trainer = Trainer(learner, plan, [x], curvature=Curvature(learner, [x], every))
    trainer.train()
    history = trainer.record.history()
    return np.float64(history.steps["loss"]), history.curvature


@pytest.mark.parametrize(
    "spec",
    [{"class": "SGD", "learning_rate": 1e-2}, {**BETAS, "learning_rate": 1e-2, "amsgrad": True}],
    ids=["gradient descent", "AMSGrad"],
)
def test_quadratic_is_minimised_for_good_where_the_step_does_not_grow(spec):
    loss, curvature = quadratic(spec)
    settled = loss[500:]
    assert settled.max() == settled[:50].max()
    assert settled[-1] < 1e-20
    assert (curvature["sharpness"] < curvature["threshold"]).all()


def test_quadratic_of_constant_curvature_spikes_under_adam():
    loss, curvature = quadratic({**BETAS, "learning_rate": 1e-2})
    lowest = int(loss[:1500].argmin())
    assert loss[lowest] < 1e-30
    onset = lowest + int(np.argmax(loss[lowest:] > 1e-8))
    assert 1500 <= onset <= 1800
    assert loss[onset:].max() > 1e-6
    # the curvature of the loss is 1 all along: what grew is its ratio to Adam's v, until the threshold was passed
    unstable = curvature["sharpness"] > curvature["threshold"]
    crossing = curvature["step"][np.argmax(unstable)]
    assert unstable.any()
    assert 50 < onset - crossing < 1500
    assert not unstable[curvature["step"] < crossing].any()
