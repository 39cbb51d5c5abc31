"""Optimizers from specifications: the arguments arrive, and schedules are completed from the run."""

import math

import keras
import numpy as np
import pytest

from quasarcurves.training import optimizer_specs
from quasarcurves.training.optimizers import build


def rate_at(optimizer, step):
    optimizer.iterations.assign(step)
    return float(optimizer.learning_rate)


def test_arguments_arrive():
    spec = {"class": "AdamW", "learning_rate": 0.02, "beta_2": 0.95, "epsilon": 1e-4, "amsgrad": True}
    config = build(spec).get_config()
    assert type(build(spec)) is keras.optimizers.AdamW
    assert {key: config[key] for key in ("beta_2", "epsilon", "amsgrad")} == {
        "beta_2": 0.95,
        "epsilon": 1e-4,
        "amsgrad": True,
    }
    assert config["learning_rate"] == pytest.approx(0.02)


@pytest.mark.parametrize("key", ["clipnorm", "global_clipnorm", "clipvalue", "weight_decay"])
def test_arguments_of_every_optimizer_arrive(key):
    assert build({"class": "Adam", "learning_rate": 0.1, key: 0.5}).get_config()[key] == 0.5


def test_global_clipping_shortens_the_step():
    variables = [keras.Variable(np.zeros(2, np.float32)), keras.Variable(np.zeros(1, np.float32))]
    optimizer = build({"class": "SGD", "learning_rate": 1.0, "global_clipnorm": 2.5})
    optimizer.apply([np.float32([3, 0]), np.float32([4])], variables)
    # the norm of both gradients together is 5
    np.testing.assert_allclose(variables[0].numpy(), [-1.5, 0], rtol=1e-6)
    np.testing.assert_allclose(variables[1].numpy(), [-2], rtol=1e-6)


def test_a_schedule_takes_rate_and_length_from_the_run():
    spec = {"class": "Adam", "learning_rate": 0.3, "schedule": {"class": "CosineDecay", "alpha": 0.1}}
    optimizer = build(spec, total_steps=200)
    for step in (0, 50, 100, 199, 200, 500):
        share = min(step, 200) / 200
        expected = 0.3 * (0.9 * 0.5 * (1 + math.cos(math.pi * share)) + 0.1)
        assert rate_at(optimizer, step) == pytest.approx(expected, rel=1e-5)


def test_what_a_schedule_is_given_is_not_replaced():
    schedule = {"class": "CosineDecay", "initial_learning_rate": 0.7, "decay_steps": 10}
    optimizer = build({"class": "Adam", "learning_rate": 0.3, "schedule": schedule}, total_steps=200)
    assert rate_at(optimizer, 0) == pytest.approx(0.7)
    assert rate_at(optimizer, 5) == pytest.approx(0.35)
    assert rate_at(optimizer, 10) == pytest.approx(0, abs=1e-8)


def test_a_schedule_without_a_rate_of_its_own():
    schedule = {"class": "PiecewiseConstantDecay", "boundaries": [10, 20], "values": [0.5, 0.25, 0.125]}
    optimizer = build({"class": "SGD", "schedule": schedule})
    assert [rate_at(optimizer, step) for step in (0, 10, 11, 21)] == pytest.approx([0.5, 0.5, 0.25, 0.125])


def test_a_schedule_of_unknown_length_is_refused():
    spec = {"class": "Adam", "learning_rate": 0.1, "schedule": {"class": "CosineDecay"}}
    with pytest.raises(ValueError, match="CosineDecay: decay_steps is not given"):
        build(spec)


@pytest.mark.parametrize("name", sorted(optimizer_specs.schedule_classes()))
def test_every_schedule_of_keras_can_be_built(name):
    needed = {
        "CosineDecayRestarts": {"first_decay_steps": 10},
        "ExponentialDecay": {"decay_rate": 0.5},
        "InverseTimeDecay": {"decay_rate": 0.5},
        "PiecewiseConstantDecay": {"boundaries": [5], "values": [0.2, 0.1]},
    }
    spec = {"class": "Adam", "learning_rate": 0.2, "schedule": {"class": name, **needed.get(name, {})}}
    optimizer = build(spec, total_steps=100)
    assert rate_at(optimizer, 0) == pytest.approx(0.2)
    assert rate_at(optimizer, 60) < 0.2


def test_every_schedule_of_keras_is_known():
    schedules = keras.optimizers.schedules
    public = {
        name
        for name, value in vars(schedules).items()
        if isinstance(value, type) and issubclass(value, schedules.LearningRateSchedule)
    }
    assert set(optimizer_specs.schedule_classes()) == public - {"LearningRateSchedule"}


@pytest.mark.parametrize(
    ("spec", "depends"),
    [
        ({"class": "Adam"}, False),
        ({"class": "Adam", "schedule": {"class": "CosineDecay"}}, True),
        ({"class": "Adam", "schedule": {"class": "CosineDecay", "decay_steps": 5}}, False),
        ({"class": "Adam", "schedule": {"class": "PiecewiseConstantDecay"}}, False),
    ],
)
def test_whether_the_rate_depends_on_the_length_of_the_training(spec, depends):
    assert optimizer_specs.depends_on_total_steps(spec) is depends


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"learning_rate": 1}, "'class' is missing, expected one of Adadelta, Adafactor"),
        ({"class": "Adamm"}, "'Adamm' is no class of keras.optimizers; did you mean 'Adam'"),
        ({"class": "Adam", "amsgrd": True}, "Adam has no argument 'amsgrd'; did you mean 'amsgrad'"),
        ({"class": "Adam", "gradient_accumulation_steps": 2}, "Adam's gradient_accumulation_steps is not supported"),
        ({"class": "SGD", "beta_1": 0.9}, "SGD has no argument 'beta_1'"),
    ],
)
def test_what_keras_could_not_build_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        build(spec)


def test_a_specification_is_not_changed():
    spec = {"class": "Adam", "learning_rate": 0.1, "schedule": {"class": "CosineDecay"}}
    build(spec, total_steps=10)
    assert spec == {"class": "Adam", "learning_rate": 0.1, "schedule": {"class": "CosineDecay"}}
