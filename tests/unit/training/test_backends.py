"""JAX against TensorFlow: the same weights, the same data, the same steps. Each trains in a process of its own."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # JAX compiles for a minute and more

STEPS = 20
OPTIMIZERS = {
    "adam": {"class": "Adam", "learning_rate": 1e-3},
    "amsgrad": {"class": "Adam", "learning_rate": 1e-3, "amsgrad": True, "clipnorm": 1.0},
    "momentum": {"class": "SGD", "learning_rate": 1e-3, "momentum": 0.9, "nesterov": True},
    "stable": {"class": "StableAdamW", "learning_rate": 1e-3},
    "scheduled": {
        "class": "AdamW", "learning_rate": 1e-3,
        "schedule": {"class": "CosineDecay", "initial_learning_rate": 1e-3},
    },
}  # fmt: skip

TRAIN = """
import json, sys
import keras
import numpy as np
from dataclasses import replace
from quasarcurves.quasarnet.loss import clipped_share, weighted_line_losses
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.quasarnet.task import QuasarNet
from quasarcurves.steps.build import build_model
from quasarcurves.training import backends, optimizers
from quasarcurves.training.curvature import Curvature
from quasarcurves.training.loop import Trainer
from quasarcurves.training.plan import Plan, Learner
from quasarcurves.training.resume import capture, restore

backends.active().set_up(1)
specs, steps, batch, path = json.loads(sys.argv[1]), int(sys.argv[2]), 32, sys.argv[3]
rng = np.random.default_rng(1)
n = steps // 2 * batch
flux = rng.normal(size=(n, 443, 1)).astype(np.float32)
box = rng.integers(-1, 13, (n, 7)).astype(np.int8)
offset, weight = rng.uniform(size=(2, n, 7)).astype(np.float32)
data = flux, box, offset, weight
settings = NetworkSettings(filters=8, layers=2, boxes=13, lines=tuple("abcdef"), bal_lines=("g",))
initial = build_model(QuasarNet(settings), 1, 0).get_weights()
weights = [rng.normal(0, 0.1, w.shape) if w.ndim > 1 else w for w in initial]


def make(spec, dropout=0.0, epochs=2, precision="float32", every=7):
    model = build_model(QuasarNet(replace(settings, dropout=dropout)), 1, 0, precision)
    model.set_weights(weights)
    learner = Learner(model, optimizers.build(spec, steps), weighted_line_losses, list("abcdefg"), clipped_share)
    learner.optimizer.build(learner.weights)
    batches = [[array[rows] for array in data] for rows in np.arange(96).reshape(3, batch)]
    curvature = None if dropout or not every else Curvature(learner, [array[:16] for array in data], every, batches)
    plan = Plan(epochs=epochs, batch_size=batch, order=lambda epoch: np.random.default_rng(epoch).permutation(n))
    return Trainer(learner, plan, data, [array[:50] for array in data], curvature)


def trained(trainer):
    trainer.train()
    trainer.finish()
    return trainer


found = {}
for name, spec in specs.items():
    trainer = trained(make(spec))
    history = trainer.record.history()
    for kind in ("epochs", "steps", "curvature"):
        found |= {f"{name}/{kind}/{column}": values for column, values in getattr(history, kind).items()}
    found |= {f"{name}/weights/{variable.path}": variable for variable in trainer.learner.model.variables}
spec = specs["adam"]
bare = trained(make(spec, every=0))
found |= {f"bare/{name}": values for name, values in bare.record.history().steps.items()}
whole, first, second = make(spec, 0.2), make(spec, 0.2, epochs=1), make(spec, 0.2)
for each in (whole, first, second):
    for variable in each.learner.model.non_trainable_variables:
        if "seed" in variable.path:
            variable.assign([3, 4])
trained(whole), first.train()
restore(second, capture(first, []))
trained(second)
for which, trainer in (("whole", whole), ("resumed", second)):
    found |= {f"{which}/{i}": w for i, w in enumerate(trainer.learner.model.get_weights())}
mixed = trained(make(spec, precision="mixed_bfloat16"))
found |= {f"mixed/{name}": values for name, values in mixed.record.history().steps.items()}
found["mixed/sharpness"] = mixed.record.history().curvature["sharpness"]
found["threads"] = backends.active().threads()
np.savez(path, **found)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What each backend recorded of the same trainings."""
    import json

    found = {}
    for backend in ("tensorflow", "jax"):
        path = tmp_path_factory.mktemp(backend) / "found.npz"
        environment = {**os.environ, "KERAS_BACKEND": backend}
        command = [sys.executable, "-c", TRAIN, json.dumps(OPTIMIZERS), str(STEPS), str(path)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        found[backend] = dict(np.load(path))
    return found


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_jax_takes_the_steps_that_tensorflow_takes(trained, name):
    expected, got = trained["tensorflow"], trained["jax"]
    assert expected.keys() == got.keys()
    losses = f"{name}/steps/loss"
    assert len(expected[losses]) == STEPS
    np.testing.assert_allclose(got[losses], expected[losses], rtol=2e-5)
    columns = [key for key in expected if key.startswith(f"{name}/steps/") and not key.endswith("seconds")]
    assert len(columns) >= 4
    for column in columns:
        np.testing.assert_allclose(got[column], expected[column], rtol=5e-3, err_msg=column)
    for each in (expected, got):
        biases = [each[f"{name}/weights/{layer}/bias"] for layer in ("conv_1", "conv_2", "fc_common")]
        assert not any(bias.any() for bias in biases)
    np.testing.assert_allclose(got[f"{name}/epochs/val_loss"], expected[f"{name}/epochs/val_loss"], rtol=1e-4)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_both_measure_the_same_curvature(trained, name):
    for measure in ("sharpness", "batch_sharpness", "batch_sharpness_median", "descent_cosine", "clipped_share"):
        key = f"{name}/curvature/{measure}"
        assert len(trained["jax"][key]) == (STEPS - 1) // 7
        np.testing.assert_allclose(trained["jax"][key], trained["tensorflow"][key], rtol=5e-3, err_msg=measure)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_measuring_changes_no_bit_of_a_training(trained, backend):
    found = trained[backend]
    bare = {name.removeprefix("bare/"): values for name, values in found.items() if name.startswith("bare/")}
    assert "update_norm" in bare
    for name, values in bare.items():
        np.testing.assert_array_equal(found[f"adam/steps/{name}"], values, err_msg=name)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_training_goes_on_as_if_it_had_not_stopped(trained, backend):
    found = trained[backend]
    whole = [value for key, value in found.items() if key.startswith("whole/")]
    resumed = [value for key, value in found.items() if key.startswith("resumed/")]
    assert len(whole) == len(resumed) > 10
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_layers_in_bfloat16_train_alike_and_are_measured_in_float32(trained, backend):
    found = trained[backend]
    np.testing.assert_allclose(found["mixed/loss"], found["adam/steps/loss"], rtol=0.01)
    # of weights that are no longer the same
    np.testing.assert_allclose(found["mixed/sharpness"], found["adam/curvature/sharpness"], rtol=0.2)
    assert (found["mixed/loss"] != found["adam/steps/loss"]).any()


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_threads_are_those_asked_for(trained, backend):
    assert trained[backend]["threads"] == 1
