"""Model and loss of a task file: what is built of them, and what is refused before the first step."""

from functools import partial

import h5py
import jax
import keras
import numpy as np
import pytest
import tensorflow as tf

from quasarcurves import tasks
from quasarcurves.training.run_settings import RunSettings, TaskSettings
from quasarcurves.training.settings import TrainingSettings

FILE = """
import keras
from keras import layers, ops

def examples():
    pass

def model(units=4):
    return keras.Sequential([
        keras.Input((3,)), layers.Dense(units, "relu"), layers.BatchNormalization(), layers.Dense(1)
    ])

def loss(targets, outputs):
    return ops.square(outputs[:, 0] - targets)
"""
RNG = np.random.default_rng(20261129)
DATA = RNG.normal(size=(9, 3)).astype(np.float32), RNG.normal(size=9).astype(np.float32)


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def of(*changes, **network):
        text = FILE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "mine.py").write_text(text)
        return tasks.trained(TaskSettings("mine.py", "code"), network)

    return of


def test_the_same_seed_makes_the_same_model_with_the_same_names(task):
    own = task(units=5)
    first, again, other = own.build(1), own.build(1), own.build(2)
    for one, two in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.path.rpartition("/")[2] == two.path.rpartition("/")[2]
    assert [each.path.partition("/")[2] for each in first.weights] == [
        each.path.partition("/")[2] for each in other.weights
    ]
    assert first.count_params() == 5 * 4 + 5 * 4 + 6
    assert not np.array_equal(first.weights[0], other.weights[0])


def test_the_loss_is_one_part_per_example(task):
    own = task()
    model = own.build(1)
    own.check(model, DATA)
    outputs = model(DATA[0])
    found = np.asarray(own.loss(outputs, keras.ops.convert_to_tensor(DATA[1])))
    np.testing.assert_allclose(found, (np.asarray(outputs)[:, :1] - DATA[1][:, None]) ** 2, rtol=1e-5)


def test_in_bfloat16_the_loss_is_float32(task):
    own = task()
    model = own.build(1, "mixed_bfloat16")
    own.check(model, DATA)
    assert keras.config.dtype_policy().name == "float32"
    assert {weight.dtype for weight in model.weights} == {"float32"}


def test_several_targets_are_a_tuple(task):
    own = task(("ops.square(outputs[:, 0] - targets)", "targets[1] * ops.square(outputs[:, 0] - targets[0])"))
    own.check(own.build(1), (*DATA, np.ones(9, np.float32)))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("return keras.Sequential(", "return (", "mine.py: model() returned list, expected a keras.Model"),
        (
            "keras.Input((3,)),",
            "",
            "mine.py: model() returned a model whose weights are not made yet, expected one that",
        ),
        ("keras.Input((3,))", "keras.Input((4,))", "mine.py: model(): the model does not take inputs of shape (2, 3)"),
        ("outputs[:, 0] - targets", "outputs - targets", "mine.py: loss() returned the shape (2, 2) for targets of"),
        ("return ops.square(", "return ops.mean(", "mine.py: loss() returned the shape ()"),
        ("return ops.square(", "return 'none' or (", "mine.py: loss() returned the type <U4"),
        ("return ops.square(outputs[:, 0]", "return ops.log(outputs[:, 0] * 0 - 1 + 0 *", "expected finite numbers"),
        ("outputs[:, 0]", "outputs[:, 0, 0]", "mine.py: loss() failed in line 14 of mine.py"),
        ("units=4", "width=4", "mine.py: model() failed"),
        (
            "return ops.square(",
            "return keras.random.uniform(targets.shape) * ops.square(",
            "random numbers without a seed",
        ),
        (
            "layers.BatchNormalization()",
            "layers.Lambda(lambda x: x + keras.random.normal((3,)), output_shape=(3,))",
            "mine.py: model() or loss() draws random numbers without a seed",
        ),
    ],
)
def test_what_does_not_fit_is_refused(task, old, new, expected):
    with pytest.raises(ValueError) as error:
        own = task((old, new), units=3)
        own.check(own.build(1), DATA)
    assert expected in str(error.value)


@pytest.mark.parametrize("compiled", [partial(tf.function, autograph=False), jax.jit], ids=["tensorflow", "jax"])
@pytest.mark.parametrize("line", ["return np.square(outputs)", "return outputs if outputs[0] > 0 else -outputs"])
def test_what_cannot_be_compiled_is_said_with_its_line(task, compiled, line):
    old = "return ops.square(outputs[:, 0] - targets)"
    file = task((old, line), ("import keras\n", "import keras\nimport numpy as np\n")).file
    with pytest.raises(ValueError) as error:
        compiled(lambda given: file.call("loss", given, given))(DATA[1])
    expected = f"mine.py: loss() failed in line 15 of mine.py (`{line}`), expected keras.ops in place of NumPy"
    assert str(error.value).startswith(expected)


def test_a_saved_model_says_what_is_trained_and_is_read_back(task, tmp_path):
    own = task()
    model, training = own.build(3), TrainingSettings(epochs=1, batch_size=2)
    run = RunSettings("s", 1, 0.5, 0, "adam", {"class": "Adam"}, {}, training, task=TaskSettings("mine.py", "code"))
    own.save(model, tmp_path / "model.keras", run, "final")
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "model.keras").get_weights()[0], model.get_weights()[0]
    )
    assert RunSettings.from_json(run.to_json()) == run


MEASURE = """
BETTER = {"error": "lower"}


def measure(targets, outputs):
    return {"error": abs(outputs[:, 0] - targets), "largest": float("nan")}
"""


def test_a_measure_of_the_file_is_a_score_of_the_validation_set(task, tmp_path):
    found, rows = task(("import keras\n", f"import keras\n{MEASURE}")), np.array([5, 0, 2])
    with h5py.File(tmp_path / "examples.h5", "w") as file:
        file["inputs"], file["targets"] = DATA
    assert found.validation_score(tmp_path / "examples.h5", rows, "loss") is None
    score = found.validation_score(tmp_path / "examples.h5", rows, "error")
    assert (score.name, score.better, score.sign) == ("error", "lower", -1)
    assert score.measure(np.full((3, 1), 2.0)) == pytest.approx(np.abs(2.0 - DATA[1][rows]).mean())
    assert np.isnan(found.validation_score(tmp_path / "examples.h5", rows, "largest").measure(np.zeros((3, 1))))
    missing = found.validation_score(tmp_path / "examples.h5", rows, "accuracy")
    with pytest.raises(ValueError, match=r"measure\(\) returned 'error', 'largest', expected 'accuracy'"):
        missing.measure(np.zeros((3, 1)))
