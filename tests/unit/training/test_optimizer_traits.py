"""Traits of optimizer classes: those of this library are read without Keras, and all fit what Keras says."""

import inspect
import json
import subprocess
import sys
from importlib import import_module

import pytest

from quasarcurves.training import optimizer_specs, optimizer_traits
from quasarcurves.training.optimizer_traits import KERAS, Traits

READ = """
import json, sys
from quasarcurves.training import optimizer_traits
own = {name: [kind.module, vars(kind.traits)] for name, kind in optimizer_traits.own_classes().items()}
print(json.dumps([own, "keras" in sys.modules]))
"""


@pytest.fixture(scope="module")
def classes():
    """Every optimizer class by name, imported."""
    import keras

    own = {name: import_module(kind.module) for name, kind in optimizer_traits.own_classes().items()}
    return {
        name: getattr(own.get(name, keras.optimizers), name) for name in {*optimizer_specs.optimizer_classes(), *own}
    }


def test_traits_of_own_classes_are_read_without_keras():
    result = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=True)
    own, has_keras = json.loads(result.stdout)
    assert not has_keras
    assert own["StableAdamW"][0] == "quasarcurves.training.optimizers.stable_adamw"
    assert own.keys() == {"StableAdamW", "MatchedAdam"}
    for name, (module, traits) in own.items():
        assert getattr(import_module(module), name).traits == Traits(**traits)


def test_what_no_study_may_name_is_no_class_of_a_study():
    assert "MatchedAdam" not in optimizer_specs.optimizer_classes()
    with pytest.raises(ValueError, match="'MatchedAdam' is no class"):
        optimizer_specs.check({"class": "MatchedAdam"}, "optimizers.held")


def test_every_class_of_keras_has_traits():
    assert set(optimizer_specs.optimizer_classes()) == {*KERAS, "StableAdamW"}


def test_names_and_classes_have_the_same_traits(classes):
    for name, kind in classes.items():
        assert optimizer_traits.of_name(name) == optimizer_traits.of_class(kind)


def test_the_default_of_beta_2_is_that_of_the_class(classes):
    for name, kind in classes.items():
        # MatchedAdam passes its arguments on to Adam
        signature = inspect.signature(classes["Adam"] if name == "MatchedAdam" else kind).parameters
        default = optimizer_traits.of_name(name).beta_2
        assert default is None or default == signature["beta_2"].default, name


def test_every_preconditioner_is_there(classes):
    for name, kind in classes.items():
        named = optimizer_traits.of_name(name).preconditioner
        module = kind.__module__ if hasattr(kind, "traits") else "quasarcurves.training.preconditioners"
        assert named is None or hasattr(import_module(module), named), name


def test_an_optimizer_of_ones_own_is_one_module(tmp_path, monkeypatch):
    """All that is known of a class comes from its module: nothing else has to be told of it."""
    (tmp_path / "optimizers").mkdir()
    (tmp_path / "optimizers" / "signed.py").write_text(
        "class Signed(keras.optimizers.Optimizer):\n"
        "    traits = Traits(by_element=True, step_cost=0.5, beta_2=0.9)\n"
        "    def __init__(self, learning_rate=0.01, beta_2=0.9): ...\n"
        "class Helper:\n"
        "    pass\n"
    )
    monkeypatch.setattr(optimizer_traits, "__file__", str(tmp_path / "optimizer_traits.py"))
    for cached in (optimizer_traits.own_classes, optimizer_specs.optimizer_classes):
        cached.cache_clear()
    try:
        assert optimizer_traits.own_classes().keys() == {"Signed"}
        assert optimizer_traits.of_name("Signed") == Traits(by_element=True, step_cost=0.5, beta_2=0.9)
        optimizer_specs.check({"class": "Signed", "beta_2": 0.5}, "optimizers.mine")
        with pytest.raises(ValueError, match="Signed has no argument 'beta_1'; did you mean 'beta_2'"):
            optimizer_specs.check({"class": "Signed", "beta_1": 0.5}, "optimizers.mine")
    finally:
        for cached in (optimizer_traits.own_classes, optimizer_specs.optimizer_classes):
            cached.cache_clear()
