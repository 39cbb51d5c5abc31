"""Sharpness of models of a task file, measured along a training, against Hessians worked out by numpy alone."""

import keras
import numpy as np
import pytest

from quasarcurves import tasks
from quasarcurves.spectra.subsets import Subset, draw, load_target_ids
from quasarcurves.steps.training import Job, train_runs
from quasarcurves.tasks import own_examples
from quasarcurves.training.history import History
from quasarcurves.training.run_settings import RunSettings, TaskSettings
from quasarcurves.training.settings import CurvatureSettings, StateSettings, TrainingSettings

FILE = """
import keras
import numpy as np
from keras import layers, ops

def examples(integers):
    rng = np.random.default_rng(20261130)
    x = rng.integers(0, 3, (40, 2)) if integers else rng.normal(size=(40, 3))
    return {"inputs": x, "targets": 20 * np.sin(1.0 + x.sum(axis=1))}

class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.normal = layers.Dense(2, "tanh"), layers.BatchNormalization()
        self.last = layers.Dense(1)
        self(np.zeros((1, 3)))

    def call(self, x, training=False):
        return self.last(self.normal(self.hidden(x), training=training))

def model(kind):
    if kind == "linear":
        body = [keras.Input((3,))]
    elif kind == "class":
        return Net()
    elif kind == "words":
        body = [keras.Input((2,), dtype="int32"), layers.Embedding(3, 3), layers.LayerNormalization(), layers.Flatten()]
    else:
        inner = [keras.Input((3,)), layers.Dense(2, "tanh"), layers.BatchNormalization()]
        body = [keras.Input((3,)), keras.Sequential(inner)]
    return keras.Sequential([*body, layers.Dense(1)])

def loss(targets, outputs):
    return ops.square(outputs[:, 0] - targets)
"""


def normalised(h, axis):
    return (h - h.mean(axis, keepdims=True)) / np.sqrt(h.var(axis, keepdims=True) + 1e-3)


def hidden(x, weights, bias, gamma, beta):
    return gamma * normalised(np.tanh(x @ weights + bias), 0) + beta


def looked_up(x, table, gamma, beta):
    return (gamma * normalised(table[x], 2) + beta).reshape(len(x), -1)


FORWARD = {"linear": lambda x: x, "nested": hidden, "class": hidden, "words": looked_up}
"""What the models compute before their last layer, in training."""


def numpy_hessian(kind, x, y, weights, epsilon=1e-4):
    """Second differences, in float64, of the loss of a model written anew."""
    shapes = [each.shape for each in weights]
    cuts = np.cumsum([each.size for each in weights])[:-1]

    def loss(row):
        *first, last, bias = (part.reshape(shape) for part, shape in zip(np.split(row, cuts), shapes, strict=True))
        return np.mean(((FORWARD[kind](x, *first) @ last + bias)[:, 0] - y) ** 2)

    at = np.concatenate([np.ravel(each) for each in weights]).astype(np.float64)
    steps = epsilon * np.eye(at.size)
    one = [[loss(at + a + b) - loss(at + a - b) - loss(at - a + b) + loss(at - a - b) for a in steps] for b in steps]
    return np.array(one) / (4 * epsilon**2)


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Train so slowly that no weight moves; return inputs, targets, weights and what was measured."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FILE)

    def of(kind):
        task, names = TaskSettings("mine.py", "code"), ("e.h5", "s.h5", "state", "h.h5", "m.keras", "b.keras")
        examples, subset, *files = (tmp_path / name for name in names)
        tasks.prepare(task, {"integers": kind == "words"}, examples)
        draw(load_target_ids(examples), 0.7, test_fraction=0.2, validation_fraction=0.1).save(subset)
        training, diagnosis = TrainingSettings(epochs=2, batch_size=7), CurvatureSettings(3, 1000, 2)
        spec = {"class": "SGD", "learning_rate": 1e-12}
        run = RunSettings("s", 1, 0.7, 0, "sgd", spec, {"kind": kind}, training, diagnosis=diagnosis, task=task)
        train_runs(examples, [Job(run, "key", subset, *files)], StateSettings(1000, False))
        own = tasks.trained(task, {"kind": kind}).build_plain()
        own.load_weights(files[2])
        weights = [keras.ops.convert_to_numpy(each) for each in own.trainable_variables]
        history = History.load(files[1])
        return (*own_examples.load(examples, Subset.load(subset).train), weights, history.curvature)

    return of


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORWARD)
def test_sharpness_is_that_of_the_hessian(measured, kind):
    x, y, weights, curvature = measured(kind)
    hessian = numpy_hessian(kind, x, y, weights)
    expected = np.linalg.eigvalsh(hessian).max()
    if kind == "linear":
        ones = np.column_stack([x, np.ones(len(x))])
        assert expected == pytest.approx(np.linalg.eigvalsh(2 * ones.T @ ones / len(x)).max(), rel=1e-5)
    assert len(curvature["sharpness"]) >= 2
    np.testing.assert_allclose(curvature["sharpness"], expected, rtol=2e-3)
    np.testing.assert_allclose(curvature["threshold"], 2e12, rtol=1e-5)
