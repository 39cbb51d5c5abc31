"""An optimizer on one row of all parameters against the same optimizer on the model's own tensors."""

import keras
import numpy as np
import pytest

from quasarcurves.quasarnet.bias_free_layers import BiasFreeConv1D
from quasarcurves.training import loop, optimizer_specs, optimizers
from quasarcurves.training.curvature import Curvature
from quasarcurves.training.loop import Trainer
from quasarcurves.training.plan import Learner, Plan
from quasarcurves.training.resume import capture, restore

N = 40
BY_TENSOR = {"Adafactor", "Lamb", "Muon", "StableAdamW"}
SPECS = {name: {"class": name} for name in sorted(optimizer_specs.optimizer_classes().keys() - BY_TENSOR)} | {
    "amsgrad": {"class": "Adam", "amsgrad": True, "clipvalue": 0.05},
    "decayed": {"class": "AdamW", "weight_decay": 0.1, "global_clipnorm": 0.1},
    "centred": {"class": "RMSprop", "centered": True, "momentum": 0.5},
    "nesterov": {"class": "SGD", "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "scheduled": {"class": "Adam", "schedule": {"class": "CosineDecay", "initial_learning_rate": 0.02}},
    "warmed up": {"class": "ScheduleFreeAdamW", "warmup_steps": 5},
    "matched": {"class": "Adam", "match": "another"},
}


def network():
    """All that QuasarNET has: a convolution, batch normalisation, dropout, dense layers."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((9, 1)),
            BiasFreeConv1D(3, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.2, seed=3),
            layers.Flatten(),
            layers.Dense(4, activation="tanh"),
            layers.Dense(2),
        ]
    )


def make(spec, row=True, curvature=False, epochs=3, model=None):
    """Give a training of 8 steps an epoch, by row where the optimizer allows it, or by tensor."""
    rng = np.random.default_rng(6)
    data = [rng.normal(size=(N, 9, 1)).astype(np.float32), rng.normal(size=(N, 2)).astype(np.float32)]
    optimizer = optimizers.build({"learning_rate": 0.02, **spec}, 24, np.full(24, 0.05))
    model = model or network()
    if not row:
        optimizer.build(model.trainable_variables)
    learner = Learner(model, optimizer, lambda out, y: (out - y) ** 2, "ab")
    optimizer.build(learner.weights)
    plan = Plan(epochs, 5, lambda epoch: np.random.default_rng([2, epoch]).permutation(N))
    return Trainer(learner, plan, data, data, Curvature(learner, data, 7) if curvature else None)


def trained(trainer):
    trainer.train()
    trainer.finish()
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_a_row_takes_the_steps_that_tensors_take(name):
    one, other = (trained(make(SPECS[name], row)) for row in (False, True))
    assert (one.learner.in_a_row, other.learner.in_a_row) == (False, True)
    assert all(variable.shape in ((), (116,)) for variable in other.learner.optimizer.variables)
    histories = [trainer.record.history() for trainer in (one, other)]
    for kind in ("steps", "epochs"):
        expected, got = (getattr(history, kind) for history in histories)
        assert expected.keys() == got.keys()
        for column in expected.keys() - {"seconds"}:
            # of one weight's gradient squared over a small v, rounding is a larger share: 1.5e-5 was seen
            rtol = 1e-4 if column == "square_over_past" else 1e-5
            np.testing.assert_allclose(got[column], expected[column], rtol=rtol, err_msg=column)
    # the generators of dropout and the moving means as well
    for variable, expected in zip(other.learner.model.variables, one.learner.model.variables, strict=True):
        np.testing.assert_allclose(variable, expected, rtol=1e-4, atol=1e-6, err_msg=variable.path)


@pytest.mark.parametrize(
    "spec",
    [
        *({"class": name} for name in sorted(BY_TENSOR)),
        {"class": "Adam", "clipnorm": 1.0},
        {"class": "SGD", "use_ema": True},
    ],
    ids=lambda spec: "-".join(map(str, spec.values())),
)
def test_what_looks_at_tensors_is_given_tensors(spec):
    trainer = make(spec)
    assert not trainer.learner.in_a_row
    assert trainer.learner.weights == trainer.learner.model.trainable_variables


def test_a_constrained_tensor_stays_one():
    model = keras.Sequential(
        [keras.Input((9, 1)), keras.layers.Flatten(), keras.layers.Dense(2, kernel_constraint="non_neg")]
    )
    trainer = trained(make({"class": "SGD"}, model=model))
    assert not trainer.learner.in_a_row
    assert model.layers[-1].kernel.numpy().min() == 0


def test_between_blocks_the_model_holds_the_weights(monkeypatch):
    monkeypatch.setattr(loop, "_FIRST_BLOCK", 1)
    monkeypatch.setattr(loop, "_BLOCK_SECONDS", 1e-9)
    trainer, norms = make({"class": "Adam"}), []
    last = trainer.learner.model.layers[-1]
    trainer.train(lambda: norms.append(np.linalg.norm(np.concatenate([w.ravel() for w in last.get_weights()]))))
    assert len(norms) == 24
    np.testing.assert_allclose(norms, trainer.record.history().steps["last_layer_norm"], rtol=1e-6)


def test_a_model_changed_between_blocks_is_trained_as_it_is_then():
    trainer = make({"class": "SGD"})
    weights = [np.zeros_like(weight) for weight in trainer.learner.model.get_weights()]
    trainer.learner.model.set_weights(weights)
    trainer.train()
    assert not trainer.learner.model.layers[0].kernel.numpy().any()


@pytest.mark.slow
def test_a_training_on_a_row_goes_on_bit_by_bit():
    whole, first, second = (
        make(SPECS["decayed"], curvature=True),
        make(SPECS["decayed"], epochs=1),
        make(SPECS["decayed"], curvature=True),
    )
    trained(whole), first.train()
    restore(second, capture(first, []))
    trained(second)
    for one, other in zip(whole.learner.model.variables, second.learner.model.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    histories = [trainer.record.history() for trainer in (whole, second)]
    for column, values in histories[0].steps.items():
        np.testing.assert_array_equal(histories[1].steps[column], values, err_msg=column)
    assert histories[0].curvature["sharpness"][-2:].tolist() == histories[1].curvature["sharpness"][-2:].tolist()


@pytest.mark.slow
def test_the_curvature_on_a_row_is_that_on_tensors():
    measured = [
        trained(make({"class": "Adam"}, row, curvature=True)).record.history().curvature for row in (False, True)
    ]
    for column, values in measured[0].items():
        np.testing.assert_allclose(measured[1][column], values, rtol=1e-4, err_msg=column)
