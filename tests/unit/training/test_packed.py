"""Several trainings in one program against each by itself; all in one process on the JAX backend."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # JAX compiles for a minute

REPLICATES, EPOCHS, STEPS_PER_EPOCH = 2, 4, 7
OPTIMIZERS = {
    "adam": {"class": "Adam", "learning_rate": 0.01},
    "clipped": {"class": "Adam", "learning_rate": 0.01, "amsgrad": True, "clipnorm": 0.1},
    "scheduled": {
        "class": "AdamW", "learning_rate": 0.01, "use_ema": True, "ema_momentum": 0.8,
        "schedule": {"class": "CosineDecay", "initial_learning_rate": 0.01},
    },
    "wild": {"class": "SGD", "learning_rate": 1e30},
}  # fmt: skip
RUNS = [f"{name}{replicate}" for name in OPTIMIZERS for replicate in range(REPLICATES)]

PROGRAM = """
import json, sys
from functools import partial
import keras
import numpy as np
from keras import ops
from quasarcurves.training import backends, loop, optimizers
from quasarcurves.training.curvature import Curvature
from quasarcurves.training.loop import SynchronizedTrainers, Trainer
from quasarcurves.training.plan import Learner, Plan
from quasarcurves.training.score import Score
from quasarcurves.training.resume import capture, restore
from quasarcurves.training.snapshots import Limits, Snapshots

backends.active().set_up(1)
specs, replicates, epochs, steps, path = json.loads(sys.argv[1]), *map(int, sys.argv[2:5]), sys.argv[5]
n, batch = 60, 8
rng = np.random.default_rng(1)
x = rng.normal(size=(90, 3)).astype(np.float32)
y = np.stack([np.sin(x.sum(1)), x[:, 0] * x[:, 1]], 1).astype(np.float32)
rows = [np.sort(np.random.default_rng(r).choice(80, n, replace=False)) for r in range(replicates)]
found = {}


def loss(outputs, y):
    return ops.square(outputs - y)


def crossing(outputs):
    # the higher the further from the truth, so that the best by it are not those of the lowest loss
    return float(np.abs(outputs - y[80:]).mean())


def order(replicate, epoch):
    return rows[replicate][np.random.default_rng([replicate, epoch]).permutation(n)]


def make(name, replicate):
    keras.utils.set_random_seed(replicate)
    layers, inputs = keras.layers, keras.Input((3,))
    # a bias before normalisation has no gradient but rounding, which would move it
    hidden = layers.Dense(6, use_bias=False, name="hidden")(inputs)
    hidden = layers.ReLU()(layers.BatchNormalization(name="normal")(hidden))
    model = keras.Model(inputs, layers.Dense(2, name="last")(layers.Dropout(0.2)(hidden)), name="net")
    learner = Learner(model, optimizers.build(specs[name], epochs * steps), loss, "ab")
    learner.optimizer.build(model.trainable_variables)
    best = ["loss", "crossing"][replicate]
    plan = Plan(epochs, batch, partial(order, replicate), last_batch="drop", validate_every=2, best=best)
    batches = [[x[part], y[part]] for part in rows[replicate][: 3 * batch].reshape(3, batch)]
    measured = Curvature(learner, [x[rows[replicate]], y[rows[replicate]]], 11, batches) if name == "adam" else None
    snapshots = Snapshots(model, 2, Limits(3, 1, 0.1, 0.2))
    return Trainer(learner, plan, [x, y], [x[80:], y[80:]], measured, snapshots, Score("crossing", crossing))


def make_all():
    return [[make(name, replicate) for replicate in range(replicates)] for name in specs]


def record(how, groups):
    for name, group in zip(specs, groups):
        for replicate, trainer in enumerate(group):
            history, run = trainer.record.history(), f"{how}/{name}{replicate}"
            for kind in ("epochs", "steps", "curvature"):
                found.update({f"{run}/{kind}/{column}": values for column, values in getattr(history, kind).items()})
            found.update({f"{run}/weights/{i}": w for i, w in enumerate(trainer.learner.model.get_weights())})
            found.update({f"{run}/best/{i}": w for i, w in enumerate(trainer.record.best_weights)})
            for i, spike in enumerate(trainer.snapshots.spikes):
                found.update({f"{run}/spike{i}/{key}": w for key, w in spike.peak.weights.items()})
            diverged = trainer.record.diverged_step
            found[f"{run}/diverged"] = -1 if diverged is None else diverged


def synchronized(groups):
    return SynchronizedTrainers([trainer for group in groups for trainer in group], backends.pack(groups))


alone = make_all()
for group in alone:
    for trainer in group:
        trainer.train()
        trainer.finish()
record("alone", alone)

# "adam" measures the curvature: packs are alike in that, so it is one of its own
for how, chosen in (("packed", slice(1, None)), ("curved", slice(0, 1))):
    groups = make_all()
    pack = synchronized(groups[chosen])
    pack.train()
    pack.finish()
    record(how, groups) if how == "packed" else record(how, groups[chosen])

loop._FIRST_BLOCK, loop._BLOCK_SECONDS = 2, 1e-9
groups = make_all()
first = synchronized(groups[1:])


def stop():
    if groups[1][0].record.step == 2 * steps + 3:
        raise InterruptedError


try:
    first.train(stop)
except InterruptedError:
    first.put_back()
again = make_all()
for before, after in zip(groups[1:], again[1:]):
    for one, other in zip(before, after):
        restore(other, capture(one, []))
pack = synchronized(again[1:])
pack.train()
pack.finish()
record("resumed", again)
np.savez(path, **found)
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What is recorded of trainings alone, packed, and packed but stopped between."""
    path = tmp_path_factory.mktemp("packed") / "found.npz"
    sizes = map(str, (REPLICATES, EPOCHS, STEPS_PER_EPOCH))
    command = [sys.executable, "-c", PROGRAM, json.dumps(OPTIMIZERS), *sizes, str(path)]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return dict(np.load(path))


def of(found, how, run):
    prefix = f"{how}/{run}/"
    return {name.removeprefix(prefix): values for name, values in found.items() if name.startswith(prefix)}


def how_packed(run):
    return "curved" if run.startswith("adam") else "packed"


@pytest.mark.parametrize("run", RUNS)
def test_a_training_in_a_pack_is_the_training_alone(found, run):
    expected, got = of(found, "alone", run), of(found, how_packed(run), run)
    assert expected.keys() == got.keys()
    assert {
        "steps/loss",
        "epochs/val_loss",
        "epochs/val_crossing",
        "epochs/learning_rate",
        "weights/0",
        "diverged",
    } <= got.keys()
    if not run.startswith("wild"):
        assert len(got["steps/loss"]) == EPOCHS * STEPS_PER_EPOCH
        assert any(name.startswith("best/") for name in got)
        assert any(name.startswith("spike0/") for name in got)
    # those of a training that diverged are what lies behind its last step, in whatever block that was
    last = [name for name in expected if name.startswith("weights/") and run.startswith("wild")]
    for name in expected.keys() - {"epochs/seconds", *last}:
        np.testing.assert_allclose(got[name], expected[name], rtol=2e-3, atol=2e-5, err_msg=name)
    np.testing.assert_allclose(got["steps/loss"], expected["steps/loss"], rtol=2e-5)


def test_the_curvature_is_measured_in_a_pack(found):
    for run in ("adam0", "adam1"):
        measured = of(found, "curved", run)
        assert measured["curvature/step"].tolist() == [11, 22]
        # close to those of a training by itself, as all else of a pack (see above); told apart by their own weights
        for name in ("batch_sharpness", "descent_cosine"):
            assert np.isfinite(measured[f"curvature/{name}"]).all()
    cosines = [of(found, "curved", run)["curvature/descent_cosine"] for run in ("adam0", "adam1")]
    assert (cosines[0] != cosines[1]).all()


def test_runs_differ(found):
    """Whatever stands in for another would pass as equal to itself."""
    losses = [tuple(of(found, "alone", run)["steps/loss"][:5]) for run in RUNS]
    assert len(set(losses)) == len(RUNS)


def test_one_that_diverges_ends_alone(found):
    for run in RUNS:
        diverged = int(of(found, how_packed(run), run)["diverged"])
        assert (diverged >= 0) == run.startswith("wild")
        if diverged >= 0:
            losses = of(found, "packed", run)["steps/loss"]
            assert len(losses) == diverged + 1 < EPOCHS * STEPS_PER_EPOCH
            assert np.isfinite(losses[:-1]).all()


@pytest.mark.parametrize("run", [run for run in RUNS if not run.startswith("adam")])
def test_a_pack_stopped_between_goes_on_to_the_bit(found, run):
    expected, got = of(found, "packed", run), of(found, "resumed", run)
    assert expected.keys() == got.keys()
    for name in expected.keys() - {"epochs/seconds"}:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
