"""What models say of the test set: against the network, the decoder and the loss applied by hand."""

import json

import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from quasarcurves import evaluation
from quasarcurves.analysis import tables
from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.loss import quasarnet_loss
from quasarcurves.quasarnet.objective import decode, encode
from quasarcurves.spectra import Spectra
from quasarcurves.spectra.prepare import prepare
from quasarcurves.spectra.subsets import Subset

LINES, BAL_LINES = ["LYA", "CIV(1548)"], ["CIV(1548)"]
RUN = {
    "fraction": 0.5,
    "replicate": 1,
    "optimizer": "adam",
    "network": {"lines": LINES, "bal_lines": BAL_LINES, "boxes": 13},
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


def evaluated(files, name):
    models = {"final": files / "final.keras", "best": files / "best.keras"}
    evaluation.evaluate(files / "spectra.h5", files / "subset.h5", RUN, models, files / name)
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
    tables.write_test_losses([predictions, predictions], tmp_path / "test_losses.csv")
    table = pd.read_csv(tmp_path / "test_losses.csv")
    assert list(table.columns) == ["fraction", "replicate", "optimizer", "model", "n_test", "test_loss"]
    assert table["model"].tolist() == ["best", "final"] * 2
    assert set(table["n_test"]) == {23}
    with h5py.File(predictions) as file:
        for name, loss in zip(table["model"], table["test_loss"], strict=True):
            assert loss == pytest.approx(np.mean(np.float64(file[name]["loss"])), rel=1e-7)
