"""The recorder of `fit`: the trainer's own record, the same weights as without it, for models of several kinds."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops

from quasarcurves import recorder
from quasarcurves.analysis import histories
from quasarcurves.analysis.spikes import detection
from quasarcurves.figures import detected_spikes
from quasarcurves.quasarnet.loss import weighted_line_losses
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.quasarnet.task import build_network
from quasarcurves.recorder import StepRecorder
from quasarcurves.training.history import History, collect
from quasarcurves.training.loop import Trainer
from quasarcurves.training.measures import step_record
from quasarcurves.training.plan import Learner, Plan
from support import keras_fits

PLAIN = {"loss", "gradient_norm", "update_norm", "last_layer_norm"}


class WholeLoss(keras.losses.Loss):
    """The trainer's loss, added up as the trainer adds it up."""

    def __init__(self):
        super().__init__(reduction="sum")

    def call(self, y_true, y_pred):
        box, offset, weight = ops.unstack(y_true, 3, axis=-1)
        return ops.sum(ops.mean(weighted_line_losses(y_pred, box, offset, weight), axis=0))


def same(left, right):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(left, right, strict=True))


def recorded(path, made, **options):
    """Train with the recorder, and return the history and all that changed."""
    values = keras_fits.fit(made, StepRecorder(path, overwrite=True), **options)
    return History.load(path), values


@pytest.mark.parametrize("optimizer", ["Adam", pytest.param("SGD", marks=pytest.mark.slow)])
def test_the_record_is_the_trainers_own_bit_by_bit(tmp_path, optimizer):
    rng = np.random.default_rng(1)
    n, lines = 70, 2
    flux = rng.normal(size=(n, 443, 1)).astype(np.float32)
    box, (offset, weight) = rng.integers(-1, 13, (n, lines)), rng.uniform(size=(2, n, lines)).astype(np.float32)
    settings = NetworkSettings(4, 2, 13, ("LYA", "CIV(1548)"), ())
    kind = getattr(keras.optimizers, optimizer)

    keras.utils.set_random_seed(1)
    model = build_network(settings)
    learner = Learner(keras.models.clone_model(model), kind(1e-2), weighted_line_losses, ["a", "b"])
    learner.model.set_weights(model.get_weights())
    plan = Plan(epochs=3, batch_size=16, order=lambda epoch: np.arange(n))
    trainer = Trainer(learner, plan, (flux, box.astype(np.int32), offset, weight))
    trainer.train()
    ours = trainer.record.history()

    model.compile(kind(1e-2), WholeLoss())
    targets = np.stack([box, offset, weight], axis=-1).astype(np.float32)
    path = tmp_path / "run.h5"
    model.fit(flux, targets, batch_size=16, epochs=3, shuffle=False, verbose=0, callbacks=[StepRecorder(path)])
    found = History.load(path)

    assert set(found.steps) == set(ours.steps)
    for name in ours.steps:
        np.testing.assert_array_equal(found.steps[name], ours.steps[name], err_msg=name)
    for name in ("loss", "learning_rate", "step"):
        np.testing.assert_array_equal(found.epochs[name], ours.epochs[name], err_msg=name)
    assert same(model.get_weights(), learner.model.get_weights())


OPTIONS = {
    "plain": {},
    "several steps per execution": {"steps_per_execution": 3},
    "eager": {"run_eagerly": True},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_training_is_what_it_would_have_been(tmp_path, options):
    alone = keras_fits.fit(keras_fits.regression(**options))
    history, values = recorded(tmp_path / "run.h5", keras_fits.regression(**options))
    assert same(alone, values)
    assert len(history.steps["loss"]) == 8
    assert set(history.steps) == {measure.name for measure in step_record(keras.optimizers.Adam())}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["seven_heads", "images", "texts"])
def test_training_of_other_models_is_what_it_would_have_been(tmp_path, kind):
    make = keras_fits.KINDS[kind]
    history, values = recorded(tmp_path / "run.h5", make())
    assert same(keras_fits.fit(make()), values)
    assert np.isfinite([*history.steps.values()]).all()
    assert (history.steps["update_norm"] > 0).all()


@pytest.mark.slow
def test_training_in_mixed_precision_is_what_it_would_have_been(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        alone = keras_fits.fit(keras_fits.seven_heads())
        history, values = recorded(tmp_path / "run.h5", keras_fits.seven_heads())
    finally:
        keras.config.set_dtype_policy("float32")
    assert same(alone, values)
    in_full, _ = recorded(tmp_path / "full.h5", keras_fits.seven_heads())
    # the scale of the loss is taken out of the gradients
    for name in ("loss", "gradient_norm", "effective_step_q50"):
        np.testing.assert_allclose(history.steps[name], in_full.steps[name], rtol=0.02)
    assert history.params["training"]["precision"] == "mixed_float16"


@pytest.mark.slow
def test_xla_records_the_same_but_for_rounding(tmp_path):
    alone = keras_fits.fit(keras_fits.regression(jit_compile=True))
    history, values = recorded(tmp_path / "run.h5", keras_fits.regression(jit_compile=True, steps_per_execution=3))
    for left, right in zip(alone, values, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    assert {len(column) for column in history.steps.values()} == {8}
    assert np.isfinite([*history.steps.values()]).all()


def by_hand(model, x, y, loss):
    """Return loss and norm of the gradient of a batch, sparse gradients made dense."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = tf.reduce_mean(loss(y, model(x, training=True)))
    gradients = [tf.convert_to_tensor(each) for each in tape.gradient(value, model.trainable_weights)]
    return float(value), np.sqrt(sum(float(tf.reduce_sum(each**2)) for each in gradients))


def test_norms_of_a_sparse_gradient_are_those_of_the_whole(tmp_path):
    model, data = keras_fits.texts()
    data = {name: array[:32] for name, array in data.items()}
    loss, norm = by_hand(model, data["x"], data["y"], keras.losses.binary_crossentropy)
    before = np.concatenate([np.ravel(weight) for weight in model.get_weights()])
    history, _ = recorded(tmp_path / "run.h5", (model, data), epochs=1)
    after = np.concatenate([np.ravel(weight) for weight in model.get_weights()])
    np.testing.assert_allclose(history.steps["loss"], [loss], rtol=1e-6)
    np.testing.assert_allclose(history.steps["gradient_norm"], [norm], rtol=1e-6)
    np.testing.assert_allclose(history.steps["update_norm"], [np.linalg.norm(after - before)], rtol=1e-4)


class Doing(keras.callbacks.Callback):
    """Call something at the end of an epoch, or before a batch."""

    def __init__(self, epoch=None, batch=None):
        super().__init__()
        self.epoch, self.batch = epoch, batch

    def on_epoch_end(self, epoch, logs=None):
        if self.epoch:
            self.epoch(self.model, epoch)

    def on_train_batch_begin(self, batch, logs=None):
        if self.batch:
            self.batch(self.model, batch)


def attributes(model):
    objects = (model, model.optimizer, *model.metrics, *model.layers)
    return [(type(each).__name__, sorted(vars(each))) for each in objects]


def test_the_model_is_put_back(tmp_path):
    model, data = keras_fits.regression()
    keras_fits.fit((model, data), epochs=1)
    own, names = model.train_function, attributes(model)
    seen = []
    path = tmp_path / "run.h5"
    keras_fits.fit(
        (model, data), StepRecorder(path), Doing(epoch=lambda model, _: seen.append(model.train_function)), epochs=2
    )
    assert seen == [own, own]
    assert (model.train_function, attributes(model)) == (own, names)


@pytest.mark.slow
def test_an_interruption_loses_no_epoch_and_leaves_the_model_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "_PATIENCE", 0)
    model, data = keras_fits.regression()
    keras_fits.fit((model, data), epochs=1)
    own, names = model.train_function, attributes(model)

    def interrupt(model, batch):
        if model.optimizer.iterations.numpy() == 4 + 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keras_fits.fit((model, data), Doing(batch=interrupt), StepRecorder(tmp_path / "run.h5"), epochs=9)
    history = History.load(tmp_path / "run.h5")
    assert [len(history.steps["loss"]), *history.epochs["step"]] == [8, 4, 8]
    assert history.params["outcome"]["epochs"] == 2
    assert (model.train_function, attributes(model)) == (own, names)


@pytest.mark.slow
def test_steps_that_fill_the_buffer_are_all_there(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "_ROWS", 7)
    short, _ = recorded(tmp_path / "short.h5", keras_fits.regression(), epochs=5)
    monkeypatch.undo()
    long, _ = recorded(tmp_path / "long.h5", keras_fits.regression(), epochs=5)
    assert len(long.steps["loss"]) == 20
    assert all(np.array_equal(short.steps[name], long.steps[name]) for name in long.steps)


def test_epochs_hold_losses_rate_sizes_and_validation(tmp_path):
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-2, 4, 0.5)
    made = keras_fits.regression(keras.optimizers.Adam(schedule))
    history, _ = recorded(tmp_path / "run.h5", made, validation_split=0.2)
    told = made[0].history.history
    np.testing.assert_allclose(history.epochs["loss"], told["loss"], rtol=1e-5)
    np.testing.assert_allclose(history.epochs["val_loss"], told["val_loss"], rtol=1e-6)
    np.testing.assert_allclose(history.epochs["learning_rate"], [1e-2 * 0.5**0.75, 1e-2 * 0.5**1.5], rtol=1e-5)
    params = history.params
    assert params["optimizer"] == params["optimizer_spec"]["class"] == "Adam"
    assert params["optimizer_spec"]["schedule"]["class"] == "ExponentialDecay"
    assert params["training"]["batch_size"] == 32
    outcome = params["outcome"]
    assert [outcome[name] for name in ("n_train", "steps_per_epoch", "epochs", "diverged")] == [80, 3, 2, False]


def test_a_second_fit_goes_on_with_the_record(tmp_path):
    made, callback = keras_fits.regression(), StepRecorder(tmp_path / "run.h5")
    keras_fits.fit(made, callback)
    keras_fits.fit(made, callback)
    assert [*History.load(tmp_path / "run.h5").epochs["step"]] == [4, 8, 12, 16]
    with pytest.raises(ValueError, match=r"run.h5: has recorded another model"):
        keras_fits.fit(keras_fits.regression(), callback)


def test_a_file_that_is_there_is_kept(tmp_path):
    (tmp_path / "run.h5").write_text("mine")
    with pytest.raises(FileExistsError, match=r"run.h5: exists already.*overwrite=True"):
        StepRecorder(tmp_path / "run.h5")
    recorded(tmp_path / "run.h5", keras_fits.regression(), epochs=1)


def test_a_full_disk_does_not_end_the_training(tmp_path, monkeypatch, caplog):
    def full(history, path):
        raise OSError("No space left on device")

    monkeypatch.setattr(History, "save", full)
    keras_fits.fit(keras_fits.regression(), StepRecorder(tmp_path / "run.h5"))
    assert "run.h5: could not be written, the training goes on (No space left on device)" in caplog.text


def test_the_record_ends_with_the_first_loss_that_is_not_finite(tmp_path, caplog):
    made = keras_fits.regression(keras.optimizers.SGD(1e30))
    history, _ = recorded(tmp_path / "run.h5", made, epochs=3)
    outcome = history.params["outcome"]
    assert outcome["diverged"]
    assert len(history.steps["loss"]) == outcome["diverged_step"] + 1 == history.epochs["step"][-1]
    assert np.isfinite(history.steps["loss"][:-1]).all()
    assert not np.isfinite(history.steps["loss"][-1])
    assert caplog.text.count("is not finite, the record ends") == 1


class Signs(keras.optimizers.SGD):
    pass


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (keras.optimizers.Adam(gradient_accumulation_steps=2), "gradients are accumulated over several steps"),
        (Signs(1e-3), "Signs is no optimizer of Keras"),
    ],
)
def test_what_cannot_be_read_is_left_out_and_said_in_a_line(tmp_path, caplog, optimizer, reason):
    history, _ = recorded(tmp_path / "run.h5", keras_fits.regression(optimizer))
    assert set(history.steps) == PLAIN
    assert [record.message for record in caplog.records if reason in record.message] == [caplog.messages[0]]


class OwnStep(keras.Model):
    """Trains in a way of its own; it tells its loss to metrics, if there are some."""

    told = ()

    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            loss = ops.mean((self(x, training=True) - y) ** 2)
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        for metric in self.told:
            metric.update_state(loss)
        return {"loss": loss}


def own_step():
    x = keras.Input((3,))
    model = OwnStep(x, keras.layers.Dense(1)(x))
    model.compile("adam")
    return model, {"x": np.ones((4, 3)), "y": np.ones((4, 1))}


def test_a_step_of_ones_own_is_recorded_if_it_tells_its_loss(tmp_path):
    model, data = own_step()
    model.told = [keras.metrics.Mean(name="loss")]
    history, _ = recorded(tmp_path / "run.h5", (model, data))
    assert set(history.steps) > PLAIN
    assert history.steps["loss"][1] < history.steps["loss"][0]
    with pytest.raises(ValueError, match=r"called its optimizer 1 times and gave 0 losses to a metric named 'loss'"):
        recorded(tmp_path / "run.h5", own_step())


def test_other_backends_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="Keras runs on 'torch', expected tensorflow or jax"):
        recorder._buffer(keras_fits.regression()[0])


@pytest.mark.slow
def test_tables_and_figures_take_the_file(tmp_path):
    single, together = tmp_path / "run.h5", tmp_path / "histories.h5"
    keras_fits.fit(keras_fits.regression(), StepRecorder(single, name="mine", fraction=0.5, replicate=3), epochs=12)
    collect([("mine", single)], together)
    histories.write_epochs(together, tmp_path / "epochs.csv")
    histories.write_runs(together, tmp_path / "runs.csv")
    detection.write(together, *(tmp_path / name for name in ("spikes.csv", "statistics.csv", "trends.csv")))
    figure = detected_spikes.plot(histories=together, spikes=tmp_path / "spikes.csv", optimizer="mine", style={})
    figure.savefig(tmp_path / "spikes.png")
    (run,) = pd.read_csv(tmp_path / "runs.csv").to_dict("records")
    assert [run[name] for name in ("fraction", "replicate", "optimizer")] == [0.5, 3, "mine"]
    assert [run[name] for name in ("n_train", "steps_per_epoch", "epochs")] == [keras_fits.N, 4, 12]
    assert len(pd.read_csv(tmp_path / "epochs.csv")) == 12


ON_JAX = """
import json, sys
from pathlib import Path
import keras, numpy as np
from quasarcurves.recorder import StepRecorder
from quasarcurves.training.history import History
from support import keras_fits

folder, found = Path(sys.argv[1]), {}
cases = {
    "scaled": (keras_fits.regression, {"steps_per_execution": 3}),
    "texts": (keras_fits.texts, {}),
}
for name, (make, options) in cases.items():
    keras.config.set_dtype_policy("mixed_float16" if name == "scaled" else "float32")
    alone = keras_fits.fit(make(**options))
    made = make(**options)
    values = keras_fits.fit(made, StepRecorder(folder / f"{name}.h5"))
    history = History.load(folder / f"{name}.h5")
    found[name] = {
        "same": all(np.array_equal(a, b) for a, b in zip(alone, values, strict=True)),
        "lengths": sorted({len(column) for column in history.steps.values()}),
        "finite": bool(np.isfinite([*history.steps.values()]).all()),
        "told": bool(np.allclose(history.epochs["loss"], made[0].history.history["loss"], rtol=1e-4)),
        "norms": history.steps["gradient_norm"].tolist(),
    }
print(json.dumps(found))
"""


@pytest.mark.slow
def test_jax_records_the_same(tmp_path):
    paths = os.pathsep.join(sys.path)
    result = subprocess.run(
        [sys.executable, "-c", ON_JAX, tmp_path], env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    for name, case in found.items():
        norms = case.pop("norms")
        assert case == {"same": True, "lengths": [8], "finite": True, "told": True}, name
        # the scale of the loss, 32768, is taken out
        assert 0 < min(norms) < max(norms) < 100
