"""What models say of the test set: against the network, the decoder and the loss applied by hand."""

import hashlib
import json

import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis import histories, tables
from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.loss import quasarnet_loss
from quasarcurves.quasarnet.objective import decode, encode
from quasarcurves.spectra import Spectra
from quasarcurves.spectra.prepare import prepare
from quasarcurves.spectra.subsets import Subset
from quasarcurves.steps import evaluation
from quasarcurves.training import snapshots
from quasarcurves.training.run_settings import EvaluationSettings
from quasarcurves.training.snapshots import Snapshot, Spike

LINES, BAL_LINES = ["LYA", "CIV(1548)"], ["CIV(1548)"]
RUN = {
    "fraction": 0.5,
    "replicate": 1,
    "optimizer": "adam",
    "network": {"filters": 4, "layers": 4, "boxes": 13, "lines": LINES, "bal_lines": BAL_LINES, "dropout": 0},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    prepare({"source": "simulated", "n_spectra": 60, "seed": 4}, folder / "spectra.h5")
    rows = np.arange(60, dtype=np.uint32)
    Subset(train=rows[:20], validation=rows[20:30], test=rows[37:]).save(folder / "subset.h5")
    for i, name in enumerate(("final", "best")):
        keras.utils.set_random_seed(i)
        network.build(filters=4, n_lines=3).save(folder / f"{name}.keras")
    return folder


def evaluated(files, name, taken=None):
    models = {"final": files / "final.keras", "best": files / "best.keras"}
    run = EvaluationSettings.from_json(RUN)
    evaluation.evaluate(files / "spectra.h5", files / "subset.h5", run, models, files / name, taken)
    return files / name


def test_predictions_and_losses_are_those_of_the_models(files):
    table = Spectra.load(files / "spectra.h5", np.arange(37, 60))
    targets, weights = encode(table.z, table.is_quasar, table.bal, LINES, BAL_LINES)
    with h5py.File(evaluated(files, "predictions.h5")) as file:
        assert json.loads(file.attrs["run"]) == RUN
        np.testing.assert_array_equal(file["row"], np.arange(37, 60))
        np.testing.assert_array_equal(file["target_id"], table.target_id)
        for name in ("final", "best"):
            outputs = keras.saving.load_model(files / f"{name}.keras").predict(table.flux[..., None], verbose=0)
            decoded = decode(outputs, LINES, BAL_LINES)
            for column in ("confidence", "z_line", "z_best", "bal_confidence", "bal_z_line"):
                np.testing.assert_allclose(file[name][column], getattr(decoded, column), rtol=1e-5, err_msg=column)
            loss = (weights * np.asarray(quasarnet_loss(targets.astype(np.float32), outputs))).sum(axis=1)
            np.testing.assert_allclose(file[name]["loss"], loss, rtol=1e-4)


def test_the_size_of_a_part_changes_nothing(files, monkeypatch):
    whole = evaluated(files, "whole.h5")
    monkeypatch.setattr(evaluation, "_ROWS", 7)
    with h5py.File(whole) as one, h5py.File(evaluated(files, "parts.h5")) as other:
        for column, values in one["best"].items():
            np.testing.assert_allclose(other["best"][column], values, rtol=1e-5, err_msg=column)


def test_test_losses_are_means_over_the_test_set(files, tmp_path):
    predictions = evaluated(files, "predictions.h5")
    histories.write_test_losses([predictions, predictions], tmp_path / "test_losses.csv")
    table = pd.read_csv(tmp_path / "test_losses.csv")
    assert list(table.columns) == ["fraction", "replicate", "optimizer", "model", "n_test", "test_loss", "predictions"]
    assert set(table["predictions"]) == {hashlib.sha256(predictions.read_bytes()).hexdigest()[:16]}
    assert table["model"].tolist() == ["best", "final"] * 2
    assert set(table["n_test"]) == {23}
    with h5py.File(predictions) as file:
        for name, loss in zip(table["model"], table["test_loss"], strict=True):
            assert loss == pytest.approx(np.mean(np.float64(file[name]["loss"])), rel=1e-7)


@pytest.fixture(scope="module")
def with_snapshots(files):
    """Predictions of a run whose snapshots are of networks with other weights and other moving statistics."""
    models = [network.build(filters=4, n_lines=3) for _ in range(2)]
    rng = np.random.default_rng(7)
    for variable in (variable for model in models for variable in model.weights):
        low = 0.5 if "variance" in variable.path else -0.5
        variable.assign(rng.uniform(low, low + 1, variable.shape))
    before, peak = (
        Snapshot(60 + i, 0.1 + i, 1.0 + 3 * i, {variable.path: variable.numpy() for variable in model.weights})
        for i, model in enumerate(models)
    )
    snapshots.save(files / "snapshots.h5", [Spike(before, peak)])
    return evaluated(files, "with_snapshots.h5", files / "snapshots.h5"), models


def test_snapshots_are_applied_as_they_are(files, with_snapshots):
    predictions, models = with_snapshots
    flux = Spectra.load(files / "spectra.h5", np.arange(37, 60)).flux[..., None]
    with h5py.File(predictions) as file:
        assert set(file["snapshots"]) == {"1_before", "1_peak"}
        for model, (name, group) in zip(models, sorted(file["snapshots"].items()), strict=True):
            decoded = decode(model.predict(flux, verbose=0), LINES, BAL_LINES)
            np.testing.assert_allclose(group["confidence"], decoded.confidence, rtol=1e-5, err_msg=name)
            np.testing.assert_allclose(group["z_best"], decoded.z_best, rtol=1e-5, err_msg=name)
            assert group["loss"].shape == (23,)
        assert dict(file["snapshots/1_peak"].attrs) == {"epoch": 61, "loss": 1.1, "ratio": 4.0}
        assert not np.allclose(file["snapshots/1_peak/confidence"], file["snapshots/1_before/confidence"])


def test_final_and_best_are_what_they_are_without_snapshots(files, with_snapshots, tmp_path):
    predictions, without = with_snapshots[0], evaluated(files, "predictions.h5")
    with h5py.File(predictions) as one, h5py.File(without) as other:
        assert one.keys() - other.keys() == {"snapshots"}
        for name in ("final", "best"):
            for column, values in one[name].items():
                np.testing.assert_array_equal(values, other[name][column])
    losses = []
    for path in (predictions, without):
        histories.write_test_losses([path], tmp_path / f"{path.stem}.csv")
        losses.append(tables.read(tmp_path / f"{path.stem}.csv").drop(columns="predictions"))
    pd.testing.assert_frame_equal(*losses)


def test_a_run_without_a_spike_has_no_snapshots(files):
    snapshots.save(files / "none.h5", [])
    with h5py.File(evaluated(files, "without_spikes.h5", files / "none.h5")) as file:
        assert "snapshots" not in file
