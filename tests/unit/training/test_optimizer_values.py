"""Values of a specification: what is accepted, the installed Keras builds and steps with."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.training import optimizer_specs
from quasarcurves.training.optimizer_values import REQUIRED, as_keras_wants
from quasarcurves.training.optimizers import build

STEPS = 8


def steps(optimizer, n=2):
    """Take steps on a toy of a matrix and a vector; return whether all weights are finite and some have moved."""
    before = [np.ones((3, 2), "float32"), np.ones(2, "float32")]
    weights = [keras.Variable(each) for each in before]
    optimizer.build(weights)
    for k in range(n):
        optimizer.apply([keras.ops.full(each.shape, 0.1 + k) for each in weights])
    after = [each.numpy() for each in weights]
    moved = any((a != b).any() for a, b in zip(after, before, strict=True))
    return all(np.isfinite(each).all() for each in after), moved


@pytest.mark.parametrize("rate", [1, 1.0, 2])
@pytest.mark.parametrize("name", ["Adadelta", "SGD", "Adam", "StableAdamW", "Muon"])
def test_a_rate_that_is_a_whole_number_is_a_rate(name, rate):
    assert steps(build({"class": name, "learning_rate": rate})) == (True, True)


def test_the_values_of_a_schedule_may_be_whole_numbers():
    schedule = {"class": "PiecewiseConstantDecay", "boundaries": [3], "values": [1, 0.1]}
    optimizer = build({"class": "SGD", "schedule": schedule})
    assert steps(optimizer) == (True, True)
    assert [float(optimizer.learning_rate)] == [1.0]


def test_a_warm_up_may_begin_at_zero():
    schedule = {"class": "CosineDecay", "initial_learning_rate": 0, "warmup_target": 1e-3, "warmup_steps": 4}
    assert steps(build({"class": "Adam", "schedule": schedule}, total_steps=STEPS), n=3)[0]


def test_counts_stay_whole_numbers():
    given_ = {"ema_overwrite_frequency": 5, "decay_steps": 8, "boundaries": [1, 2], "amsgrad": True, "momentum": 0}
    found = as_keras_wants(given_)
    assert found == given_
    assert {key: type(value) for key, value in found.items()} == {
        "ema_overwrite_frequency": int, "decay_steps": int, "boundaries": list, "amsgrad": bool, "momentum": float,
    }  # fmt: skip


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"class": "SGD", "momentum": 1.5}, "optimizer.momentum is 1.5, expected a number from 0 to 1"),
        ({"class": "RMSprop", "rho": 2}, "optimizer.rho is 2, expected a number from 0 to below 1"),
        ({"class": "Adam", "epsilon": -1e-7}, "optimizer.epsilon is -1e-07, expected a number of 0 or more"),
        (
            {"class": "Adam", "use_ema": True, "ema_momentum": 2},
            "optimizer.ema_momentum is 2, expected a number from 0",
        ),
        ({"class": "Adam", "ema_overwrite_frequency": 2.5}, "frequency is 2.5, expected a whole number, at least 1"),
        ({"class": "Muon", "exclude_layers": "conv_1"}, "exclude_layers is 'conv_1', expected a list of names"),
        (
            {"class": "Adam", "schedule": {"class": "CosineDecay", "decay_steps": 0}},
            "decay_steps is 0, expected a whole",
        ),
        (
            {"class": "Adam", "schedule": {"class": "PiecewiseConstantDecay", "boundaries": [4, 8], "values": [1, 2]}},
            "values has 2 values for 2 boundaries, expected one more",
        ),
        (
            {"class": "Adam", "schedule": {"class": "PiecewiseConstantDecay", "boundaries": [8, 4], "values": [1] * 3}},
            r"boundaries is \[8, 4\], expected a list of rising whole numbers",
        ),
        ({"class": "adam"}, "did you mean 'Adam'"),
        ({"class": "adamw"}, "did you mean 'AdamW'"),
        ({"class": "sgd"}, "did you mean 'SGD'"),
        ({"class": "Adam", "gradient_accumulation_steps": 4}, "Adam's gradient_accumulation_steps is not supported: a"),
        ({"class": "Adam", "loss_scale_factor": 2}, "Adam's loss_scale_factor is not supported"),
    ],
)
def test_what_keras_would_refuse_in_a_job_is_refused_before(spec, message):
    with pytest.raises(ValueError, match=message):
        optimizer_specs.check(spec, "optimizer")


NUMBERS = st.sampled_from([0, 1, 2, 5, 1.0, 0.5, 1e-3, 0.999, 1.5, -1e-7, 1e-30, 3.0])
OTHERS = st.sampled_from([True, False, None, "conv_1", [1, 2], [3, 1], [0.1, 0.2, 0.3], ["conv_1"], []])


def specs():
    """Draw a class with some of its arguments, most of them numbers, and now and then a schedule."""
    classes = optimizer_specs.optimizer_classes()

    def arguments(kinds, name):
        signature = optimizer_specs._signature(kinds[name], name)
        own = {
            key: st.one_of(NUMBERS, NUMBERS, st.just(default) if default is not REQUIRED else NUMBERS, OTHERS)
            for key, default in signature.items()
        }
        needed = {key: own.pop(key) for key, default in signature.items() if default is REQUIRED}
        return st.fixed_dictionaries(needed, optional=own).map(
            lambda drawn: {"class": name, **dict(list(drawn.items())[: len(needed) + 4])}
        )

    schedules = optimizer_specs.schedule_classes()
    schedule = st.sampled_from(sorted(schedules)).flatmap(lambda name: arguments(schedules, name))
    optimizer = st.sampled_from(sorted(classes)).flatmap(lambda name: arguments(classes, name))
    return st.one_of(optimizer, st.tuples(optimizer, schedule).map(lambda pair: {**pair[0], "schedule": pair[1]}))


@settings(max_examples=100, deadline=None)
@given(specs())
def test_what_is_accepted_can_be_built_and_takes_steps(spec):
    try:
        optimizer_specs.check(spec, "optimizer")
    except ValueError:
        return
    steps(build(spec, total_steps=STEPS))
