"""Forks: where replays begin, and what the record says there, on made-up records whose spikes are known."""

from dataclasses import replace

import numpy as np
import pytest

from quasarcurves.analysis.replays import forks
from quasarcurves.training.history import History
from quasarcurves.training.settings import ReplaySettings

SEED, PER_EPOCH, STEPS = 20261129, 10, 6000
SETTINGS = ReplaySettings(500, 50, (30, 100), True, ("as_it_is",), 4, 300)


def history(onsets=(2000, 4000), height=20.0, growth=40, decay=150):
    """A loss with spikes that grow and fall exponentially, and gradient norms whose spread is a known share."""
    rng = np.random.default_rng(SEED)
    log = 0.1 * rng.normal(size=STEPS)
    for onset in onsets:
        t = np.arange(STEPS) - onset
        log += np.log(height) * np.where(t < 0, 0, np.where(t < growth, t / growth, np.exp(-(t - growth) / decay)))
    norm = np.tile([0.5, 1.5], STEPS // 2)
    steps = {"loss": np.exp(log), "gradient_norm": norm, "effective_step_q50": np.arange(STEPS), "update_norm": norm}
    columns = {name: np.asarray(values, np.float32) for name, values in steps.items()}
    return History({}, columns, params={"outcome": {"steps_per_epoch": PER_EPOCH, "n_train": 320}})


def test_forks_are_on_the_grid_before_spikes_and_at_quiet_times():
    table = forks.choose(history(), SETTINGS)
    found = forks.sustained_spikes(history())
    assert len(found) == 2
    grid = table[table["kind"] == forks.GRID]
    inside = [step for step in range(500, STEPS, 500) if ((found.onset < step) & (step < found.end)).any()]
    assert grid["fork_step"].tolist() == [step for step in range(500, STEPS, 500) if step not in inside]
    before = table[table["kind"] == forks.BEFORE]
    assert sorted(before["fork_step"]) == sorted(onset - far for onset in found["onset"] for far in (30, 100))
    assert (before["fork_step"] + before["distance"] == before["onset"]).all()


def test_no_spike_begins_while_a_replay_from_a_quiet_time_lasts():
    table, found = forks.choose(history(), SETTINGS), forks.sustained_spikes(history())
    quiet = table[table["kind"] == forks.QUIET]
    assert len(quiet) == 2
    for step in quiet["fork_step"]:
        assert not ((found["onset"] >= step) & (found["onset"] < step + SETTINGS.steps)).any()
        assert not ((found["onset"] < step) & (step < found["end"])).any()


def test_a_quiet_time_has_the_time_since_the_last_spike_of_its_own():
    table = forks.choose(history(), SETTINGS)
    second = table[(table["kind"] == forks.QUIET) & (table["onset"] > 3000)].iloc[0]
    first = forks.sustained_spikes(history())["onset"].iloc[0]
    since = second["onset"] - first
    # the latest times that are as long after a spike lie after the second one
    assert second["since_spike"] == pytest.approx(since, rel=0.2)


def test_what_the_record_says_at_a_fork():
    table = forks.choose(history(), SETTINGS).set_index("fork_step")
    at = table[table["kind"] == forks.GRID].loc[1000]
    assert at["loss"] == pytest.approx(history().steps["loss"][400:1000].mean(), rel=1e-5)
    assert at["effective_step"] == pytest.approx(np.arange(800, 1000).mean())
    assert at["noise"] == pytest.approx(0.5)
    assert np.isnan(at["since_spike"])


def test_a_quiet_training_has_forks_on_the_grid_alone():
    table = forks.choose(history(onsets=()), SETTINGS)
    assert set(table["kind"]) == {forks.GRID}
    assert forks.choose(history(onsets=()), replace(SETTINGS, every=0)).empty
