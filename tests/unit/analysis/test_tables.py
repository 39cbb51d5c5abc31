"""Tables of runs whose histories were written by hand."""

import numpy as np
import pytest

from quasarcurves.analysis import tables
from quasarcurves.analysis.histories import write_epochs, write_runs
from quasarcurves.training.history import History, collect

STEPS = 4


def make(fraction, replicate, optimizer, loss, val_loss=None, diverged_step=None):
    n = len(loss)
    val_loss = np.full(n, np.nan) if val_loss is None else val_loss
    epochs = {
        "loss": np.asarray(loss, np.float32),
        "loss_LYA": np.asarray(loss, np.float32) / 2,
        "val_loss": np.asarray(val_loss, np.float32),
        "learning_rate": np.full(n, 1e-3, np.float32),
        "step": STEPS * np.arange(1, n + 1),
        "seconds": np.full(n, 0.25),
    }
    outcome = {
        "n_train": round(1000 * fraction),
        "steps_per_epoch": STEPS,
        "epochs": n,
        "diverged": diverged_step is not None,
        "diverged_step": diverged_step,
    }
    params = {"fraction": fraction, "replicate": replicate, "optimizer": optimizer, "outcome": outcome}
    return History(epochs, {"loss": np.ones(STEPS * n, np.float32)}, params)


def spiky(n=200, spikes=()):
    loss = np.linspace(2, 1, n)
    for place, height in spikes:
        loss[place] *= height
    return loss


@pytest.fixture
def histories(tmp_path):
    """Five runs in no order: two fractions, replicates up to 10, one diverged."""
    val_loss = np.full(200, np.nan)
    val_loss[9::10] = 3 - np.linspace(0, 2, 20)
    val_loss[119] = 0.5
    made = [
        make(0.05, 10, "adam", [3, 2, 1.5]),
        make(0.8, 1, "adam", [3.0, 2.0, np.inf], diverged_step=9),
        make(0.8, 0, "amsgrad", spiky(), val_loss),
        make(0.05, 2, "adam", [3, 2, 2.5], [np.nan, 4, 5]),
        make(0.8, 0, "adam", spiky(spikes=[(20, 90), (100, 10), (101, 5), (150, 26)]), val_loss),
    ]
    for i, history in enumerate(made):
        history.save(tmp_path / f"{i}.h5")
    collect(((f"run{i}/x", tmp_path / f"{i}.h5") for i in range(len(made))), tmp_path / "histories.h5")
    return tmp_path / "histories.h5"


ORDER = [(0.8, 0, "adam"), (0.8, 0, "amsgrad"), (0.8, 1, "adam"), (0.05, 2, "adam"), (0.05, 10, "adam")]


@pytest.fixture
def epochs(histories, tmp_path):
    write_epochs(histories, tmp_path / "epochs.csv")
    return tables.read(tmp_path / "epochs.csv")


@pytest.fixture
def runs(histories, tmp_path):
    write_runs(histories, tmp_path / "runs.csv")
    return tables.read(tmp_path / "runs.csv").set_index(tables.RUN_KEYS)


def test_epochs_have_one_row_per_run_and_epoch_in_order(epochs):
    assert len(epochs) == 200 + 200 + 3 + 3 + 3
    keys = list(epochs[tables.RUN_KEYS].itertuples(index=False, name=None))
    assert list(dict.fromkeys(keys)) == ORDER
    for _, run in epochs.groupby(tables.RUN_KEYS):
        np.testing.assert_array_equal(run["epoch"], np.arange(1, len(run) + 1))
        np.testing.assert_array_equal(run["step"], STEPS * run["epoch"])


def test_epochs_begin_with_the_columns_that_others_rely_on(epochs):
    first = [*tables.RUN_KEYS, "n_train", "epoch", "step", "loss", "val_loss", "learning_rate", "seconds"]
    assert list(epochs.columns) == [*first, "loss_LYA"]


def test_epochs_hold_the_numbers_of_the_histories(epochs):
    run = epochs[(epochs.fraction == 0.8) & (epochs.replicate == 0) & (epochs.optimizer == "adam")]
    expected = spiky(spikes=[(20, 90), (100, 10), (101, 5), (150, 26)])
    np.testing.assert_allclose(run["loss"], expected, rtol=1e-6)
    np.testing.assert_allclose(run["loss_LYA"], expected / 2, rtol=1e-6)
    assert run["val_loss"].notna().sum() == 20
    assert (run["n_train"] == 800).all()
    diverged = epochs[(epochs.fraction == 0.8) & (epochs.replicate == 1)]
    assert diverged["loss"].tolist() == [3, 2, np.inf]


def test_some_columns_alone_are_read(epochs, tmp_path):
    some = tables.read(tmp_path / "epochs.csv", tables.LOSS_COLUMNS)
    assert sorted(some.columns) == ["epoch", "fraction", "loss", "optimizer", "replicate"]
    for name in some:
        assert some[name].equals(epochs[name])
    with pytest.raises(ValueError, match="nothing_like_it"):
        tables.read(tmp_path / "epochs.csv", ["epoch", "nothing_like_it"])


def test_runs_have_one_row_each_in_order(runs):
    assert list(runs.index) == ORDER
    assert runs["n_train"].tolist() == [800, 800, 800, 50, 50]
    assert (runs["steps_per_epoch"] == STEPS).all()
    np.testing.assert_allclose(runs["seconds"], runs["epochs"] / 4)


def test_losses_of_a_run(runs):
    run = runs.loc[(0.8, 0, "amsgrad")]
    assert (run["loss_last"], run["loss_lowest"]) == (1, 1)
    assert run["val_loss_last"] == pytest.approx(1)
    assert run["val_loss_lowest"] == 0.5
    assert run["epoch_best"] == 120
    rising = runs.loc[(0.05, 2, "adam")]
    assert (rising["loss_last"], rising["loss_lowest"]) == (2.5, 2)
    assert (rising["val_loss_last"], rising["val_loss_lowest"], rising["epoch_best"]) == (5, 4, 2)


def test_without_validation_the_last_epoch_is_the_best(runs):
    run = runs.loc[(0.05, 10, "adam")]
    assert np.isnan(run["val_loss_last"])
    assert np.isnan(run["val_loss_lowest"])
    assert run["epoch_best"] == 3


def test_spikes_are_counted_after_the_first_epochs(runs):
    spiked, quiet = runs.loc[(0.8, 0, "adam")], runs.loc[(0.8, 0, "amsgrad")]
    # the spike at epoch 21 is before the loss has settled; 101 and 102 are one
    assert (spiked["spikes_above_3x"], quiet["spikes_above_3x"]) == (2, 0)
    assert spiked["highest_ratio"] == pytest.approx(26, rel=0.05)
    assert quiet["highest_ratio"] == pytest.approx(1, abs=0.15)
    # too short to say
    short = runs.loc[(0.05, 2, "adam")]
    assert np.isnan(short["highest_ratio"])
    assert short["spikes_above_3x"] == 0


def test_a_diverged_run_says_where_and_keeps_what_it_had(runs):
    run = runs.loc[(0.8, 1, "adam")]
    assert bool(run["diverged"]) is True
    assert run["diverged_step"] == 9
    assert run["epochs"] == 3
    assert run["loss_last"] == np.inf
    assert run["loss_lowest"] == 2
    others = runs.drop(index=(0.8, 1, "adam"))
    assert not others["diverged"].astype(bool).any()
    assert others["diverged_step"].isna().all()


def test_a_run_that_diverges_at_once_has_no_lowest_loss(tmp_path):
    make(0.1, 0, "adam", [np.nan], diverged_step=0).save(tmp_path / "0.h5")
    collect([("a", tmp_path / "0.h5")], tmp_path / "all.h5")
    write_runs(tmp_path / "all.h5", tmp_path / "runs.csv")
    (run,) = tables.read(tmp_path / "runs.csv").to_dict("records")
    assert np.isnan(run["loss_lowest"])
    assert (run["diverged"], run["diverged_step"], run["spikes_above_3x"]) == (True, 0, 0)


def test_names_of_optimizers_stay_text(tmp_path):
    make(0.1, 0, "007", [1.0, 2.0]).save(tmp_path / "0.h5")
    collect([("a", tmp_path / "0.h5")], tmp_path / "all.h5")
    write_epochs(tmp_path / "all.h5", tmp_path / "epochs.csv")
    assert tables.read(tmp_path / "epochs.csv")["optimizer"].tolist() == ["007", "007"]
