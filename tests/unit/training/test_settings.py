"""Settings of a training: its length, computed in one place, and that nothing is lost on a command line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quasarcurves.training.settings import Limits, SnapshotSettings, TrainingSettings


@given(
    n=st.integers(1, 5000),
    batch=st.integers(1, 300),
    steps=st.integers(1, 20_000),
    last_batch=st.sampled_from(["keep", "drop"]),
)
def test_length_is_that_of_counting(n, batch, steps, last_batch):
    settings = TrainingSettings(batch_size=batch, steps=steps, last_batch=last_batch)
    batches = [min(batch, n - start) for start in range(0, n, batch)]
    if last_batch == "drop" and batches[-1] < batch:
        batches.pop()
    assert settings.steps_per_epoch(n) == len(batches)
    if batches:
        # whole epochs, as few as hold the steps
        epochs = settings.n_epochs(n)
        assert (epochs - 1) * len(batches) < steps <= epochs * len(batches) == settings.n_steps(n)


def test_epochs_do_not_depend_on_the_examples():
    settings = TrainingSettings(batch_size=32, epochs=7)
    assert [settings.n_epochs(n) for n in (1, 32, 1000)] == [7, 7, 7]
    assert [settings.n_steps(n) for n in (1, 32, 1000)] == [7, 7, 7 * 32]


@pytest.mark.parametrize("lengths", [{}, {"epochs": 1, "steps": 1}])
def test_a_training_has_one_length(lengths):
    with pytest.raises(ValueError, match=r"epochs .* and steps .*: expected one of them"):
        TrainingSettings(batch_size=1, **lengths)


@pytest.mark.parametrize("length", ["epochs", "steps"])
def test_json_holds_the_length_that_is_given(length):
    settings = TrainingSettings(batch_size=32, last_batch="drop", validate_every=3, pack=True, **{length: 5})
    values = json.loads(json.dumps(settings.to_json()))
    assert values == {
        length: 5,
        "batch_size": 32,
        "last_batch": "drop",
        "validate_every": 3,
        "backend": "tensorflow",
        "precision": "float32",
        "pack": True,
    }
    assert TrainingSettings.from_json(values) == settings


def test_snapshots_cross_in_one_mapping():
    settings = SnapshotSettings(3, Limits(window=51, settled=50, course=1.1, high=3.0))
    assert settings.to_json() == {"keep": 3, "window": 51, "settled": 50, "course": 1.1, "high": 3.0}
    assert SnapshotSettings.from_json(settings.to_json()) == settings
