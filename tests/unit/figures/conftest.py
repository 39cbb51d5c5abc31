"""Small real studies to draw, and a look at what was drawn."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis import tables
from quasarcurves.analysis.spikes import detection, statistics
from quasarcurves.training.history import History, collect
from support.legible_figures import check_legible

EPOCHS = 300


def make_history(fraction=0.8, replicate=0, optimizer="adam", spikes=((1500, 30.0),), curvature=None, diverged=False):
    """A run whose step loss falls smoothly, with noise and spikes of 60 steps at given steps and heights."""
    steps_per_epoch = round(10 * fraction)
    t = EPOCHS * steps_per_epoch
    rng = np.random.default_rng([int(100 * fraction), replicate])
    loss = 3 * (1 + np.arange(t) / 200) ** -1.0 * rng.lognormal(0, 0.05, t)
    for at, height in spikes:
        loss[at : at + 60] *= np.linspace(height, 1, 60)[: max(t - at, 0)]
    if diverged:
        loss[-3:] = np.inf
    epochs = {"loss": loss.reshape(EPOCHS, -1).mean(axis=1), "step": steps_per_epoch * np.arange(1, EPOCHS + 1)}
    outcome = {
        "n_train": round(1280 * fraction),
        "steps_per_epoch": steps_per_epoch,
        "epochs": EPOCHS,
        "diverged": diverged,
        "diverged_step": t - 3 if diverged else None,
    }
    params = {"fraction": fraction, "replicate": replicate, "optimizer": optimizer, "outcome": outcome}
    history = History(epochs, {"loss": loss}, params)
    history.curvature = curvature or {}
    return history


@pytest.fixture
def make():
    return make_history


@pytest.fixture
def tables_of(tmp_path):
    """Give the tables of spikes of some histories, as the study writes them."""

    def write(histories):
        for i, history in enumerate(histories):
            history.save(tmp_path / f"{i}.h5")
        collect(((f"run{i}", tmp_path / f"{i}.h5") for i in range(len(histories))), tmp_path / "histories.h5")
        names = ("spikes", "statistics", "trends")
        paths = [tmp_path / f"{name}.csv" for name in names]
        detection.write(tmp_path / "histories.h5", *paths)
        return SimpleNamespace(
            **{name: tables.read(path) for name, path in zip(names, paths, strict=True)},
            histories=tmp_path / "histories.h5",
        )

    return write


@pytest.fixture(scope="session")
def statistics_of():
    """Give the statistics of many runs, of spikes thrown down at random."""

    def draw(fractions, optimizers, replicates, rate=0.5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(statistics, "SHUFFLES", 1)  # no figure shows what these are for
            return table(fractions, optimizers, replicates, rate)

    def table(fractions, optimizers, replicates, rate):
        rng, rows = np.random.default_rng(0), []
        for fraction in fractions:
            per_epoch = max(round(40 * fraction), 1)
            steps = 600 * per_epoch
            for i, optimizer in enumerate(optimizers):
                for replicate in range(replicates):
                    n = rng.poisson(rate * steps / 1000 / (1 + i % 3) ** 2)
                    onset, length = np.sort(rng.integers(0, steps, n)), rng.integers(1, 200, n)
                    found = {"onset": onset, "end": (onset + length).astype(float), "recovery": length}
                    spikes = pd.DataFrame(found | {"height_ratio": 1 + rng.lognormal(2, 1, n), "kind": "sustained"})
                    keys = {"fraction": fraction, "replicate": replicate, "optimizer": optimizer, "scale": "step"}
                    described = statistics.describe(spikes, np.ones(steps), 1, per_epoch)
                    rows.append({**keys, "n_train": round(1280 * fraction), **described})
        return pd.DataFrame(rows)

    return draw


@pytest.fixture
def legible():
    """Give the function that checks a figure's text and gives all of it."""
    return check_legible
