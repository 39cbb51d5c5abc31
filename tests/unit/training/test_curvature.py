"""The curvature against dense Hessians, and the onset of instability where both are known in closed form."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from quasarcurves.training import optimizers
from quasarcurves.training.curvature import Curvature, largest_eigenvalue, rayleigh_quotient, stability_threshold
from quasarcurves.training.flat import flat
from quasarcurves.training.loop import Trainer
from quasarcurves.training.plan import Plan, Task


def network(dropout=0.0, dtype="float32"):
    """A tiny network with all that QuasarNET has: convolution, batch normalisation, sigmoids."""
    keras.utils.set_random_seed(5)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((9, 1), dtype=dtype),
            layers.Conv1D(2, 3, strides=2, dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            layers.ReLU(dtype=dtype),
            layers.Dropout(dropout, dtype=dtype),
            layers.Flatten(dtype=dtype),
            layers.Dense(2, activation="sigmoid", dtype=dtype),
        ]
    )


def examples(n=12):
    rng = np.random.default_rng(8)
    return [rng.normal(size=(n, 9, 1)).astype(np.float32), rng.uniform(size=(n, 2)).astype(np.float32)]


def trained(spec, curvature_every=0, dropout=0.0, **plan):
    """Train a tiny network; give the trainer."""
    model, data = network(dropout), examples(30)
    task = Task(model, optimizers.build(spec), lambda out, y: (out - y) ** 2, "ab")
    task.optimizer.build(task.weights)
    curvature = Curvature(task, examples(), curvature_every) if curvature_every else None
    order = lambda epoch: np.random.default_rng([1, epoch]).permutation(30)  # noqa: E731
    trainer = Trainer(task, Plan(**{"epochs": 4, "batch_size": 8, "order": order, **plan}), data, curvature=curvature)
    trainer.train()
    return trainer


def dense_hessian(task, probe, epsilon=1e-6):
    """Difference the gradient, entry by entry in float64, with the statistics of the probe in batch normalisation."""
    copy, (x, y) = network(dtype="float64"), probe
    copy.set_weights(task.model.get_weights())
    weights = [variable.numpy() for variable in copy.trainable_variables]
    moving = [variable.value for variable in copy.non_trainable_variables]

    def gradient(row):
        values = [tf.constant(part) for part in cut(row, weights)]
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs, _ = copy.stateless_call(values, moving, tf.constant(x, tf.float64), training=True)
            loss = tf.reduce_sum(tf.reduce_mean((outputs - y) ** 2, axis=0))
        return np.concatenate([np.ravel(part) for part in tape.gradient(loss, values)])

    def cut(row, like):
        places = np.cumsum([part.size for part in like])[:-1]
        return [part.reshape(shape.shape) for part, shape in zip(np.split(row, places), like, strict=True)]

    row = np.concatenate([np.ravel(part) for part in weights])
    columns = [(gradient(row + step) - gradient(row - step)) / (2 * epsilon) for step in epsilon * np.eye(row.size)]
    return gradient(row), np.stack(columns, 1)


@pytest.mark.parametrize(
    "spec",
    [
        {"class": "Adam"},
        {"class": "Adam", "amsgrad": True},
        {"class": "Nadam"},
        {"class": "RMSprop"},
        {"class": "SGD", "momentum": 0.9},
        {"class": "Lion"},
    ],
    ids=lambda spec: "-".join(map(str, spec.values())),
)
def test_curvature_is_that_of_the_dense_hessian(spec):
    task = trained({"learning_rate": 1e-2, **spec}).task
    gradient, hessian = dense_hessian(task, examples())
    t, optimizer = 16, task.optimizer
    if spec["class"] in ("SGD", "Lion"):
        diagonal = np.ones(len(gradient))
    elif spec["class"] == "RMSprop":
        diagonal = np.sqrt(np.float64(flat(optimizer._velocities)) + 1e-7)
    else:
        kept = optimizer._velocity_hats if spec.get("amsgrad") else optimizer._velocities
        corrected = np.sqrt(np.float64(flat(kept)) / (1 - 0.999**t))
        epsilon = 1e-7 if spec["class"] == "Nadam" else 1e-7 / np.sqrt(1 - 0.999**t)
        diagonal = (corrected + epsilon) * (1 if spec["class"] == "Nadam" else 1 - 0.9**t)
    measured = Curvature(task, examples(), 1).measure()
    # P^-1 H itself is not symmetric: numpy solves it in general
    expected = np.linalg.eigvals(hessian / diagonal[:, None]).real.max()
    assert measured["sharpness"] == pytest.approx(expected, rel=1e-3)
    step = gradient / diagonal
    assert measured["gradient_curvature"] == pytest.approx(step @ hessian @ step / (step @ (diagonal * step)), rel=1e-3)
    assert measured["gradient_curvature"] <= measured["sharpness"] * (1 + 1e-3)


@pytest.mark.parametrize("n", [1, 4, 60])
def test_largest_eigenvalue_is_not_the_largest_in_size(n):
    rng = np.random.default_rng(n)
    values = np.sort(rng.uniform(-1, 1, n))
    values[0] = -5.0 if n > 1 else -2.0
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    matrix = basis * values @ basis.T
    found = largest_eigenvalue(lambda vector: matrix @ np.ravel(vector), np.zeros(n))
    assert found == pytest.approx(values[-1], abs=5e-3)


def test_start_without_a_share_in_the_eigenvector_finds_it():
    matrix = np.diag(np.arange(50.0))
    assert largest_eigenvalue(lambda vector: matrix @ np.ravel(vector), np.eye(50)[0]) == pytest.approx(49, rel=1e-3)


def test_rayleigh_quotient_of_nothing_is_nan():
    assert rayleigh_quotient(lambda vector: vector, np.array([3.0, 4.0])) == 1
    assert np.isnan(rayleigh_quotient(lambda vector: vector, np.zeros(2)))


def quadratic_run(spec, ratio, steps=60):
    """Minimise h/2 w^2 with h at `ratio` of where it becomes unstable; give |w| at the end and what was measured."""
    optimizer = optimizers.build(spec)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    task = Task(model, optimizer, lambda out: out**2, "a")
    optimizer.build(task.weights)
    optimizer.iterations.assign(100_000)  # the corrections for the start are over
    if spec["class"] == "Nadam":
        optimizer._u_product.assign(0.0)
    scale = spec.get("epsilon", 1.0) if spec["class"] in ("Adam", "Nadam") else 1.0
    h = ratio * stability_threshold(optimizer) * scale
    model.set_weights([np.full((1, 1), 1e-12)])
    x = np.full((1, 1), np.sqrt(h / 2), np.float32)
    measured = Curvature(task, [x], 1).measure()
    assert measured["sharpness"] == pytest.approx(h / scale, rel=1e-3)
    assert measured["gradient_curvature"] == pytest.approx(h / scale, rel=1e-3)
    Trainer(task, Plan(steps, 1, lambda epoch: np.zeros(1, int)), [x]).train()
    return abs(float(model.get_weights()[0][0, 0])), measured


@pytest.mark.parametrize(
    "spec",
    [
        {"class": "SGD", "learning_rate": 0.01},
        {"class": "SGD", "learning_rate": 0.01, "momentum": 0.9},
        {"class": "SGD", "learning_rate": 0.01, "momentum": 0.9, "nesterov": True},
        # an epsilon that dwarfs the gradients holds the preconditioner fixed
        {"class": "Adam", "learning_rate": 0.01, "epsilon": 1e3},
        {"class": "Adam", "learning_rate": 0.01, "beta_1": 0.5, "epsilon": 1e3},
        {"class": "Nadam", "learning_rate": 0.01, "epsilon": 1e3},
    ],
    ids=lambda spec: "-".join(map(str, spec.values())),
)
def test_instability_sets_in_at_the_threshold(spec):
    below, measured = quadratic_run(spec, 0.97)
    assert measured["sharpness"] < measured["threshold"]
    assert below < 1e-12
    above, measured = quadratic_run(spec, 1.03)
    assert measured["sharpness"] > measured["threshold"]
    assert above > 3e-12


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"class": "Adam", "learning_rate": 1e-3}, 38e3),
        ({"class": "StableAdamW", "learning_rate": 1e-3}, 38e3),
        ({"class": "SGD", "learning_rate": 0.1}, 20.0),
        ({"class": "RMSprop", "learning_rate": 1e-3, "momentum": 0.5}, 3e3),
        ({"class": "Adagrad", "learning_rate": 0.5}, 4.0),
        ({"class": "Lion", "learning_rate": 1e-3}, None),
        ({"class": "Muon", "learning_rate": 1e-3}, None),
    ],
)
def test_threshold_is_the_published_one_or_absent(spec, expected):
    found = stability_threshold(optimizers.build(spec))
    assert found is expected if expected is None else found == pytest.approx(expected, rel=1e-5)


def test_threshold_follows_the_schedule():
    schedule = {"class": "PiecewiseConstantDecay", "boundaries": [5], "values": [1e-3, 1e-4]}
    trainer = trained({"class": "Adam", "schedule": schedule}, curvature_every=4)
    history = trainer.record.history()
    np.testing.assert_array_equal(history.curvature["step"], [4, 8, 12])
    np.testing.assert_allclose(history.curvature["threshold"], [38e3, 38e4, 38e4], rtol=1e-5)


def test_measuring_changes_nothing_of_the_training():
    spec = {"class": "Adam", "learning_rate": 1e-2}
    with_it, without = (trained(spec, every, dropout=0.3).record.history() for every in (3, 0))
    assert list(with_it.curvature) == ["step", "sharpness", "gradient_curvature", "threshold"]
    assert with_it.curvature["step"].tolist() == [3, 6, 9, 12, 15]
    assert not without.curvature
    for name, values in without.steps.items():
        np.testing.assert_array_equal(with_it.steps[name], values, err_msg=name)


def test_threshold_is_absent_where_none_is_known():
    history = trained({"class": "Lion", "learning_rate": 1e-3}, curvature_every=5).record.history()
    assert list(history.curvature) == ["step", "sharpness", "gradient_curvature"]
