"""A small valid study, changes of it, and what it is refused with: for the tests of a study's modules."""

from copy import deepcopy

import pytest

from quasarcurves.study import Study, StudyError

BASE = {
    "study": {"name": "test", "seed": 3, "replicates": 2},
    "data": {"source": "simulated", "n_spectra": 400},
    "subsets": {"test_fraction": 0.15, "validation_fraction": 0.05, "fractions": [0.4, 0.1], "scheme": "nested"},
    "network": {"filters": 8, "lines": ["LYA", "CIV(1548)"], "bal_lines": []},
    "training": {"epochs": 5, "batch_size": 32},
    "optimizers": {
        "adam": {"class": "Adam", "learning_rate": 0.001},
        "decayed": {"class": "SGD", "learning_rate": 0.1, "schedule": {"class": "CosineDecay", "alpha": 0.25}},
    },
}


def changed(**changes):
    """The base configuration with other values at places written as `block__key`."""
    config = deepcopy(BASE)
    for place, value in changes.items():
        *blocks, key = place.split("__")
        target = config
        for block in blocks:
            target = target[block]
        target[key] = value
    return config


def refusal(config):
    """Return what is said of a study that is refused."""
    with pytest.raises(StudyError) as caught:
        Study.from_config(config)
    return str(caught.value)


def assert_one_message(message, *parts):
    """Check that a message is one line of some length with these parts."""
    assert "\n" not in message
    assert len(message) < 400
    for part in parts:
        assert part in message


def optimizers_of(**optimizers):
    """Return optimizers beside one with AMSGrad, as a change of a study."""
    return {"optimizers": {"amsgrad": {"class": "Adam", "learning_rate": 0.001, "amsgrad": True}, **optimizers}}
