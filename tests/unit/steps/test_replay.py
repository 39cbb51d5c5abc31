"""Replays of a run: bit for bit as it was, refused where it is not, kept when stopped, the same in any grouping."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quasarcurves.steps import replay as steps_replay
from quasarcurves.steps.replay import replay
from quasarcurves.training.history import History
from quasarcurves.training.replays import NotReproduced
from support import small_training
from support.small_training import REPLAYS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small training, with what a replay of it reads."""
    return small_training.train(tmp_path_factory.mktemp("trained"))


def made(job, folder):
    replay(job, folder / "replays.csv", folder / "forks.csv")
    return pd.read_csv(folder / "replays.csv"), pd.read_csv(folder / "forks.csv")


@pytest.fixture(scope="module")
def found(trained, tmp_path_factory):
    """The replays of the training in one job, its table of forks, and the folder."""
    folder = tmp_path_factory.mktemp("replays")
    return SimpleNamespace(folder=folder, tables=made(trained.job(folder / "state"), folder))


def test_there_is_a_row_per_fork_arm_and_replay(found):
    replays, forks = found.tables
    # 40 steps; the grid begins after 2 epochs of 5
    assert forks["fork_step"].tolist() == [10, 20, 30]
    assert set(forks["kind"]) == {"grid"}
    counts = replays[replays["replay"] >= 0].groupby(["fork_step", "arm"]).size()
    assert set(counts) == {2} and len(counts) == 3 * 2
    assert (replays["run"] == "f0.8_r0/adam").all() and (replays["n_train"] == 70).all()
    assert (forks["sharpness_share"] > 0).all()


def test_an_arm_that_cannot_be_had_has_a_row_that_says_why(found):
    replays, _ = found.tables
    refused = replays[replays["arm"] == "adam"]
    assert refused["note"].tolist() == ["it is Adam already"] * 3
    assert (refused["steps"] == 0).all()


def test_arms_have_the_same_orders_and_replays_have_different_ones(found):
    replays, _ = found.tables
    heights = replays[replays["arm"] == "as_it_is"].set_index(["fork_step", "replay"])["height"]
    assert heights.nunique() == len(heights)


@pytest.mark.slow
def test_forks_dealt_out_to_two_jobs_give_the_same(trained, found, tmp_path):
    parts = []
    for group in range(2):
        folder = tmp_path / str(group)
        parts.append(made(trained.job(folder / "state", group=group, groups=2), folder)[0])
    together = pd.concat(parts).sort_values(["fork_step", "arm", "replay"], ignore_index=True)
    alone = found.tables[0].sort_values(["fork_step", "arm", "replay"], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)


@pytest.mark.slow
def test_a_job_goes_on_from_what_was_made_and_a_new_arm_is_all_it_adds(trained, found, tmp_path, monkeypatch):
    more = replace(REPLAYS, arms=(*REPLAYS.arms, "m_0"))
    rows = []
    own = steps_replay.Replayer.rows
    monkeypatch.setattr(
        steps_replay.Replayer, "rows", lambda self, name, *at: rows.append(name) or own(self, name, *at)
    )
    replays, _ = made(trained.job(found.folder / "state", settings=more), tmp_path)
    assert rows == ["m_0"] * 3
    before = replays[replays["arm"] != "m_0"].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, found.tables[0])


def test_fewer_replays_are_the_first_ones_of_those_kept(trained, found, tmp_path):
    replays, _ = made(trained.job(found.folder / "state", settings=replace(REPLAYS, replays=1)), tmp_path)
    first = found.tables[0].query("replay < 1").reset_index(drop=True)
    pd.testing.assert_frame_equal(replays, first)


@pytest.mark.slow
def test_a_stop_keeps_the_arms_that_were_done(trained, tmp_path, monkeypatch):
    calls = iter(range(100))

    def stop(self):
        if next(calls) == 3:
            raise SystemExit(143)

    monkeypatch.setattr("quasarcurves.training.signals.StopSignals.raise_if_received", stop)
    with pytest.raises(SystemExit):
        made(trained.job(tmp_path / "state"), tmp_path)
    assert [path.name for path in sorted((tmp_path / "state" / "key").glob("*.json"))] == [
        "10_as_it_is.json",
        "10_fork.json",
    ]
    assert not (tmp_path / "replays.csv").exists()


def test_a_record_that_the_training_does_not_give_again_is_refused(trained, tmp_path):
    history = History.load(trained.history)
    steps = dict(history.steps)
    steps["loss"] = np.array(steps["loss"])
    steps["loss"][7] = np.nextafter(steps["loss"][7], np.float32(9))
    replace(history, steps=steps).save(tmp_path / "history.h5")
    with pytest.raises(NotReproduced, match=r"step 7: the loss is .*, expected the same bits"):
        made(replace(trained.job(tmp_path / "state"), history=tmp_path / "history.h5"), tmp_path)


def test_a_training_without_forks_makes_empty_tables(trained, tmp_path):
    replays, forks = made(trained.job(tmp_path / "state", settings=replace(REPLAYS, every=0)), tmp_path)
    assert replays.empty and forks.empty
    assert "fork_step" in replays and "sharpness_share" in forks


TOGETHER = """
import sys
from dataclasses import replace
from pathlib import Path
from quasarcurves.training import keras_import
keras_import.import_keras()
from quasarcurves.steps.replay import replay
from quasarcurves.steps.training import use_threads
from support import small_training

use_threads(1)
folder = Path(sys.argv[1])
trained = small_training.train(folder, "jax")
arms = replace(small_training.REPLAYS, arms=("as_it_is", "v_x4", "batch_x0.5", "amsgrad"), replays=3)
for name, pack in (("alone", False), ("together", True)):
    job = trained.job(folder / name, arms)
    packed = replace(job.run, training=replace(job.run.training, pack=pack))
    replay(replace(job, run=packed), folder / f"{name}.csv", folder / f"{name}_forks.csv")
"""


@pytest.mark.slow
def test_replays_in_one_program_are_those_one_after_the_other(tmp_path):
    """JAX's vectorised program rounds otherwise, so that heights agree but for what rounding grows to in 40 steps."""
    tests = str(Path(small_training.__file__).parents[1])
    paths = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", TOGETHER, str(tmp_path)], env=environment, check=True)
    alone, together = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("alone", "together"))
    np.testing.assert_allclose(together["height"], alone["height"], rtol=0.02)
    columns = ["fork_step", "arm", "replay", "steps", "spiked"]
    pd.testing.assert_frame_equal(together[columns], alone[columns])
    assert len(alone) == 3 * 4 * 3
