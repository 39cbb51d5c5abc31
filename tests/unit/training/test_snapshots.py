"""Snapshots: which epochs they are of, whatever the losses do, and that a training gone on with ends with the same."""

from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.training import checkpoint, loop, optimizers, resume, snapshots
from quasarcurves.training.loop import Trainer
from quasarcurves.training.measures import Loss
from quasarcurves.training.plan import Learner, Plan
from quasarcurves.training.snapshots import Limits, Snapshots

LIMITS = Limits(window=7, settled=5, course=1.1, high=3.0)


class Counter:
    """Stands for a model: one weight, which is the number of the epoch."""

    name = "counter"

    def __init__(self):
        self.weights = [keras.Variable(0.0, name="epoch")]

    def taken(self, losses, keep=3, limits=LIMITS):
        """Give the snapshots of a training with these losses."""
        found = Snapshots(self, keep, limits)
        for epoch in range(1, len(losses) + 1):
            self.weights[0].assign(epoch)
            found.after_epoch(losses[:epoch])
        return found


def epochs(found):
    """Epochs (before, peak) of each spike, as the snapshots and as the weights in them say."""
    pairs = [(spike.before.epoch, spike.peak.epoch) for spike in found.spikes]
    assert pairs == [(int(spike.before.weights["epoch"]), int(spike.peak.weights["epoch"])) for spike in found.spikes]
    return pairs


def spikes_by_hand(losses, limits=LIMITS):
    """(before, peak, ratio) of every tall spike, from the whole list of losses at once."""
    ratios = [np.nan] + [losses[i] / np.median(losses[max(i - limits.window, 0) : i]) for i in range(1, len(losses))]
    high = [i + 1 > limits.settled and ratios[i] > limits.course for i in range(len(losses))]
    found, i = [], 0
    while i < len(losses):
        if not high[i]:
            i += 1
            continue
        end = next((j for j in range(i, len(losses)) if not high[j]), len(losses))
        peak = i + int(np.argmax(losses[i:end]))
        if ratios[peak] > limits.high:
            found.append((i, peak + 1, ratios[peak]))
        i = end
    return found


def test_weights_of_before_and_peak_are_those_of_the_last_epoch_on_course_and_of_the_highest():
    losses = [9, 5, 3, 2, 1.5, *[1.0] * 7, 1.05, 1.2, 2.0, 8.0, 5.0, 2.0, 1.0, 1.0]
    found = Counter().taken(losses)
    assert epochs(found) == [(13, 16)]
    spike = found.spikes[0]
    assert (spike.peak.loss, spike.peak.ratio) == (8.0, 8.0)
    assert (spike.before.loss, spike.before.ratio) == (1.05, 1.05)


def test_the_tallest_are_kept_in_the_order_of_time():
    losses = [1.0] * 20
    for height in (5.0, 9.0, 4.0, 2.9, 7.0):
        losses += [height, *[1.0] * 20]
    assert epochs(Counter().taken(losses)) == [(20, 21), (41, 42), (104, 105)]
    assert epochs(Counter().taken(losses, keep=1)) == [(41, 42)]
    assert len(epochs(Counter().taken(losses, keep=9))) == 4


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0] * 30, []),
        ([1.0] * 20 + [2.9] * 2 + [1.0] * 5, []),  # not tall
        ([1.0, 1.0, 9.0] + [1.0] * 20, []),  # at the beginning
        ([1.0] * 20 + [2.0, 6.0], [(20, 22)]),  # under way at the end: as far as it has come
        ([1.0] * 20 + [5.0] * 20 + [20.0, 5.0], [(20, 21), (40, 41)]),  # a new level is no spike for ever
        ([1.0] * 20 + [6.0, np.inf], [(20, 21)]),
        ([], []),
        ([1.0] * 3, []),
    ],
)
def test_what_counts_as_a_spike(losses, expected):
    assert epochs(Counter().taken(losses)) == expected


HEIGHTS = st.lists(st.sampled_from([0.3, 0.8, 1.0, 1.05, 1.3, 2.5, 3.5, 6.0, 20.0]), min_size=0, max_size=60)


@settings(deadline=None, max_examples=60)
@given(HEIGHTS, st.integers(1, 4), st.sampled_from([0, 1, 5]))
def test_seen_one_by_one_they_are_those_of_the_whole_list(heights, keep, settled):
    losses = list(np.array(heights) * 0.9 ** np.arange(len(heights)))
    limits = Limits(window=7, settled=settled, course=1.1, high=3.0)
    found, expected = Counter().taken(losses, keep, limits), spikes_by_hand(losses, limits)
    tallest = sorted(sorted(expected, key=lambda spike: -spike[2])[:keep], key=lambda spike: spike[1])
    assert epochs(found) == [spike[:2] for spike in tallest]
    np.testing.assert_allclose([spike.peak.ratio for spike in found.spikes], [spike[2] for spike in tallest])


@settings(deadline=None, max_examples=60)
@given(HEIGHTS, st.integers(0, 60))
def test_gone_on_with_they_are_the_same(heights, at):
    losses, model, at = list(map(float, heights)), Counter(), min(at, len(heights))
    through = model.taken(losses)
    state = model.taken(losses[:at]).state()
    found = Snapshots(model, 3, LIMITS)
    found.restore(state)
    for epoch in range(at + 1, len(losses) + 1):
        model.weights[0].assign(epoch)
        found.after_epoch(losses[:epoch])
    assert epochs(found) == epochs(through)
    assert found.state().keys() == through.state().keys()


def test_two_weights_of_one_path_are_refused():
    model = Counter()
    model.weights *= 2
    with pytest.raises(ValueError, match="counter: expected weights with different paths"):
        Snapshots(model, 1, LIMITS)


# -- in a training


def network(seed=5, last="second"):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(4, name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.1, name="dropout"),
            layers.Dense(2, name=last),
        ],
        name="net",
    )


PATHS = {
    f"net/{name}"
    for name in (
        "first/kernel", "first/bias", "norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance",
        "second/kernel", "second/bias",
    )
}  # fmt: skip
KEEP = 2
LOOSE = Limits(window=5, settled=3, course=1.0, high=1.02)
CAUGHT = [2, 9, 10, 11, 12, 13, 25, 30]
"""Epochs at whose end the state is kept."""


def make_trainer(after=True):
    """A training of 30 epochs, with snapshots or without."""
    rng = np.random.default_rng(8)
    data = [rng.normal(size=(30, 6)).astype(np.float32), rng.uniform(size=(30, 2)).astype(np.float32)]
    model = network()
    learner = Learner(
        model, optimizers.build({"class": "Adam", "learning_rate": 0.05}), lambda out, y: (out - y) ** 2, "ab"
    )
    plan = Plan(30, 8, lambda epoch: np.random.default_rng([1, epoch]).permutation(30), measures=(Loss(),))
    return Trainer(learner, plan, data, snapshots=Snapshots(model, KEEP, LOOSE) if after else None)


@pytest.fixture(scope="module")
def through(tmp_path_factory):
    """A training: its trainer, spikes, losses, weights after every epoch, and the folder of its states."""
    trainer, seen, folder = make_trainer(), {}, tmp_path_factory.mktemp("states")

    def look():
        epoch = trainer.record.epoch
        seen[epoch] = {variable.path: np.array(variable.numpy()) for variable in trainer.learner.model.weights}
        if epoch in CAUGHT:
            checkpoint.write(folder / f"{epoch}.h5", resume.capture(trainer, []))

    def look_within():
        if trainer.record.step == 50:
            assert trainer.record.step_in_epoch == 2
            checkpoint.write(folder / "within.h5", resume.capture(trainer, []))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_BLOCK_SECONDS", 1e-9)
        patch.setattr(loop, "_FIRST_BLOCK", 1)
        trainer.train(look_within, look)
    spikes = trainer.snapshots.spikes
    assert len(spikes) == KEEP
    return SimpleNamespace(trainer=trainer, spikes=spikes, record=trainer.record, seen=seen, folder=folder)


def assert_same(one, other):
    assert one.facts == other.facts
    assert one.weights.keys() == other.weights.keys()
    for path, array in one.weights.items():
        np.testing.assert_array_equal(array, other.weights[path])


def test_snapshots_of_a_training_are_its_weights_then(through):
    for spike in through.spikes:
        for snapshot in (spike.before, spike.peak):
            assert snapshot.loss == through.record.epochs["loss"][snapshot.epoch - 1]
            assert snapshot.weights.keys() == PATHS
            for path, array in snapshot.weights.items():
                np.testing.assert_array_equal(array, through.seen[snapshot.epoch][path])
    by_hand = spikes_by_hand(through.record.epochs["loss"], LOOSE)
    assert len(by_hand) > KEEP
    tallest = sorted(sorted(by_hand, key=lambda spike: -spike[2])[:KEEP], key=lambda spike: spike[1])
    assert [(spike.before.epoch, spike.peak.epoch) for spike in through.spikes] == [spike[:2] for spike in tallest]


def test_they_change_nothing_of_the_training(through):
    without = make_trainer(after=False)
    without.train()
    for name, values in through.record.history().steps.items():
        np.testing.assert_array_equal(without.record.history().steps[name], values)
    state = resume.capture(without, [])
    assert "snapshots" not in state.values
    assert not state.group("snapshots")


@pytest.mark.parametrize("name", [*CAUGHT, "within"])
def test_a_training_gone_on_with_ends_with_the_same_to_the_bit(through, name):
    trainer = through.trainer
    trainer.snapshots = Snapshots(trainer.learner.model, KEEP, LOOSE)
    resume.restore(trainer, checkpoint.read(through.folder / f"{name}.h5"))
    assert trainer.record.epoch == (12 if name == "within" else name)
    trainer.train()
    for one, other in zip(trainer.snapshots.spikes, through.spikes, strict=True):
        assert_same(one.before, other.before)
        assert_same(one.peak, other.peak)


def test_file_and_model_give_them_back(through, tmp_path):
    snapshots.save(tmp_path / "snapshots.h5", through.spikes)
    read = snapshots.load(tmp_path / "snapshots.h5")
    assert set(read) == {f"{n}_{kind}" for n in (1, 2) for kind in ("before", "peak")}
    with h5py.File(tmp_path / "snapshots.h5") as file:
        assert (file["2_peak"].attrs["spike"], file["2_peak"].attrs["kind"]) == (2, "peak")
    for n, spike in enumerate(through.spikes, 1):
        assert_same(read[f"{n}_before"], spike.before)
        assert_same(read[f"{n}_peak"], spike.peak)
    model, x = network(seed=77), np.random.default_rng(3).normal(size=(5, 6)).astype(np.float32)
    read["1_peak"].put_into(model)
    weights = {path.removeprefix("net/"): array for path, array in through.seen[read["1_peak"].epoch].items()}
    hidden = np.float64(x) @ weights["first/kernel"] + weights["first/bias"]
    scale = weights["norm/gamma"] / np.sqrt(weights["norm/moving_variance"] + 1e-3)
    hidden = (hidden - weights["norm/moving_mean"]) * scale + weights["norm/beta"]
    expected = hidden @ weights["second/kernel"] + weights["second/bias"]
    np.testing.assert_allclose(model(x, training=False), expected, rtol=1e-4, atol=1e-5)


def test_another_model_is_refused(through):
    message = r"epoch \d+: its weights net/other/bias, net/other/kernel, net/second/bias, net/second/kernel are not"
    with pytest.raises(ValueError, match=message):
        through.spikes[0].peak.put_into(network(last="other"))


def test_no_spike_is_a_file_without_groups(tmp_path):
    snapshots.save(tmp_path / "snapshots.h5", [])
    assert snapshots.load(tmp_path / "snapshots.h5") == {}
