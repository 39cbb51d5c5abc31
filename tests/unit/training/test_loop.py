"""The training loop against plain float64 loops of the same steps, and what it does when a run goes wrong."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from quasarcurves.training import loop, optimizers
from quasarcurves.training.history import History
from quasarcurves.training.loop import Trainer
from quasarcurves.training.measures import Loss
from quasarcurves.training.plan import Learner, Plan
from quasarcurves.training.score import Score

PART_WEIGHTS = np.array([1.0, 0.5])


def make_model(seed=0):
    """Three numbers in, four hidden, two out."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2)])
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.6, weight.shape) for weight in model.get_weights()])
    return model


def make_data(n, seed=1):
    """Inputs, targets and weights of n examples."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    y = np.stack([np.sin(x.sum(1)), x[:, 0] * x[:, 1]], 1).astype(np.float32)
    return x, y, rng.uniform(0.5, 1.5, n).astype(np.float32)


def squares(outputs, y, weight):
    """Two parts per example."""
    return tf.constant(PART_WEIGHTS, tf.float32) * weight[:, None] * (y - outputs) ** 2


def order(n, seed=2):
    return lambda epoch: np.random.default_rng([seed, epoch]).permutation(n)


def make_learner(spec, model=None, loss=squares, **options):
    return Learner(model or make_model(), optimizers.build(spec, **options), loss, ["first", "second"])


def train(learner, data, plan, validation=None, after_epoch=lambda progress: None):
    """Train from the beginning to the end."""
    trainer = Trainer(learner, plan, data, validation)
    trainer.train(after_epoch=lambda: after_epoch(trainer.record))
    trainer.finish()
    return trainer.record


def forward(weights, x):
    hidden = np.tanh(x @ weights[0] + weights[1])
    return hidden, hidden @ weights[2] + weights[3]


def losses_by_hand(weights, x, y, weight):
    """(n, 2) loss per example and part."""
    return PART_WEIGHTS * weight[:, None] * (y - forward(weights, x)[1]) ** 2


def gradients_by_hand(weights, x, y, weight):
    hidden, outputs = forward(weights, x)
    d_out = -2 * PART_WEIGHTS * weight[:, None] * (y - outputs) / len(x)
    d_hidden = (d_out @ weights[2].T) * (1 - hidden**2)
    return [x.T @ d_hidden, d_hidden.sum(0), hidden.T @ d_out, d_out.sum(0)]


class Sgd:
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, gradients):
        return [self.rate * gradient for gradient in gradients]


class AdamByHand:
    """Keras's Adam; with `amsgrad` its maximum is that of the uncorrected mean square."""

    def __init__(self, rate, beta_1, beta_2, epsilon, amsgrad):
        self.rate, self.beta_1, self.beta_2, self.epsilon, self.amsgrad = rate, beta_1, beta_2, epsilon, amsgrad
        self.t, self.m, self.v, self.highest = 0, [0.0] * 4, [0.0] * 4, [0.0] * 4

    def __call__(self, gradients):
        self.t += 1
        step = self.rate * np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        updates = []
        for i, g in enumerate(gradients):
            self.m[i] = self.beta_1 * self.m[i] + (1 - self.beta_1) * g
            self.v[i] = self.beta_2 * self.v[i] + (1 - self.beta_2) * g**2
            self.highest[i] = np.maximum(self.highest[i], self.v[i])
            v = self.highest[i] if self.amsgrad else self.v[i]
            updates.append(step * self.m[i] / (np.sqrt(v) + self.epsilon))
        return updates


def train_by_hand(update, data, epochs, batch_size, keep=True, validation=None):
    """Train in float64; gives step losses, epoch losses by part, gradient norms, and weights after each epoch."""
    data = [np.asarray(array, np.float64) for array in data]
    weights = [np.asarray(weight, np.float64) for weight in make_model().get_weights()]
    record = {"steps": [], "epochs": [], "norms": [], "weights": [], "val": []}
    n = len(data[0])
    for epoch in range(epochs):
        permutation, total, count = order(n)(epoch), np.zeros(2), 0
        for start in range(0, n, batch_size):
            rows = permutation[start : start + batch_size]
            if len(rows) < batch_size and not keep:
                continue
            batch = [array[rows] for array in data]
            losses = losses_by_hand(weights, *batch)
            record["steps"].append(losses.mean(0).sum())
            total, count = total + losses.sum(0), count + len(rows)
            gradients = gradients_by_hand(weights, *batch)
            record["norms"].append(np.sqrt(sum((gradient**2).sum() for gradient in gradients)))
            weights = [weight - change for weight, change in zip(weights, update(gradients), strict=True)]
        record["epochs"].append(total / count)
        record["weights"].append(weights)
        if validation is not None:
            arrays = [np.asarray(array, np.float64) for array in validation]
            record["val"].append(losses_by_hand(weights, *arrays).sum(1).mean())
    return record


def assert_same_training(progress, model, record, tolerance=1e-5):
    history = progress.history()
    np.testing.assert_allclose(history.steps["loss"], record["steps"], rtol=tolerance, atol=tolerance)
    parts = np.array(record["epochs"])
    np.testing.assert_allclose(history.epochs["loss_first"], parts[:, 0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(history.epochs["loss_second"], parts[:, 1], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(history.epochs["loss"], parts.sum(1), rtol=tolerance, atol=tolerance)
    for got, expected in zip(model.get_weights(), record["weights"][-1], strict=True):
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("n", "last_batch", "steps"), [(23, "keep", 5), (23, "drop", 4), (20, "keep", 4), (20, "drop", 4), (3, "keep", 1)]
)
def test_gradient_descent_equals_a_plain_loop(n, last_batch, steps):
    data, learner = make_data(n), make_learner({"class": "SGD", "learning_rate": 0.1})
    plan = Plan(6, 5, order(n), last_batch)
    assert plan.steps_per_epoch(n) == steps
    progress = train(learner, data, plan)
    record = train_by_hand(Sgd(0.1), data, 6, 5, last_batch == "keep")
    assert_same_training(progress, learner.model, record)
    epochs = progress.history().epochs
    np.testing.assert_array_equal(epochs["step"], steps * np.arange(1, 7))
    np.testing.assert_allclose(epochs["learning_rate"], 0.1)
    assert (epochs["seconds"] > 0).all()
    assert len(progress.history().steps["loss"]) == 6 * steps
    assert progress.step == 6 * steps
    # the weights went a long way
    start = make_model().get_weights()
    assert max(np.abs(a - b).max() for a, b in zip(start, record["weights"][-1], strict=True)) > 0.1


def test_an_epoch_counts_every_example_once():
    data, learner = make_data(11), make_learner({"class": "SGD", "learning_rate": 1e-12})
    loss = train(learner, data, Plan(1, 5, order(11))).history()
    expected = losses_by_hand(make_model().get_weights(), *data).sum(1).mean()
    assert loss.epochs["loss"][0] == pytest.approx(expected, rel=1e-5)
    # the mean of the three batches' means, the last of one example, is another number
    assert abs(loss.steps["loss"].mean() - expected) > 1e-3


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_and_amsgrad_equal_a_plain_loop(amsgrad):
    spec = {"class": "Adam", "learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4, "amsgrad": amsgrad}
    data, learner = make_data(23), make_learner(spec)
    progress = train(learner, data, Plan(12, 5, order(23)))
    by_hand = {flag: train_by_hand(AdamByHand(0.02, 0.8, 0.9, 1e-4, flag), data, 12, 5) for flag in (False, True)}
    assert_same_training(progress, learner.model, by_hand[amsgrad])
    # the two differ by far more than what is asked for here
    difference = np.subtract(by_hand[True]["steps"], by_hand[False]["steps"])
    assert np.abs(difference).max() > 1e-2


def test_the_recorded_rate_is_that_of_the_schedule():
    spec = {"class": "SGD", "learning_rate": 0.2, "schedule": {"class": "PolynomialDecay", "end_learning_rate": 0.1}}
    learner = make_learner(spec, total_steps=20)
    rates = train(learner, make_data(20), Plan(4, 4, order(20))).history().epochs["learning_rate"]
    np.testing.assert_allclose(rates, 0.2 - 0.1 * np.arange(5, 21, 5) / 20, rtol=1e-5)


@pytest.mark.parametrize(("every", "epochs", "validated"), [(3, 7, [3, 6, 7]), (1, 3, [1, 2, 3]), (5, 4, [4])])
def test_validation_loss_is_computed_where_asked_for(every, epochs, validated):
    data, validation = make_data(20), make_data(9, seed=8)
    learner = make_learner({"class": "SGD", "learning_rate": 0.1})
    progress = train(learner, data, Plan(epochs, 5, order(20), validate_every=every), validation)
    expected = np.full(epochs, np.nan)
    record = train_by_hand(Sgd(0.1), data, epochs, 5, validation=validation)
    for epoch in validated:
        expected[epoch - 1] = record["val"][epoch - 1]
    np.testing.assert_allclose(progress.history().epochs["val_loss"], expected, rtol=1e-5)


def test_without_validation_there_is_no_validation_loss_and_no_best():
    progress = train(make_learner({"class": "SGD", "learning_rate": 0.1}), make_data(10), Plan(2, 5, order(10)))
    assert np.isnan(progress.history().epochs["val_loss"]).all()
    assert progress.best_weights == []


def test_validation_in_several_pieces_is_the_mean_over_all_examples():
    validation = make_data(2500, seed=9)
    learner = make_learner({"class": "SGD", "learning_rate": 0.1})
    progress = train(learner, make_data(10), Plan(1, 5, order(10)), validation)
    expected = train_by_hand(Sgd(0.1), make_data(10), 1, 5, validation=validation)["val"]
    np.testing.assert_allclose(progress.epochs["val_loss"], expected, rtol=1e-5)


def test_dropout_is_off_in_validation():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(2)])
    x, y, weight = make_data(30)
    learner = make_learner({"class": "SGD", "learning_rate": 1e-12}, model)
    progress = train(learner, (x, y, weight), Plan(1, 30, order(30)), (x, y, weight))
    kernel, bias = (values.astype(np.float64) for values in model.get_weights())
    expected = (PART_WEIGHTS * weight[:, None] * (y - x @ kernel - bias) ** 2).sum(1).mean()
    assert progress.epochs["val_loss"][0] == pytest.approx(expected, rel=1e-4)
    assert abs(progress.epochs["loss"][0] - expected) > 1e-2


def test_the_best_weights_are_those_of_the_lowest_validation_loss():
    data = make_data(20)
    record = train_by_hand(Sgd(0.1), data, 8, 5)
    # what the model says after epoch 4 is taken for the truth: its loss is 0 there
    x, _, weight = make_data(30, seed=5)
    validation = x, forward(record["weights"][3], x)[1].astype(np.float32), weight
    learner, seen = make_learner({"class": "SGD", "learning_rate": 0.1}), []
    progress = train(
        learner, data, Plan(8, 5, order(20)), validation, lambda progress: seen.append(learner.model.get_weights())
    )
    assert np.argmin(progress.epochs["val_loss"]) == 3
    assert progress.best_loss == progress.epochs["val_loss"][3]
    for best, then, last in zip(progress.best_weights, seen[3], learner.model.get_weights(), strict=True):
        np.testing.assert_array_equal(best, then)
        assert (best != last).any()


@pytest.mark.parametrize(
    ("scores", "better", "best"),
    [
        ([0.2, 0.9, 0.5, 0.9], "higher", 4),  # of two the one of lower loss: it falls from epoch to epoch
        ([0.2, 0.9, 0.5, np.nan], "higher", 2),
        ([np.nan] * 4, "higher", 4),
        ([0.1, np.nan, np.nan, np.nan], "higher", 1),
        ([0.2, 0.1, 0.5, 0.1], "lower", 4),
        ([-0.2, 3.0, np.nan, 0.1], "lower", 1),
        ([np.nan, 7.0, np.nan, np.nan], "lower", 2),
    ],
)
def test_the_best_weights_may_be_those_of_the_best_score(scores, better, best):
    learner, said, seen = make_learner({"class": "SGD", "learning_rate": 0.01}), iter(scores), []
    data, plan = make_data(20), Plan(4, 5, order(20), best="crossing")
    trainer = Trainer(learner, plan, data, data, score=Score("crossing", lambda outputs: next(said), better))
    trainer.train(after_epoch=lambda: seen.append(learner.model.get_weights()))
    trainer.finish()
    record = trainer.record
    assert (np.diff(record.epochs["val_loss"]) < 0).all()
    np.testing.assert_array_equal(record.history().epochs["val_crossing"], np.float32(scores))
    for kept, then in zip(record.best_weights, seen[best - 1], strict=True):
        np.testing.assert_array_equal(kept, then)
    assert record.best_loss == record.epochs["val_loss"][best - 1]


def test_the_score_is_that_of_the_outputs_at_the_epochs_that_are_validated():
    learner, data, said = make_learner({"class": "SGD", "learning_rate": 0.1}), make_data(2500), []
    score = Score("crossing", lambda outputs: said.append(outputs) or 0.5)
    trainer = Trainer(learner, Plan(3, 500, order(2500), validate_every=2), data, data, score=score)
    trainer.train()
    trainer.finish()
    assert trainer.record.epochs["val_crossing"] == pytest.approx([np.nan, 0.5, 0.5], nan_ok=True)
    np.testing.assert_allclose(said[-1], forward(learner.model.get_weights(), data[0])[1], rtol=1e-4, atol=1e-5)


def test_recording_a_score_changes_nothing_else():
    records = []
    for score in (None, Score("mean", lambda outputs: float(outputs.mean()))):
        learner, data = make_learner({"class": "Adam", "learning_rate": 0.01}), make_data(40)
        trainer = Trainer(learner, Plan(6, 8, order(40), validate_every=2), data, make_data(13, seed=4), score=score)
        trainer.train()
        trainer.finish()
        records.append([trainer.record.history().epochs[name] for name in ("loss", "val_loss")])
        records[-1] += [*trainer.learner.model.get_weights(), *trainer.record.best_weights]
    for one, other in zip(*records, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def test_every_epoch_is_reported_after_its_validation():
    seen = []
    train(
        make_learner({"class": "SGD", "learning_rate": 0.1}),
        make_data(10),
        Plan(3, 5, order(10)),
        make_data(4),
        lambda progress: seen.append((progress.epoch, progress.step, len(progress.epochs["val_loss"]))),
    )
    assert seen == [(1, 2, 1), (2, 4, 2), (3, 6, 3)]


def assert_ended_at(progress, step, steps_per_epoch):
    history = progress.history()
    assert progress.diverged_step == step
    assert len(history.steps["loss"]) == step + 1
    assert np.isfinite(history.steps["loss"][:-1]).all()
    assert not np.isfinite(history.steps["loss"][-1])
    epochs = step // steps_per_epoch + 1
    assert progress.epoch == epochs
    assert {len(values) for values in history.epochs.values()} == {epochs}
    assert history.epochs["step"][-1] == step + 1
    assert np.isfinite(history.epochs["loss"][:-1]).all()
    assert not np.isfinite(history.epochs["loss"][-1])


def test_a_run_that_diverges_ends_with_the_first_loss_that_is_not_finite():
    data, largest = make_data(20), float(np.finfo(np.float32).max)
    with np.errstate(over="ignore", invalid="ignore"):
        losses = np.array(train_by_hand(Sgd(3000.0), data, 10, 5)["steps"])
    first = int(np.flatnonzero(~(losses < largest))[0])
    # in the second epoch of four steps, and no close call that rounding could move
    assert first == 5
    assert losses[first - 1] < 1e-4 * largest
    assert losses[first] > 100 * largest
    learner = make_learner({"class": "SGD", "learning_rate": 3000.0})
    assert_ended_at(train(learner, data, Plan(10, 5, order(20)), make_data(8)), first, 4)


@pytest.mark.slow
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("last_batch", ["keep", "drop"])
def test_the_first_bad_step_is_found_wherever_it_is(bad, part, epoch, last_batch):
    x, y, weight = make_data(23)
    y[22, part] = bad
    hidden = [np.random.default_rng([4, e]).permutation(22) for e in range(5)]

    def order_with_bad(now):
        # the bad example comes late, in place 11, in one epoch, and is left to itself in the others
        usual = hidden[now]
        return np.insert(usual, 11, 22) if now == epoch else np.append(usual[:20], usual[:3])

    learner = make_learner({"class": "SGD", "learning_rate": 0.01})
    plan = Plan(5, 5, order_with_bad, last_batch)
    progress = train(learner, (x, y, weight), plan, make_data(6))
    per_epoch = 5 if last_batch == "keep" else 4
    assert_ended_at(progress, epoch * per_epoch + 2, per_epoch)
    # the best weights seen before stay
    assert bool(progress.best_weights) == (epoch > 0)
    assert all(np.isfinite(values).all() for values in progress.best_weights)


def test_a_run_that_stays_finite_is_not_marked():
    progress = train(make_learner({"class": "SGD", "learning_rate": 0.1}), make_data(10), Plan(3, 5, order(10)))
    assert progress.diverged_step is None
    assert progress.epoch == 3


class GradientNorm:
    name = "gradient_norm"

    def __call__(self, step):
        return keras.ops.sqrt(sum(keras.ops.sum(keras.ops.square(gradient)) for gradient in step.gradients))


class StepNumber:
    """A whole number, from the optimizer."""

    name = "number"

    def __call__(self, step):
        return step.optimizer.iterations


def test_a_measure_of_ones_own_is_recorded():
    data, learner = make_data(23), make_learner({"class": "SGD", "learning_rate": 0.1})
    plan = Plan(3, 5, order(23), measures=(Loss(), GradientNorm(), StepNumber()))
    steps = train(learner, data, plan).history().steps
    record = train_by_hand(Sgd(0.1), data, 3, 5)
    assert list(steps) == ["loss", "gradient_norm", "number"]
    np.testing.assert_allclose(steps["loss"], record["steps"], rtol=1e-5)
    np.testing.assert_allclose(steps["gradient_norm"], record["norms"], rtol=1e-5)
    np.testing.assert_array_equal(steps["number"], np.arange(1, 16))
    assert {values.dtype for values in steps.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("last_batch", ["keep", "drop"])
@pytest.mark.parametrize("most", [1, 2, 3, 100])
@pytest.mark.parametrize("n", [4, 5, 23, 25])
def test_blocks_put_together_are_the_epoch(n, most, last_batch):
    plan = Plan(1, 5, order(n), last_batch)
    permutation, step, rows = np.asarray(plan.order(0), np.int32), 0, []
    while (batches := plan.block(permutation, step, most)) is not None:
        assert len(batches) <= most
        assert batches.shape[1] <= 5
        rows.extend(batches.ravel())
        step += len(batches)
    assert step == plan.steps_per_epoch(n)
    np.testing.assert_array_equal(rows, permutation[: n if last_batch == "keep" else n // 5 * 5])


def test_the_length_of_blocks_does_not_change_the_training(monkeypatch):
    results, blocks = [], []
    for first, seconds in ((1, 1e-9), (16, 1.0)):
        monkeypatch.setattr(loop, "_FIRST_BLOCK", first)
        monkeypatch.setattr(loop, "_BLOCK_SECONDS", seconds)
        learner = make_learner({"class": "Adam", "learning_rate": 0.01})
        progress = train(learner, make_data(23), Plan(4, 5, order(23)), make_data(6))
        results.append([progress.history().steps["loss"], *learner.model.get_weights(), *progress.best_weights])
        blocks.append(len(progress.steps["loss"]))
    assert blocks == [20, 8]
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_stopped_between_blocks_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr(loop, "_FIRST_BLOCK", 1)
    monkeypatch.setattr(loop, "_BLOCK_SECONDS", 1e-9)
    spec, plan = {"class": "Adam", "learning_rate": 0.01}, Plan(3, 5, order(23))
    through = train(make_learner(spec), make_data(23), plan, make_data(6))
    trainer = Trainer(make_learner(spec), plan, make_data(23), make_data(6))

    def stop():
        if trainer.record.step == 7:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trainer.train(stop)
    assert (trainer.record.epoch, trainer.record.step_in_epoch) == (1, 2)
    trainer.train()
    trainer.finish()
    for group in ("epochs", "steps"):
        got, expected = (getattr(progress.history(), group) for progress in (trainer.record, through))
        assert got.keys() == expected.keys()
        for name in got.keys() - {"seconds"}:
            np.testing.assert_array_equal(got[name], expected[name])


def test_measures_do_not_change_the_training():
    results = []
    for measures in ((Loss(),), (Loss(), GradientNorm())):
        learner = make_learner({"class": "Adam", "learning_rate": 0.01})
        progress = train(learner, make_data(23), Plan(3, 5, order(23), measures=measures))
        results.append((progress.history().steps["loss"], learner.model.get_weights()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    for one, other in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


PROGRAM = """
import sys
import os
from pathlib import Path
import numpy as np
from quasarcurves.steps import training as runs
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import StateSettings
from quasarcurves.spectra import Spectra
from quasarcurves.spectra.subsets import draw

runs.use_threads(1)
folder = Path(sys.argv[1])
rng = np.random.default_rng(4)
columns = {"z": rng.uniform(0.5, 3.5, 120), "label": rng.choice([0, 1, 2, 3, 4], 120), "bal": rng.integers(-1, 2, 120)}
rest = {"target_id": np.arange(120), "snr": np.ones(120)}
Spectra(rng.normal(size=(120, 443)), **columns, **rest).save(folder / "spectra.h5")
lines = ["LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha"]
network = {"filters": 8, "layers": 4, "boxes": 13, "lines": lines, "bal_lines": ["CIV(1548)"], "dropout": 0}
training = {"epochs": 3, "batch_size": 32, "last_batch": "keep", "validate_every": 2}
for name in sys.argv[2:]:
    replicate, optimizer = name.split("_")
    draw(np.arange(120), 0.8, 0).save(folder / "subset.h5")
    spec = {"class": "Adam", "learning_rate": 0.001, "amsgrad": optimizer == "amsgrad"}
    params = {"study": "t", "seed": 7, "fraction": 0.8, "replicate": int(replicate), "optimizer": optimizer}
    params |= {"optimizer_spec": spec, "network": network, "training": training}
    run = folder / name
    files = {key: run / f"{key}.keras" for key in ("model", "best")}
    job = runs.Job(
        run=RunSettings.from_json(params), key="key", subset=folder / "subset.h5", state=run / "state",
        history=run / "history.h5", **files
    )
    runs.train_runs(folder / "spectra.h5", [job], StateSettings(checkpoint_every=2, keep_state=False))
os._exit(0)  # nothing tidies up after it, as nothing does after one that is killed
"""


def trained_in_a_process(folder, *names):
    """Histories of runs that one process trains, and their folders, by name; the same spectra in every process."""
    (folder / "temporary").mkdir()
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TMPDIR": str(folder / "temporary")}
    command = [sys.executable, "-c", PROGRAM, str(folder), *names]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.parent.name: (History.load(path), path.parent) for path in sorted(folder.glob("*/history.h5"))}


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """Return what a process makes of a run, its twin with AMSGrad, and another replicate."""
    return trained_in_a_process(tmp_path_factory.mktemp("first"), "0_adam", "0_amsgrad", "1_adam")


@pytest.mark.slow
def test_the_same_run_in_two_processes_is_the_same_to_the_bit(process, tmp_path):
    (one, first), (other, second) = process["0_adam"], trained_in_a_process(tmp_path, "0_adam")["0_adam"]
    assert one.epochs.keys() == other.epochs.keys()
    for name, values in one.epochs.items():
        if name != "seconds":
            np.testing.assert_array_equal(other.epochs[name], values, strict=True)
    for name, values in one.steps.items():
        np.testing.assert_array_equal(other.steps[name], values, strict=True)
    assert one.params == other.params
    for file in ("model.keras", "best.keras"):
        models = [keras.saving.load_model(folder / file, safe_mode=True) for folder in (first, second)]
        for a, b in zip(*(model.get_weights() for model in models), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_run_records_what_it_was_and_how_it_ended(process):
    history, _ = process["0_adam"]
    assert history.params["optimizer_spec"]["class"] == "Adam"
    outcome = history.params["outcome"]
    assert (outcome["n_train"], outcome["n_validation"], outcome["steps_per_epoch"]) == (96, 6, 3)
    assert (outcome["epochs"], outcome["diverged"], outcome["diverged_step"]) == (3, False, None)
    assert np.isfinite(history.epochs["val_loss"]).tolist() == [False, True, True]
    lines = ["LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha", "BAL_CIV(1548)"]
    parts = sum(history.epochs[f"loss_{line}"].astype(np.float64) for line in lines)
    np.testing.assert_allclose(parts, history.epochs["loss"], rtol=1e-5)
    assert history.epochs["loss"][-1] < history.epochs["loss"][0]


@pytest.mark.slow
def test_optimizers_of_a_replicate_start_alike_and_replicates_differ(process):
    adam, amsgrad, other = (process[name][0].steps["loss"] for name in ("0_adam", "0_amsgrad", "1_adam"))
    assert adam[0] == amsgrad[0]
    assert (adam != amsgrad).any()
    assert adam[0] != other[0]


@pytest.mark.slow
def test_a_training_leaves_no_temporary_files(process):
    """Not even one that ends without tidying up, as when it is killed."""
    _, run = process["0_adam"]
    assert not list((run.parent / "temporary").iterdir())
