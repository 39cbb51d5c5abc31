"""Arms of replays: each changes what it says, on a small network, and nothing else."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import yaml

from quasarcurves.analysis.replays import words
from quasarcurves.quasarnet.loss import quasarnet_loss, unclipped_line_losses, weighted_line_losses
from quasarcurves.quasarnet.network import build, build_logits
from quasarcurves.quasarnet.objective import line_targets
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.quasarnet.task import QuasarNet
from quasarcurves.steps.arms import ARMS, AS_IT_IS, Fork, Setup
from quasarcurves.training import backends, optimizers
from quasarcurves.training.measures import Loss
from quasarcurves.training.plan import Learner
from quasarcurves.training.replays import State

SEED, N, SIZE, LINES = 20261129, 320, 16, ["LYA", "CIV(1548)"]
ADAM = {"class": "Adam", "learning_rate": 1e-2}
SCHEMA = Path(__file__).parents[3] / "workflow" / "schemas" / "config.schema.yaml"


def examples():
    rng = np.random.default_rng(SEED)
    quasar = rng.random(N) < 0.5
    targets = line_targets(rng.uniform(2.2, 3.5, N), quasar, np.zeros(N, int), LINES, [], 13)
    return [rng.normal(size=(N, 443, 1)).astype(np.float32), *targets]


DATA = examples()
NETWORK = NetworkSettings(4, 4, 13, tuple(LINES), ())


def setup_of(spec):
    keras.utils.set_random_seed(SEED)
    learner = Learner(build(4, 4, 13, 2), optimizers.build(spec), weighted_line_losses, LINES)
    learner.optimizer.build(learner.weights)
    run = SimpleNamespace(optimizer_spec=spec, training=SimpleNamespace(batch_size=SIZE))
    return Setup(run, learner, np.arange(N), QuasarNet(NETWORK).variants)


def compiled(learner):
    run_steps = backends.active().compile_steps(learner, DATA, [Loss()], 64)
    return lambda batches: run_steps(np.ascontiguousarray(batches, np.int32))[1][:, 0]


@pytest.fixture(scope="module")
def adam():
    """A setup some steps into its training, its program, and its state there."""
    setup = setup_of(ADAM)
    run = compiled(setup.learner)
    run(np.random.default_rng(SEED).integers(0, N, (40, SIZE)))
    return SimpleNamespace(setup=setup, run=run, state=State.of(setup.learner))


FORK = Fork(40, np.arange(N, dtype=float), 0.5, lambda number: np.arange(number) % N)
ORDER = np.random.default_rng(SEED + 1).permutation(N)
BATCHES = ORDER.reshape(-1, SIZE)


def replayed(adam, name, batches=None):
    """Losses of the first steps of an arm from the state, and its learner."""
    arm = ARMS[name]
    learner = arm.variant(adam.setup)
    run = adam.run if learner is adam.setup.learner else compiled(learner)
    adam.state.put(adam.setup.learner)
    if learner is not adam.setup.learner:
        adam.state.carry(adam.setup.learner, learner)
    arm.change(learner, FORK, np.random.default_rng(1))
    losses = run(arm.batches(ORDER, adam.setup, FORK, np.random.default_rng(2)) if batches is None else batches)
    return losses, learner


def weights(learner):
    return np.concatenate([np.ravel(variable) for variable in learner.model.trainable_variables]).astype(np.float64)


def moved(adam, name, steps=1):
    """How far each weight is moved by the first steps of an arm."""
    _, learner = replayed(adam, name, BATCHES[:0])
    before = weights(learner)
    _, learner = replayed(adam, name, BATCHES[:steps])
    return weights(learner) - before


def test_the_schema_names_every_arm():
    properties = yaml.safe_load(SCHEMA.read_text())["properties"]["diagnosis"]["properties"]
    arms = properties["replays"]["properties"]["arms"]
    assert sorted(arms["items"]["enum"]) == sorted(ARMS) == sorted(words.ARMS)
    assert set(arms["default"]) <= set(ARMS)


def test_as_it_is_goes_on_as_the_training_itself(adam):
    losses, _ = replayed(adam, AS_IT_IS, BATCHES)
    adam.state.put(adam.setup.learner)
    np.testing.assert_array_equal(losses, adam.run(BATCHES))


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.7, 1.4])
def test_the_first_step_is_so_many_times_as_long(adam, factor):
    np.testing.assert_allclose(moved(adam, f"step_x{factor}"), factor * moved(adam, AS_IT_IS), rtol=1e-3, atol=1e-6)


def test_four_times_v_is_the_effective_step_of_half_the_rate(adam):
    four, half = moved(adam, "v_x4"), moved(adam, "step_x0.5")
    moving = np.abs(half) > 1e-4
    # v' = 0.999 (4 v) + 0.001 g^2: half as long, but where the new gradient is far above the mean before
    ratio = four[moving] / half[moving]
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    assert np.quantile(np.abs(ratio - 1), 0.95) < 0.1


def test_without_momentum_the_first_step_goes_down_the_gradient_alone(adam):
    adam.state.put(adam.setup.learner)
    ARMS["m_0"].change(adam.setup.learner, FORK, np.random.default_rng(0))
    for variable, value in zip(adam.setup.learner.optimizer.variables, adam.state.optimizer, strict=True):
        changed = "momentum" in variable.path
        assert np.array_equal(np.asarray(variable), np.zeros_like(value) if changed else value), variable.path


def test_restarted_is_a_first_step(adam):
    # m / sqrt(v) is the gradient's sign, whatever the gradient: each weight with one moves by the learning rate
    steps = np.abs(moved(adam, "v_restarted"))
    assert np.median(steps) == pytest.approx(1e-2, rel=1e-2)
    assert steps.max() <= 1.01e-2


@pytest.mark.slow
def test_amsgrad_begins_with_the_step_of_adam_and_never_lengthens_it(adam):
    np.testing.assert_allclose(moved(adam, "amsgrad"), moved(adam, AS_IT_IS), rtol=0.01, atol=2e-5)
    _, learner = replayed(adam, "amsgrad", BATCHES)
    hats, v = (np.asarray(getattr(learner.optimizer, name)[0]) for name in ("_velocity_hats", "_velocities"))
    assert (hats >= v).all()


@pytest.mark.slow
def test_held_v_stays_and_the_step_is_adam_s_with_it(adam):
    _, learner = replayed(adam, "v_held", BATCHES[:1])
    before = dict(
        zip(
            (v.path.partition("/")[2] for v in adam.setup.learner.optimizer.variables),
            adam.state.optimizer,
            strict=True,
        )
    )
    now = {v.path.partition("/")[2]: np.asarray(v) for v in learner.optimizer.variables}
    v = next(name for name in now if "velocity" in name)
    m = next(name for name in now if "momentum" in name)
    np.testing.assert_array_equal(now[v], before[v])
    rate = 1e-2 * np.sqrt(1 - 0.999**41) / (1 - 0.9**41)
    expected = -rate * now[m].astype(np.float64) / (np.sqrt(before[v].astype(np.float64)) + 1e-7)
    np.testing.assert_allclose(moved(adam, "v_held"), expected.ravel(), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_logits_have_the_loss_and_the_steps_of_the_clipped_form_where_nothing_is_clipped(adam):
    np.testing.assert_allclose(replayed(adam, "logits")[0], replayed(adam, AS_IT_IS)[0], rtol=2e-3)


def test_logits_are_not_clipped():
    outputs = np.zeros((1, 1, 4), np.float32)
    outputs[..., 0] = -40.0
    truth = np.array([[[1.0, 0, 0.5, 0]]], np.float32)
    # -log sigmoid(-40) is 40, where the clip at 1e-7 gives 16.1
    assert float(unclipped_line_losses(truth, outputs)[0, 0]) == pytest.approx(40 - np.log(0.5), abs=1e-4)
    clipped = quasarnet_loss(truth, np.array([[[4e-18, 0.5, 0.5, 0.5]]], np.float32))
    assert float(clipped[0, 0]) == pytest.approx(-np.log(1e-7) - np.log(0.5), rel=1e-5)


def test_a_network_s_logits_share_its_variables():
    model = build(4, 4, 13, 2)
    logits = build_logits(model)
    x = DATA[0][:3]
    boxes = 1 / (1 + np.exp(-np.asarray(logits(x))[..., :13].astype(np.float64)))
    np.testing.assert_allclose(np.asarray(model(x))[..., :13], boxes, rtol=1e-5)
    assert [id(v) for v in logits.variables] == [id(v) for v in model.variables]


@pytest.mark.slow
def test_float64_computes_in_float64_and_begins_as_float32(adam):
    losses, learner = replayed(adam, "float64")
    assert {str(v.dtype) for v in learner.model.variables} == {"float64"}
    np.testing.assert_allclose(losses[:4], replayed(adam, AS_IT_IS)[0][:4], rtol=1e-3)


@pytest.mark.slow
def test_batch_normalisation_takes_its_statistics_of_256_spectra_and_the_loss_is_the_batch_s(adam):
    arm, setup = ARMS["norm_256"], adam.setup
    wide = arm.batches(ORDER, setup, FORK, np.random.default_rng(2))
    assert wide.shape == (N // SIZE, 256)
    np.testing.assert_array_equal(wide[:, :SIZE], BATCHES)
    assert all(len(set(row)) == 256 for row in wide)
    losses, _ = replayed(adam, "norm_256", wide[:1])
    adam.state.put(setup.learner)
    outputs = setup.learner.model(DATA[0][wide[0]], training=True)
    expected = np.asarray(setup.learner.loss(outputs, *(part[wide[0]] for part in DATA[1:])))[:SIZE].sum(axis=1).mean()
    assert losses[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name, size", [("batch_x0.5", 8), ("batch_x2", 32), ("batch_x4", 64), ("batch_all", N)])
def test_batches_of_another_size_have_the_same_spectra_in_the_same_order(adam, name, size):
    batches = ARMS[name].batches(ORDER, adam.setup, FORK, np.random.default_rng(2))
    assert batches.shape[1] == size
    np.testing.assert_array_equal(batches.ravel(), ORDER[: batches.size])


def test_spectra_are_left_out_and_the_others_keep_their_order(adam):
    worst = ARMS["worst_out"].batches(ORDER, adam.setup, FORK, np.random.default_rng(2)).ravel()
    kept = ORDER[ORDER < N - 10]
    np.testing.assert_array_equal(worst, kept[: len(worst)])
    some = ARMS["random_out"].batches(ORDER, adam.setup, FORK, np.random.default_rng(2)).ravel()
    assert len(set(some)) == len(some) == (N - 10) // SIZE * SIZE


def test_spectra_dealt_anew_are_the_training_s_own_in_their_time(adam):
    found = ARMS["re_dealt"].batches(ORDER, adam.setup, FORK, np.random.default_rng(2))
    for start in range(0, N, 8 * SIZE):
        assert sorted(found.ravel()[start : start + 8 * SIZE]) == list(range(start, min(start + 8 * SIZE, N)))


def test_a_push_is_as_long_as_ten_steps(adam):
    _, learner = replayed(adam, "pushed", BATCHES[:0])
    pushed = weights(learner)
    adam.state.put(adam.setup.learner)
    assert np.linalg.norm(pushed - weights(adam.setup.learner)) == pytest.approx(10 * 0.5, rel=1e-4)


@pytest.mark.parametrize(
    "spec, arms",
    [
        (ADAM, {"adam": "it is Adam already"}),
        ({**ADAM, "amsgrad": True}, {"amsgrad": "it is AMSGrad already", "v_held": "AMSGrad divides by the maximum"}),
        (
            {"class": "SGD", "learning_rate": 0.1},
            {
                "v_x4": "SGD keeps no mean square of the gradient",
                "m_0": "SGD keeps no mean of the gradient",
                "v_held": "the optimizer is SGD, not Adam",
                "amsgrad": "the optimizer is SGD, not Adam",
            },
        ),
    ],
)
def test_what_an_optimizer_does_not_have_is_said(spec, arms):
    setup = setup_of(spec)
    found = {name: why for name, arm in ARMS.items() if (why := arm.unfit(setup))}
    for name, why in arms.items():
        assert found.pop(name).startswith(why)
    assert not found.keys() - {"v_restarted", "adam", "v_held", "batch_x4"}, found


def test_a_rate_that_follows_a_schedule_is_not_the_arm_s_to_set():
    setup = setup_of({"class": "Adam", "learning_rate": 0.1, "schedule": {"class": "CosineDecay", "decay_steps": 9}})
    assert ARMS["step_x0.5"].unfit(setup) == "its learning rate follows a schedule"


def test_batches_larger_than_the_training_set_cannot_be_had(adam):
    few = Setup(adam.setup.run, adam.setup.learner, np.arange(40), adam.setup.variants)
    assert ARMS["batch_x4"].unfit(few) == "the training set has 40 examples, fewer than 64"
    assert ARMS["norm_256"].unfit(few) == "the training set has 40 examples, fewer than 256"
    assert ARMS["worst_out"].unfit(few) == ARMS["random_out"].unfit(few) == ""
    fewest = replace(few, places=np.arange(10))
    for name in ("worst_out", "random_out"):
        assert ARMS[name].unfit(fewest) == "the training set has 10 examples, and 10 are left out"


def test_a_model_without_batch_normalisation_cannot_have_it_wider(adam):
    model = keras.Sequential([keras.Input((3,)), keras.layers.LayerNormalization(), keras.layers.Dense(1)])
    within = keras.Sequential([keras.Input((3,)), keras.Sequential([keras.layers.BatchNormalization()])])
    for one, why in ((model, "the model has no BatchNormalization"), (within, "")):
        assert ARMS["norm_256"].unfit(replace(adam.setup, learner=replace(adam.setup.learner, model=one))) == why
