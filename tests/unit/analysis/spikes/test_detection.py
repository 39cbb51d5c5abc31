"""Spikes of a study: which runs are pooled."""

import numpy as np
import pytest

from quasarcurves.analysis import tables
from quasarcurves.analysis.spikes import detection, statistics
from quasarcurves.training.history import History, collect

ADAM = {"class": "Adam", "learning_rate": 3e-3}


def run(optimizer, fraction, spec=(), last_batch="drop"):
    per_epoch = round(40 * fraction)
    loss = np.random.default_rng(per_epoch).lognormal(0, 0.05, 100 * per_epoch)
    params = {
        "optimizer": optimizer,
        "fraction": fraction,
        "replicate": 0,
        "optimizer_spec": {**ADAM, **dict(spec)},
        "training": {"batch_size": 32, "last_batch": last_batch},
        "outcome": {"n_train": round(1280 * fraction), "steps_per_epoch": per_epoch, "diverged": False},
    }
    epochs = {"loss": loss.reshape(100, -1).mean(axis=1), "step": per_epoch * np.arange(1, 101)}
    return History(epochs, {"loss": loss}, params)


def families(runs, folder, monkeypatch):
    """Names of the rows of trends that pool several optimizers."""
    monkeypatch.setattr(statistics, "SHUFFLES", 1)
    names = [f"f{history.params['fraction']}_r0/{history.params['optimizer']}" for history in runs]
    for i, history in enumerate(runs):
        history.save(folder / f"{i}.h5")
    collect(((name, folder / f"{i}.h5") for i, name in enumerate(names)), folder / "histories.h5")
    detection.write(*(folder / name for name in ("histories.h5", "spikes.csv", "statistics.csv", "trends.csv")))
    trends = tables.read(folder / "trends.csv")
    return set(trends["optimizer"]) - {history.params["optimizer"] for history in runs}


def test_runs_that_differ_in_memory_alone_are_pooled(tmp_path, monkeypatch):
    runs = [run("long", f) for f in (0.2, 0.8)] + [run("short", f, [("beta_2", 0.99)]) for f in (0.2, 0.8)]
    assert families(runs, tmp_path, monkeypatch) == {"class Adam, learning_rate 0.003, last_batch drop"}


def test_a_kept_last_batch_and_amsgrad_are_not_pooled(tmp_path, monkeypatch):
    runs = [run("adam", f) for f in (0.2, 0.8)] + [run("kept", f, last_batch="keep") for f in (0.2, 0.8)]
    runs += [run("amsgrad", f, [("amsgrad", True)]) for f in (0.2, 0.8)]
    assert families(runs, tmp_path, monkeypatch) == set()


@pytest.mark.parametrize(
    ("spec", "memory"),
    [
        ({"class": "Adam"}, 1000),
        ({"class": "Adam", "beta_2": 0.9}, 10),
        # its default is not that of Adam
        ({"class": "StableAdamW"}, 100),
        ({"class": "SGD"}, np.nan),
        ({}, np.nan),
    ],
)
def test_memory_of_an_optimizer(spec, memory):
    assert detection.memory_of(spec) == pytest.approx(memory, nan_ok=True)


def test_runs_too_short_to_be_searched_have_no_rate(tmp_path):
    short, enough = run("short", 0.1), run("enough", 0.1)
    for history, steps in ((short, 100), (enough, 101)):
        history.steps["loss"] = history.steps["loss"][:steps]
        history.epochs["loss"] = history.epochs["loss"][: steps // 4]
        history.save(tmp_path / f"{steps}.h5")
    collect((("f0.1_r0/short", tmp_path / "100.h5"), ("f0.1_r0/enough", tmp_path / "101.h5")), tmp_path / "all.h5")
    detection.write(*(tmp_path / name for name in ("all.h5", "spikes.csv", "statistics.csv", "trends.csv")))
    table = tables.read(tmp_path / "statistics.csv").set_index(["optimizer", "scale"])
    rates = [column for column in table if column.startswith(("per_", "share_in_spike"))]
    assert table.loc[("short", "step"), rates].isna().all()
    assert table.loc[("short", "step"), "steps"] == 100
    assert table.loc[("enough", "step"), "per_1000_steps_high"] == pytest.approx(3.689 / 0.101, rel=1e-3)
