"""Every measure of the step record, for every optimizer of Keras, against float64 formulas of its own."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from quasarcurves.training import flat as flat_module
from quasarcurves.training import loop, measures, optimizer_specs, optimizers
from quasarcurves.training.flat import flat
from quasarcurves.training.history import History
from quasarcurves.training.loop import Trainer
from quasarcurves.training.measures import Loss, step_record
from quasarcurves.training.plan import Learner, Plan
from quasarcurves.training.preconditioners import DiagonalPreconditioner, preconditioner_of
from quasarcurves.training.step import PERCENTS, Step

RATE = 0.02
ALWAYS = {"loss", "gradient_norm", "update_norm", "last_layer_norm"}
MULTIPLIER = {"effective_step_mean", *(f"effective_step_q{percent:02d}" for percent in PERCENTS)}
RMS = {"rms_worst", "rms_mean"}
PAST = {"square_over_past"}


class Adam:
    """An optimizer in float64: gives the update of a tensor, the multiplier of m in it, and the corrected v."""

    beta_1, beta_2, epsilon, decay = 0.8, 0.9, 1e-3, 0.0
    amsgrad = False

    def __init__(self):
        self.state = {}

    def mean(self, key, beta, value):
        self.state[key] = beta * self.state.get(key, 0.0) + (1 - beta) * value
        return self.state[key]

    def moments(self, i, g, t):
        m, v = self.mean((i, "m"), self.beta_1, g), self.mean((i, "v"), self.beta_2, g**2)
        if self.amsgrad:
            v = self.state[i, "highest"] = np.maximum(self.state.get((i, "highest"), 0.0), v)
        return m, v, 1 - self.beta_1**t, 1 - self.beta_2**t

    def __call__(self, i, g, w, t):
        m, v, start_1, start_2 = self.moments(i, g, t)
        multiplier = RATE * np.sqrt(start_2) / start_1 / (np.sqrt(v) + self.epsilon)
        return multiplier * m + RATE * self.decay * w, multiplier, v / start_2


class AMSGrad(Adam):
    amsgrad = True


class AdamW(Adam):
    decay = 0.1


class Adamax(Adam):
    def __call__(self, i, g, w, t):
        m = self.mean((i, "m"), self.beta_1, g)
        u = self.state[i, "u"] = np.maximum(self.beta_2 * self.state.get((i, "u"), 0.0), np.abs(g))
        multiplier = RATE / (1 - self.beta_1**t) / (u + self.epsilon)
        return multiplier * m, multiplier, None


class Nadam(Adam):
    def __call__(self, i, g, w, t):
        m, v, _, start_2 = self.moments(i, g, t)
        u = self.beta_1 * (1 - 0.5 * 0.96 ** np.arange(1, t + 2))
        scale = RATE / (np.sqrt(v / start_2) + self.epsilon)
        multiplier = scale * u[-1] / (1 - u.prod())
        return multiplier * m + scale * (1 - u[-2]) / (1 - u[:-1].prod()) * g, multiplier, v / start_2


class Lamb(Adam):
    decay = 0.1

    def __call__(self, i, g, w, t):
        m, v, start_1, start_2 = self.moments(i, g, t)
        scale = 1 / start_1 / (np.sqrt(v / start_2) + self.epsilon)
        decayed = w * (1 - RATE * self.decay)
        norms = np.linalg.norm(decayed), np.linalg.norm(scale * m)
        multiplier = RATE * (norms[0] / norms[1] if min(norms) > 0 else 1.0) * scale
        return multiplier * m + RATE * self.decay * w, multiplier, v / start_2


class StableAdamW(Adam):
    decay = 0.1

    def __call__(self, i, g, w, t):
        m, v, start_1, start_2 = self.moments(i, g, t)
        rms = np.sqrt(np.mean(g**2 / np.maximum(v / start_2, self.epsilon**2)))
        rate = RATE / max(1.0, rms)
        multiplier = rate / start_1 / (np.sqrt(v / start_2) + self.epsilon)
        return multiplier * m + rate * self.decay * w, multiplier, v / start_2


class ScheduleFree(Adam):
    warmup = 3

    def __call__(self, i, g, w, t):
        z = self.state.setdefault((i, "z"), w)
        v = self.mean((i, "v"), self.beta_2, g**2) / (1 - self.beta_2**t)
        multiplier = RATE * min(t / self.warmup, 1.0) / (np.sqrt(v) + self.epsilon)
        z = self.state[i, "z"] = z - multiplier * g
        # Keras takes the average out of the weights with the z of after the step, where the paper has that of before
        x = (1 - 1 / t) * (w - (1 - self.beta_1) * z) / self.beta_1 + z / t
        return w - ((1 - self.beta_1) * z + self.beta_1 * x), multiplier, v


class Rmsprop(Adam):
    def __call__(self, i, g, w, t):
        v = self.mean((i, "v"), self.beta_2, g**2)
        multiplier = RATE / np.sqrt(v + self.epsilon)
        return multiplier * g, multiplier, v


class RmspropFull(Adam):
    """Centred and with momentum."""

    def __call__(self, i, g, w, t):
        v, mean = self.mean((i, "v"), self.beta_2, g**2), self.mean((i, "mean"), self.beta_2, g)
        multiplier = RATE / np.sqrt(v - mean**2 + self.epsilon)
        self.state[i, "m"] = 0.5 * self.state.get((i, "m"), 0.0) + multiplier * g
        return self.state[i, "m"], multiplier, v


class Adagrad(Adam):
    def __call__(self, i, g, w, t):
        self.state[i] = self.state.get(i, 0.1) + g**2
        multiplier = RATE / np.sqrt(self.state[i] + self.epsilon)
        return multiplier * g, multiplier, None


class Adadelta(Adam):
    def __call__(self, i, g, w, t):
        v, d = self.mean((i, "v"), self.beta_2, g**2), self.state.get((i, "d"), 0.0)
        scale = np.sqrt((d + self.epsilon) / (v + self.epsilon))
        self.mean((i, "d"), self.beta_2, (scale * g) ** 2)
        return RATE * scale * g, RATE * scale, v


class Adafactor(Adam):
    epsilon = 1e-15  # its square is Adafactor's first epsilon

    def __call__(self, i, g, w, t):
        beta, square = 1 - t**-0.8, g**2 + 1e-30
        if g.ndim > 1:
            r, c = self.mean((i, "r"), beta, square.mean(-1)), self.mean((i, "c"), beta, square.mean(-2))
            v = (r / r.mean(-1, keepdims=True))[..., None] * c[..., None, :]
        else:
            v = self.mean((i, "v"), beta, square)
        clip = max(1.0, np.sqrt(np.mean(g**2 / v)))
        multiplier = max(1e-3, np.sqrt(np.mean(w**2))) * min(RATE, 1 / np.sqrt(t)) / clip / np.sqrt(v)
        return multiplier * g, multiplier, v


ADAM = {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}
CASES = {
    "adam": ({"class": "Adam", **ADAM}, Adam),
    "amsgrad": ({"class": "Adam", "amsgrad": True, **ADAM}, AMSGrad),
    "adamw": ({"class": "AdamW", "weight_decay": 0.1, **ADAM}, AdamW),
    "adamax": ({"class": "Adamax", **ADAM}, Adamax),
    "nadam": ({"class": "Nadam", **ADAM}, Nadam),
    "lamb": ({"class": "Lamb", "weight_decay": 0.1, **ADAM}, Lamb),
    "stable": ({"class": "StableAdamW", "weight_decay": 0.1, **ADAM}, StableAdamW),
    "schedule_free": ({"class": "ScheduleFreeAdamW", "warmup_steps": 3, **ADAM}, ScheduleFree),
    "rmsprop": ({"class": "RMSprop", "rho": 0.9, "epsilon": 1e-3}, Rmsprop),
    "rmsprop_full": (
        {"class": "RMSprop", "rho": 0.9, "epsilon": 1e-3, "momentum": 0.5, "centered": True},
        RmspropFull,
    ),
    "adagrad": ({"class": "Adagrad", "epsilon": 1e-3}, Adagrad),
    "adadelta": ({"class": "Adadelta", "rho": 0.9, "epsilon": 1e-3}, Adadelta),
    "adafactor": ({"class": "Adafactor"}, Adafactor),
}


def make_model():
    """One tensor of three axes, one of two, and two of one."""
    layers = keras.layers
    model = keras.Sequential([keras.Input((6, 2)), layers.Conv1D(3, 2), layers.Flatten(), layers.Dense(2)])
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


def gradients_of(model, t):
    """Random gradients over three decades, and one burst of them."""
    rng = np.random.default_rng([4, t])
    scale = 30.0 if t == 4 else 1.0
    return [scale * 10 ** rng.uniform(-3, 0, v.shape) * rng.normal(size=v.shape) for v in model.trainable_variables]


def recorded(optimizer, steps=6, gradients=gradients_of):
    """Apply gradients and yield for each step: its number, weights before and after, gradients, and the record."""
    model = make_model()
    optimizer.build(model.trainable_variables)
    for t in range(1, steps + 1):
        g = [tf.constant(each, tf.float32) for each in gradients(model, t)]
        weights, rate = model.get_weights(), tf.constant(float(optimizer.learning_rate))
        before = flat(model.trainable_variables)
        optimizer.apply(g, model.trainable_variables)
        step = Step(
            tf.constant(0.5), g, model, optimizer, model.trainable_variables, rate, before, preconditioner_of(optimizer)
        )
        record = {measure.name: float(measure(step)) for measure in step_record(optimizer)}
        yield t, weights, model.get_weights(), [each.numpy().astype(np.float64) for each in g], record


def row(arrays):
    return np.concatenate([np.ravel(array) for array in arrays]).astype(np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_scaled_measures_are_those_of_the_formula(case):
    spec, by_hand = CASES[case]
    optimizer, hand = optimizers.build({"learning_rate": RATE, **spec}), by_hand()
    for t, before, after, g, record in recorded(optimizer):
        results = [hand(i, *pair, t) for i, pair in enumerate(zip(g, before, strict=True))]
        updates, multipliers, squares = zip(*results, strict=True)
        # the formula is that of Keras: it moves the weights alike
        np.testing.assert_allclose(row(before) - row(updates), row(after), rtol=2e-5, atol=1e-6)
        multiplier = row(multipliers)
        assert record["effective_step_mean"] == pytest.approx(multiplier.mean(), rel=3e-5)
        for percent in PERCENTS:
            expected = np.quantile(multiplier, percent / 100)
            assert record[f"effective_step_q{percent:02d}"] == pytest.approx(expected, rel=3e-5)
        if squares[0] is None:
            assert not RMS & record.keys()
            continue
        rms = [np.sqrt(np.mean(each**2 / np.maximum(v, hand.epsilon**2))) for each, v in zip(g, squares, strict=True)]
        assert record["rms_worst"] == pytest.approx(max(rms), rel=3e-5)
        assert record["rms_mean"] == pytest.approx(np.mean(rms), rel=3e-5)


@pytest.mark.parametrize("name", sorted(optimizer_specs.optimizer_classes()))
def test_norms_are_right_for_every_optimizer_and_what_one_has_not_is_absent(name):
    has_past = {"Adam", "AdamW", "Nadam", "Lamb", "StableAdamW", "ScheduleFreeAdamW"}
    has_rms = has_past | {"RMSprop", "Adadelta", "Adafactor"}
    has_multiplier = has_rms | {"Adamax", "Adagrad"}
    expected = ALWAYS | (MULTIPLIER if name in has_multiplier else set()) | (RMS if name in has_rms else set())
    expected |= PAST if name in has_past else set()
    for _, before, after, g, record in recorded(optimizers.build({"class": name, "learning_rate": RATE}), 3):
        assert set(record) == expected
        assert record["loss"] == 0.5
        assert record["gradient_norm"] == pytest.approx(np.linalg.norm(row(g)), rel=1e-5)
        assert record["update_norm"] == pytest.approx(np.linalg.norm(row(after) - row(before)), rel=1e-5)
        assert record["last_layer_norm"] == pytest.approx(np.linalg.norm(row(after[-2:])), rel=1e-5)
        assert record["update_norm"] > 0


@pytest.mark.parametrize("clipping", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_the_gradient_norm_is_from_before_clipping_and_rms_from_after(clipping):
    optimizer = optimizers.build({"class": "Adam", "learning_rate": RATE, clipping: 1e-2})
    for t, _, _, g, record in recorded(optimizer, 1):
        assert record["gradient_norm"] == pytest.approx(np.linalg.norm(row(g)), rel=1e-5)
        # in the first step v is the square of the clipped gradient
        assert (t, record["rms_worst"]) == (1, pytest.approx(1, rel=1e-3))


def test_the_multiplier_follows_the_schedule():
    schedule = {"class": "PiecewiseConstantDecay", "boundaries": [1], "values": [0.02, 0.2]}
    optimizer = optimizers.build({"class": "Adagrad", "schedule": schedule})
    constant = lambda model, t: [np.ones(v.shape) * (t == 1) for v in model.trainable_variables]  # noqa: E731
    means = [record["effective_step_mean"] for *_, record in recorded(optimizer, 4, constant)]
    np.testing.assert_allclose(means, np.array([0.02, 0.02, 0.2, 0.2]) / np.sqrt(1.1), rtol=1e-5)


def test_quantiles_of_many_parameters_are_over_a_fixed_sample(monkeypatch):
    monkeypatch.setattr(flat_module, "_SIZE", 10)
    runs = [list(recorded(optimizers.build({"class": "Adam", "learning_rate": RATE, **ADAM}), 2)) for _ in range(2)]
    assert runs[0][-1][-1] == runs[1][-1][-1]
    sampled = runs[0][-1][-1]
    monkeypatch.setattr(flat_module, "_SIZE", 10**6)
    every = list(recorded(optimizers.build({"class": "Adam", "learning_rate": RATE, **ADAM}), 2))[-1][-1]
    assert sampled["effective_step_mean"] == every["effective_step_mean"]
    assert every["effective_step_q01"] < sampled["effective_step_q01"]
    assert sampled["effective_step_q01"] < sampled["effective_step_q50"] < sampled["effective_step_q99"]


def trained(name, n=40, epochs=4):
    """Train with the whole record; give the history and the weights after each block."""
    model, rng = make_model(), np.random.default_rng(6)
    data = [rng.normal(size=(n, *shape)).astype(np.float32) for shape in ((6, 2), (2,))]
    learner = Learner(
        model, optimizers.build({"class": name, "learning_rate": RATE}), lambda out, y: (out - y) ** 2, "ab"
    )
    plan = Plan(epochs, 5, lambda epoch: np.random.default_rng([2, epoch]).permutation(n))
    trainer, weights = Trainer(learner, plan, data), [row(model.get_weights())]
    trainer.train(lambda: weights.append(row(model.get_weights())))
    return trainer.record.history(), np.array(weights)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Adam", "SGD", "Lamb"])
def test_the_update_in_a_block_is_that_between_its_steps(name, monkeypatch):
    whole, _ = trained(name)
    monkeypatch.setattr(loop, "_FIRST_BLOCK", 1)
    monkeypatch.setattr(loop, "_BLOCK_SECONDS", 1e-9)
    single, weights = trained(name)
    np.testing.assert_allclose(single.steps["update_norm"], np.linalg.norm(np.diff(weights, axis=0), axis=1), rtol=1e-5)
    for column, values in single.steps.items():
        np.testing.assert_array_equal(whole.steps[column], values, err_msg=column)


@pytest.mark.slow
def test_a_step_takes_at_most_60_bytes_on_disk(tmp_path):
    history, _ = trained("Adam", n=1500, epochs=10)
    assert {values.dtype for values in history.steps.values()} == {np.dtype(np.float32)}
    assert len(history.steps) == 11
    history.save(tmp_path / "all.h5")
    History(history.epochs, {"loss": history.steps["loss"][:0]}).save(tmp_path / "none.h5")
    bytes_per_step = ((tmp_path / "all.h5").stat().st_size - (tmp_path / "none.h5").stat().st_size) / 3000
    print(f"{bytes_per_step:.1f} bytes per step")
    assert bytes_per_step <= 60


def test_the_loss_alone_can_be_recorded():
    data = [np.ones((5, 6, 2), np.float32), np.ones((5, 2), np.float32)]
    learner = Learner(make_model(), optimizers.build({"class": "Adam"}), lambda out, y: (out - y) ** 2, "ab")
    trainer = Trainer(learner, Plan(1, 5, lambda epoch: np.arange(5), measures=(Loss(),)), data)
    trainer.train()
    assert list(trainer.record.steps) == ["loss"]


class LargestGradient:
    """A measure of one's own: all that it takes is this class and a line in the table."""

    name, needs = "gradient_largest", DiagonalPreconditioner

    def __call__(self, step):
        return ops.max(ops.abs(step.raw_gradient))


def test_a_measure_of_ones_own_is_recorded_once_it_is_in_the_table(monkeypatch):
    monkeypatch.setattr(measures, "MEASURES", (*measures.MEASURES, LargestGradient()))
    history, _ = trained("Adam")
    assert (history.steps["gradient_largest"] > 0).all()
    assert (history.steps["gradient_largest"] <= history.steps["gradient_norm"]).all()
    assert "gradient_largest" not in trained("SGD")[0].steps


def test_names_of_measures_are_different():
    names = [measure.name for measure in measures.MEASURES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_the_largest_square_over_its_past_is_that_of_the_mean_before_the_step(amsgrad):
    """Planted: at one step one weight's gradient is 200 times what it was, so its square 40,000 times."""
    base = gradients_of(make_model(), 1)

    def burst(model, t):
        found = [np.abs(each) + 0.1 for each in base]
        found[0].flat[3] *= 200 if t == 5 else 1
        return found

    spec = {"class": "Adam", "learning_rate": RATE, "amsgrad": amsgrad}
    found = [record["square_over_past"] for *_, record in recorded(optimizers.build(spec), 7, burst)]
    np.testing.assert_allclose(found, [0, 1, 1, 1, 40_000, 1, 1], rtol=0.02)
    # the mean of all steps before, for gradients that vary
    expected, means = [], np.zeros(len(row(base)))
    for t, _, _, g, record in recorded(optimizers.build(spec), 6):
        past = means / (1 - 0.999 ** (t - 1)) if t > 1 else np.full(means.shape, np.inf)
        expected.append((np.max(row(g) ** 2 / np.maximum(past, 1e-14)), record["square_over_past"]))
        means = 0.999 * means + 0.001 * row(g) ** 2
    # float32 cannot tell what a much larger gradient leaves of the past
    told = [pair for pair in expected if pair[0] < 1e6]
    assert len(told) == 5
    np.testing.assert_allclose(*np.transpose(told), rtol=0.05)
