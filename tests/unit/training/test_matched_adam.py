"""Adam held at the effective step of another run: at every step, and with nothing else changed."""

import keras
import numpy as np
import pytest

from quasarcurves.training import optimizer_specs, optimizers
from quasarcurves.training.loop import Trainer
from quasarcurves.training.plan import Learner, Plan
from quasarcurves.training.preconditioners import DiagonalPreconditioner, preconditioner_of

AMSGRAD = {"class": "Adam", "learning_rate": 5e-3, "amsgrad": True}
N = 60


def train(spec, effective_step=None, epochs=10):
    keras.utils.set_random_seed(2)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((9, 1)),
            layers.Conv1D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    rng = np.random.default_rng(3)
    data = [rng.normal(size=(N, 9, 1)).astype(np.float32), rng.normal(size=(N, 2)).astype(np.float32)]
    learner = Learner(model, optimizers.build(spec, effective_step=effective_step), lambda out, y: (out - y) ** 2, "ab")
    trainer = Trainer(learner, Plan(epochs, 8, lambda epoch: np.random.default_rng([1, epoch]).permutation(N)), data)
    trainer.train()
    return trainer.record.history(), model


def test_median_effective_step_is_that_of_the_other_at_every_step():
    other, _ = train(AMSGRAD)
    held, _ = train({"class": "Adam", "match": "amsgrad"}, other.steps["effective_step_q50"])
    np.testing.assert_allclose(held.steps["effective_step_q50"], other.steps["effective_step_q50"], rtol=1e-4)
    # it is not the same run: what is held is one number of many
    assert not np.allclose(held.steps["loss"][20:], other.steps["loss"][20:], rtol=1e-5)
    # the learning rate falls as Adam's own v would let the step grow
    assert held.epochs["learning_rate"][-1] < held.epochs["learning_rate"][0]


def test_held_to_its_own_record_adam_is_adam():
    adam, model = train({"class": "Adam", "learning_rate": 5e-3})
    held, other = train({"class": "Adam", "match": "adam"}, adam.steps["effective_step_q50"])
    np.testing.assert_allclose(held.epochs["learning_rate"], 5e-3, rtol=1e-4)
    np.testing.assert_allclose(held.steps["loss"], adam.steps["loss"], rtol=1e-2)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=0.05, atol=2e-3)


def test_after_the_end_of_the_record_its_last_value_holds():
    other, _ = train(AMSGRAD, epochs=2)
    held, _ = train({"class": "Adam", "match": "amsgrad"}, other.steps["effective_step_q50"], epochs=3)
    n = len(other.steps["loss"])
    np.testing.assert_allclose(held.steps["effective_step_q50"][n:], other.steps["effective_step_q50"][-1], rtol=1e-4)


def test_nothing_to_be_held_to_is_refused():
    with pytest.raises(ValueError, match="effective step of 'amsgrad', which it is held to, is not given"):
        optimizers.build({"class": "Adam", "match": "amsgrad"})


@pytest.mark.parametrize("name", sorted(optimizer_specs.optimizer_classes()))
def test_what_has_an_effective_step_is_known_without_building_it(name):
    has = isinstance(preconditioner_of(optimizers.build({"class": name})), DiagonalPreconditioner)
    assert has == optimizer_specs.has_effective_step(name)
