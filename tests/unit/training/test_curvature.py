"""The curvature against dense Hessians, and the onset of instability where both are known in closed form."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from quasarcurves.analysis.causes.alignment import measures_of
from quasarcurves.analysis.causes.hypotheses import CONDITIONS
from quasarcurves.training import backends, optimizers
from quasarcurves.training.curvature import (
    Curvature,
    batch_sharpness,
    batch_threshold,
    cosine,
    drawn_batches,
    largest_eigenvalue,
    rayleigh_quotient,
    stability_threshold,
)
from quasarcurves.training.flat import flat, like
from quasarcurves.training.loop import Trainer
from quasarcurves.training.measures import Loss
from quasarcurves.training.plan import Learner, Plan


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


def batches():
    rng, (x, y) = np.random.default_rng(9), examples(30)
    return [[x[rows], y[rows]] for rows in drawn_batches(30, 8, 3, rng)]


def trained(spec, curvature_every=0, dropout=0.0, **plan):
    """Train a tiny network; give the trainer."""
    model, data = network(dropout), examples(30)
    clipped = lambda out, y: np.mean(np.asarray(out) > 0.5)  # noqa: E731
    learner = Learner(model, optimizers.build(spec), lambda out, y: (out - y) ** 2, "ab", clipped)
    learner.optimizer.build(learner.weights)
    curvature = Curvature(learner, examples(), curvature_every, batches()) if curvature_every else None
    order = lambda epoch: np.random.default_rng([1, epoch]).permutation(30)  # noqa: E731
    trainer = Trainer(
        learner, Plan(**{"epochs": 4, "batch_size": 8, "order": order, **plan}), data, curvature=curvature
    )
    trainer.train()
    return trainer


def dense_hessian(learner, probe, epsilon=1e-6):
    """Difference the gradient, entry by entry in float64, with the statistics of the probe in batch normalisation."""
    copy, (x, y) = network(dtype="float64"), probe
    copy.set_weights(learner.model.get_weights())
    weights = [variable.numpy() for variable in copy.trainable_variables]
    moving = [variable.value for variable in copy.non_trainable_variables]

    @tf.function
    def gradient(row):
        with tf.GradientTape() as tape:
            tape.watch(row)
            outputs, _ = copy.stateless_call(like(row, weights), moving, tf.constant(x, tf.float64), training=True)
            loss = tf.reduce_sum(tf.reduce_mean((outputs - y) ** 2, axis=0))
        return tape.gradient(loss, row)

    row = np.concatenate([np.ravel(part) for part in weights])
    found = [
        (gradient(tf.constant(row + step)), gradient(tf.constant(row - step))) for step in epsilon * np.eye(row.size)
    ]
    columns = [(above - below).numpy() / (2 * epsilon) for above, below in found]
    return gradient(tf.constant(row)).numpy(), np.stack(columns, 1)


@pytest.mark.slow
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
    learner = trained({"learning_rate": 1e-2, **spec}).learner
    gradient, hessian = dense_hessian(learner, examples())
    t, optimizer = 16, learner.optimizer
    if spec["class"] in ("SGD", "Lion"):
        diagonal = np.ones(len(gradient))
    elif spec["class"] == "RMSprop":
        diagonal = np.sqrt(np.float64(flat(optimizer._velocities)) + 1e-7)
    else:
        kept = optimizer._velocity_hats if spec.get("amsgrad") else optimizer._velocities
        corrected = np.sqrt(np.float64(flat(kept)) / (1 - 0.999**t))
        epsilon = 1e-7 if spec["class"] == "Nadam" else 1e-7 / np.sqrt(1 - 0.999**t)
        diagonal = (corrected + epsilon) * (1 if spec["class"] == "Nadam" else 1 - 0.9**t)
    measured = Curvature(learner, examples(), 1, batches()).measure()
    # P^-1 H itself is not symmetric: numpy solves it in general
    expected = np.linalg.eigvals(hessian / diagonal[:, None]).real.max()
    assert measured["sharpness"] == pytest.approx(expected, rel=1e-3)
    step = gradient / diagonal
    assert measured["gradient_curvature"] == pytest.approx(step @ hessian @ step / (step @ (diagonal * step)), rel=1e-3)
    assert measured["gradient_curvature"] <= measured["sharpness"] * (1 + 1e-3)
    along, square = [], []
    for batch in batches():
        gradient, hessian = dense_hessian(learner, batch)
        step = gradient / diagonal
        along.append(step @ hessian @ step)
        square.append(step @ gradient)
    ratio = np.divide(along, square)
    assert measured["batch_sharpness"] == pytest.approx(sum(along) / sum(square), rel=2e-3)
    assert measured["batch_sharpness_median"] == pytest.approx(np.median(ratio), rel=2e-3)
    assert measured["batch_sharpness_mean"] == pytest.approx(ratio.mean(), rel=2e-3)


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


@pytest.mark.parametrize("n", [4, 60])
@pytest.mark.parametrize("value", [np.inf, np.nan, 1e300])
def test_there_is_no_eigenvalue_of_what_is_not_finite(n, value):
    with np.errstate(all="ignore"):
        assert np.isnan(largest_eigenvalue(lambda vector: np.ravel(vector) * value * 1e10, np.ones(n)))


def test_a_training_that_diverges_is_not_stopped_by_measuring_it():
    """Its first step makes weights of 1e30, whose losses are finite yet and whose curvature is not."""
    history = trained({"class": "SGD", "learning_rate": 1e30}, curvature_every=1).record.history()
    assert not np.isfinite(history.curvature["sharpness"]).all()


def test_rayleigh_quotient_of_nothing_is_nan():
    assert rayleigh_quotient(lambda vector: vector, np.array([3.0, 4.0])) == 1
    assert np.isnan(rayleigh_quotient(lambda vector: vector, np.zeros(2)))


def quadratic_run(spec, ratio, steps=60):
    """Minimise h/2 w^2 with h at `ratio` of where it becomes unstable; give |w| at the end and what was measured."""
    optimizer = optimizers.build(spec)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    learner = Learner(model, optimizer, lambda out: out**2, "a")
    optimizer.build(learner.weights)
    optimizer.iterations.assign(100_000)  # the corrections for the start are over
    if spec["class"] == "Nadam":
        optimizer._u_product.assign(0.0)
    scale = spec.get("epsilon", 1.0) if spec["class"] in ("Adam", "Nadam") else 1.0
    h = ratio * stability_threshold(optimizer) * scale
    model.set_weights([np.full((1, 1), 1e-12)])
    x = np.full((1, 1), np.sqrt(h / 2), np.float32)
    measured = Curvature(learner, [x], 1).measure()
    assert measured["sharpness"] == pytest.approx(h / scale, rel=1e-3)
    assert measured["gradient_curvature"] == pytest.approx(h / scale, rel=1e-3)
    Trainer(learner, Plan(steps, 1, lambda epoch: np.zeros(1, int)), [x]).train()
    return abs(float(model.get_weights()[0][0, 0])), measured


@pytest.mark.slow
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


@pytest.mark.parametrize("spec", [{"class": "SGD", "learning_rate": 0.1}, {"class": "Adam", "learning_rate": 0.1}])
def test_curvature_along_the_update_is_that_worked_out_by_hand(spec):
    # loss of the batch: (4 w1^2 + 9 w2^2 / 4) / 4, so H is diagonal, and the gradient H w
    x, h, w, b1, b2 = np.float32([[2, 0], [0, 1.5]]), np.array([2.0, 1.125]), np.array([0.7, -0.4]), 0.9, 0.999
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    learner = Learner(model, optimizers.build(spec), lambda out: out**2 / 2, "a")
    learner.optimizer.build(learner.weights)
    model.set_weights([w[:, None]])
    curvature = Curvature(learner, [x], 1)
    step = backends.active().compile_steps(learner, [x], [Loss()], 1)
    step(np.int32([[0, 1]]))
    curvature.measure_cheaply()
    step(np.int32([[0, 1]]))
    found = curvature.measure_step([x])
    m = v = np.zeros(2)
    for t in (1, 2):
        gradient = h * w
        m, v = b1 * m + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
        adam = spec["class"] == "Adam"
        # P is what a step divides lr m by, in Cohen's convention: the correction of m is in it
        p = (1 - b1**t) * (np.sqrt(v / (1 - b2**t)) + 1e-7) if adam else np.ones(2)
        moved = -0.1 * (m if adam else gradient) / p
        w = w + moved
    assert found["update_curvature"] == pytest.approx(moved @ (h * moved) / (moved @ (p * moved)), rel=1e-4)
    assert found["descent_cosine"] == pytest.approx(cosine(moved, -gradient), rel=1e-4)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], w, rtol=1e-4)


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


@pytest.fixture(scope="module")
def scheduled():
    """Return the trainer of a training with a schedule, whose curvature is measured every four steps."""
    schedule = {"class": "PiecewiseConstantDecay", "boundaries": [5], "values": [1e-3, 1e-4]}
    return trained({"class": "Adam", "schedule": schedule}, curvature_every=4)


def test_threshold_follows_the_schedule(scheduled):
    history = scheduled.record.history()
    np.testing.assert_array_equal(history.curvature["step"], [4, 8, 12])
    np.testing.assert_allclose(history.curvature["threshold"], [38e3, 38e4, 38e4], rtol=1e-5)


def test_cheap_measures_are_those_of_the_dear_ones(scheduled):
    curvature = scheduled._curvature
    cheap, all_of_them = curvature.measure_cheaply(), curvature.measure()
    assert cheap.keys() == all_of_them.keys() - {"sharpness", "gradient_curvature", "threshold"}
    assert cheap == {name: all_of_them[name] for name in cheap}


@pytest.mark.slow
def test_measuring_changes_nothing_of_the_training():
    spec = {"class": "Adam", "learning_rate": 1e-2}
    with_it, without = (trained(spec, every, dropout=0.3).record.history() for every in (3, 0))
    assert list(with_it.curvature) == [
        "step",
        "sharpness",
        "gradient_curvature",
        "threshold",
        "batch_sharpness",
        "batch_sharpness_median",
        "batch_sharpness_mean",
        "batch_threshold",
        "clipped_share",
        "descent_cosine",
    ]
    assert {len(column) for column in with_it.curvature.values()} == {5}
    assert with_it.curvature["step"].tolist() == [3, 6, 9, 12, 15]
    assert not without.curvature
    for name, values in without.steps.items():
        np.testing.assert_array_equal(with_it.steps[name], values, err_msg=name)


def test_a_full_record_has_the_measure_of_every_hypothesis(scheduled):
    history = scheduled.record.history()
    recorded = measures_of(history, np.full(len(history.steps["loss"]), -1))
    # the z-score is made of the gradient norm
    wanted = {condition.measure.removesuffix("_z") for condition in CONDITIONS}
    assert wanted <= set(recorded)
    assert all(np.isfinite(recorded[name]).any() for name in wanted)


def test_threshold_is_absent_where_none_is_known():
    history = trained({"class": "Lion", "learning_rate": 1e-3}, curvature_every=5).record.history()
    assert not {"threshold", "batch_threshold"} & history.curvature.keys()
    assert {"sharpness", "batch_sharpness"} <= history.curvature.keys()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"class": "Adam", "learning_rate": 1e-3}, 2e3),
        ({"class": "Nadam", "learning_rate": 1e-3}, 2e3),
        ({"class": "SGD", "learning_rate": 0.1}, 20.0),
        ({"class": "SGD", "learning_rate": 0.1, "momentum": 0.9}, 2.0),
        ({"class": "SGD", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True}, 2.0),
        ({"class": "Adagrad", "learning_rate": 0.5}, 4.0),
        ({"class": "Lion", "learning_rate": 1e-3}, None),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_threshold_of_batches_counts_a_gradient_by_how_far_it_goes(spec, expected):
    found = batch_threshold(optimizers.build(spec))
    assert found is expected if expected is None else found == pytest.approx(expected, rel=1e-5)


DIRECTIONS = 64


def noisy_quadratic(spec, ratio, steps=1500):
    """Minimise the mean of (x.w)^2 / 2 on batches of one x, all of length^2 `ratio` times the threshold, any direction.

    Every batch has the same curvature along its own gradient, x.x; that of the mean loss is 64 times less. Without
    momentum a step changes |w|^2 by -rate (2 - rate x.x) (x.w)^2: it falls below the threshold and grows above.
    """
    optimizer = optimizers.build(spec)
    model = keras.Sequential([keras.Input((DIRECTIONS,)), keras.layers.Dense(1, use_bias=False)])
    learner = Learner(model, optimizer, lambda out: out**2 / 2, "a")
    optimizer.build(learner.weights)
    optimizer.iterations.assign(100_000)  # the corrections for the start are over
    if spec["class"] == "Nadam":
        optimizer._u_product.assign(0.0)
    scale = spec.get("epsilon", 1.0) if spec["class"] in ("Adam", "Nadam") else 1.0
    length = ratio * batch_threshold(optimizer) * scale
    rng = np.random.default_rng(11)
    x = rng.normal(size=(steps, DIRECTIONS))
    x = np.float32(np.sqrt(length) * x / np.linalg.norm(x, axis=1, keepdims=True))
    model.set_weights([np.full((DIRECTIONS, 1), 1e-6)])
    drawn = [[x[rows]] for rows in drawn_batches(len(x), 1, 32, rng)]
    measured = Curvature(learner, [x], 1, drawn).measure()
    before = np.linalg.norm(model.get_weights()[0])
    Trainer(learner, Plan(1, 1, lambda epoch: np.arange(steps), measures=()), [x]).train()
    return np.linalg.norm(model.get_weights()[0]) / before, measured


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "margin"),
    [
        ({"class": "SGD", "learning_rate": 0.01}, 0.03),
        # the bound is that of batches without any common direction, which 64 dimensions come near to
        ({"class": "SGD", "learning_rate": 0.01, "momentum": 0.9}, 0.25),
        ({"class": "SGD", "learning_rate": 0.01, "momentum": 0.9, "nesterov": True}, 0.25),
        # an epsilon that dwarfs the gradients holds the preconditioner fixed
        ({"class": "Adam", "learning_rate": 0.01, "epsilon": 1e3}, 0.25),
        ({"class": "Adam", "learning_rate": 0.01, "beta_1": 0.5, "epsilon": 1e3}, 0.15),
        ({"class": "Nadam", "learning_rate": 0.01, "epsilon": 1e3}, 0.25),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_noisy_training_turns_unstable_at_the_threshold_of_batches(spec, margin):
    settled, measured = noisy_quadratic(spec, 1 - margin)
    assert measured["batch_sharpness"] == pytest.approx((1 - margin) * measured["batch_threshold"], rel=1e-3)
    assert settled < 0.7
    diverged, measured = noisy_quadratic(spec, 1 + margin)
    assert measured["batch_sharpness"] > measured["batch_threshold"]
    assert diverged > 1.4
    # the mean loss by itself says that all is well
    assert measured["sharpness"] < 0.1 * measured["threshold"]


def test_batch_sharpness_of_a_known_distribution_is_dominated_by_the_sharp_batches():
    """Curvature is a with weights of 1 of 4, else b: pooled by the squares of the gradients, a w and b w."""
    a, b, w = 8.0, 1.0, 0.3
    curvature = np.array([a, b, b, b])
    found = batch_sharpness(curvature * (curvature * w) ** 2, (curvature * w) ** 2)
    assert found["batch_sharpness"] == pytest.approx((a**3 + 3 * b**3) / (a**2 + 3 * b**2))
    assert found["batch_sharpness_median"] == b
    assert found["batch_sharpness_mean"] == pytest.approx((a + 3 * b) / 4)
    assert all(np.isnan(value) for value in batch_sharpness(np.zeros(3), np.zeros(3)).values())


@pytest.mark.parametrize(("n", "size", "each"), [(30, 8, 8), (30, 30, 30), (5, 8, 5)])
def test_batches_are_drawn_as_a_training_draws_them(n, size, each):
    found = drawn_batches(n, size, 7, np.random.default_rng(1))
    assert found.shape == (7, each)
    epochs = n // each
    for first in range(0, 7, epochs):
        assert len(set(found[first : first + epochs].ravel())) == found[first : first + epochs].size
    np.testing.assert_array_equal(found, drawn_batches(n, size, 7, np.random.default_rng(1)))
    assert found.max() < n


@pytest.mark.slow
def test_descent_is_that_of_the_step_after_the_measurement():
    """On a batch that is the probe plain SGD goes straight down; a momentum from elsewhere does not."""
    model, data = network(), examples(8)
    learner = Learner(
        model, optimizers.build({"class": "SGD", "learning_rate": 0.1}), lambda out, y: (out - y) ** 2, "ab"
    )
    learner.optimizer.build(learner.weights)
    trainer = Trainer(learner, Plan(6, 8, lambda epoch: np.arange(8)), data, curvature=Curvature(learner, data, 2))
    trainer.train()
    history = trainer.record.history()
    assert history.curvature["step"].tolist() == [2, 4]
    np.testing.assert_allclose(history.curvature["descent_cosine"], 1, rtol=1e-4)
    other = trained({"class": "SGD", "learning_rate": 0.1, "momentum": 0.9}, 5).record.history().curvature
    assert (np.abs(other["descent_cosine"]) < 0.99).all()
    assert cosine(np.array([1.0, 0]), np.array([-2.0, 0])) == -1
    assert np.isnan(cosine(np.zeros(2), np.ones(2)))


def test_the_share_beyond_the_clip_is_that_of_the_probe():
    model, data = network(), examples(8)
    clipped = lambda outputs, y: np.mean(np.asarray(outputs) > np.median(outputs))  # noqa: E731
    learner = Learner(model, optimizers.build({"class": "Adam"}), lambda out, y: (out - y) ** 2, "ab", clipped)
    learner.optimizer.build(learner.weights)
    learner.optimizer.iterations.assign(1)
    learner.optimizer._velocities[0].assign(np.ones(learner.optimizer._velocities[0].shape))
    assert Curvature(learner, data, 1).measure()["clipped_share"] == 0.5
