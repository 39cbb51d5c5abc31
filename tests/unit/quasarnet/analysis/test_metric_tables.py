"""The tables of a study, from files of predictions whose truth is known."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics import purity_completeness
from quasarcurves.quasarnet.analysis import tabulate, thresholds
from quasarcurves.spectra import Spectra

NAMES = ("metrics", "test_metrics", "test_summary", "dv_histogram")
TEST_ROWS = np.arange(50, 250)


def save_predictions(path, made, run, rows=TEST_ROWS, worse=0.0):
    """Write what `make_test_set` says as a file of predictions; the best model is the final one made better."""
    with h5py.File(path, "w") as file:
        file.attrs["run"] = json.dumps(run)
        file["row"], file["target_id"] = rows, made.tested.target_id
        for name, confidence in (
            ("final", made.predicted.confidence * (1 - worse)),
            ("best", made.predicted.confidence),
        ):
            group = file.create_group(name)
            group["confidence"], group["z_best"] = confidence.astype(np.float32), made.predicted.z_best
            group["bal_confidence"] = made.predicted.bal_confidence


@pytest.fixture(scope="module", autouse=True)
def few_draws():
    """Draw 39 bootstrap samples, not 399: no test asks how wide an interval is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "DRAWS", 39)
        yield


@pytest.fixture(scope="module")
def study(make, tmp_path_factory):
    """Five replicates of one fraction; all spectra of the last are given the redshift 0 by its final model."""
    folder = tmp_path_factory.mktemp("study")
    made = make(np.random.default_rng(20), n=200)
    n, tested = 300, made.tested
    columns = {
        "z": np.zeros(n),
        "label": np.zeros(n),
        "bal": np.zeros(n),
        "target_id": -np.arange(n),
        "snr": np.ones(n),
    }
    for name, column in columns.items():
        column[TEST_ROWS] = getattr(tested, name)
    Spectra(np.zeros((n, 443)), **columns).save(folder / "spectra.h5")
    runs = []
    for replicate in range(5):
        run = {"fraction": 0.5, "replicate": replicate, "optimizer": "adam"}
        other = make(np.random.default_rng(20), n=200)
        other.predicted.confidence[:] **= 1 + 0.2 * replicate
        save_predictions(folder / f"{replicate}.h5", other, run)
        runs.append({**run, "n_train": 150})
    with h5py.File(folder / "4.h5", "r+") as file:
        file["final/z_best"][:] = np.where(np.arange(200) % 2, file["final/z_best"][:], 9.0)
    pd.DataFrame(runs).to_csv(folder / "runs.csv", index=False)
    return folder


def written(study, folder, predictions=None):
    predictions = predictions or [study / f"{replicate}.h5" for replicate in range(5)]
    paths = [folder / f"{name}.csv" for name in NAMES]
    tabulate.write(predictions, study / "spectra.h5", study / "runs.csv", *paths)
    return {name: tables.read(path) for name, path in zip(NAMES, paths, strict=True)}


@pytest.fixture(scope="module")
def found(study, tmp_path_factory):
    return written(study, tmp_path_factory.mktemp("tables"))


def test_rows_and_columns(found):
    keys = ["fraction", "replicate", "optimizer", "n_train", "model"]
    runs = 5 * 2
    for name, rows in (("metrics", 14 * 101), ("test_metrics", 14), ("dv_histogram", 120)):
        assert list(found[name].columns[:5]) == keys
        assert len(found[name]) == runs * rows
        assert (found[name]["n_train"] == 150).all()
    assert list(found["metrics"].columns[5:10]) == ["n_detect", "sample", "threshold", "purity", "completeness"]
    assert not found["metrics"].duplicated([*keys, "n_detect", "sample", "threshold"]).any()
    assert len(found["test_summary"]) == 2 * 14


def test_curves_are_those_of_the_predictions(study, found):
    spectra = Spectra.load(study / "spectra.h5", TEST_ROWS)
    masks = spectra.is_quasar, spectra.label == 1, spectra.label == 4
    curves = found["metrics"].query("replicate == 4 and model == 'final' and n_detect == 2 and sample == 'all'")
    with h5py.File(study / "4.h5") as file:
        confidence, z = file["final/confidence"][:].astype(float), file["final/z_best"][:]
    for row in curves.iloc[::10].to_dict("records"):
        called = (confidence > row["threshold"]).sum(axis=1) >= 2
        expected = purity_completeness(called, z, *masks, spectra.z)
        assert (row["purity"], row["completeness"]) == pytest.approx(expected, nan_ok=True, rel=1e-5)


def test_the_failed_one_is_named_and_stays_in_the_tables(found):
    scores = found["test_metrics"]
    failed = scores[scores["failed"]]
    assert set(zip(failed["replicate"], failed["model"], strict=True)) == {(4, "final")}
    assert len(failed) == 14
    assert failed["failed_note"].str.contains("below the others, limit").all()
    row = found["test_summary"].query("model == 'final' and n_detect == 1 and sample == 'all'").iloc[0]
    crossing = scores.query("model == 'final' and n_detect == 1 and sample == 'all'")["crossing"]
    assert (row["replicates"], row["failed"], str(row["failed_replicates"]).rstrip(".0")) == (5, 1, "4")
    assert row["crossing"] == pytest.approx(crossing.median())
    assert row["crossing_mean"] == pytest.approx(crossing.mean())
    assert row["crossing_mean_without_failed"] == pytest.approx(crossing[:4].mean())
    assert (row["crossing_low"], row["crossing_high"]) == pytest.approx((crossing.min(), crossing.max()))


def test_the_same_draws_for_all_models(found):
    """Replicates 0 to 4 differ in confidences alone: shares of what no confidence decides are drawn alike."""
    curves = found["metrics"].query("model == 'best' and n_detect == 1 and sample == 'all'").groupby("threshold")
    assert curves["completeness_low"].nunique()[0.0] == 1
    assert curves["completeness_low"].nunique()[0.9] > 1


def test_another_test_set_is_refused(study, make, tmp_path):
    run = {"fraction": 0.5, "replicate": 1, "optimizer": "adam"}
    save_predictions(tmp_path / "other.h5", make(np.random.default_rng(1), n=200), run, rows=TEST_ROWS + 1)
    with pytest.raises(ValueError, match=r"other.h5: expected the test set of the other runs"):
        written(study, tmp_path, [study / "0.h5", tmp_path / "other.h5"])
    assert not (tmp_path / "metrics.csv").exists()


def test_a_run_without_a_row_is_named(study, make, tmp_path):
    run = {"fraction": 0.25, "replicate": 7, "optimizer": "sgd"}
    save_predictions(tmp_path / "new.h5", make(np.random.default_rng(1), n=200), run)
    with pytest.raises(ValueError, match=r"runs.csv: no row of fraction 0.25, replicate 7, optimizer sgd"):
        written(study, tmp_path, [tmp_path / "new.h5"])


def test_a_file_without_a_model_is_named(study, tmp_path):
    with h5py.File(study / "0.h5") as old, h5py.File(tmp_path / "old.h5", "w") as new:
        old.copy("final", new)
        new["row"] = old["row"][:]
    with pytest.raises(ValueError, match=r"old.h5: expected row and the models final, best, found no best"):
        written(study, tmp_path, [tmp_path / "old.h5"])


def test_no_run_is_refused(study, tmp_path):
    with pytest.raises(ValueError, match=r"metrics.csv: there is nothing to write"):
        written(study, tmp_path, iter(()))


def test_same_predictions_give_the_same_bytes(study, tmp_path):
    files = []
    for _ in range(2):
        written(study, tmp_path, [study / "0.h5"])
        files.append([(tmp_path / f"{name}.csv").read_bytes() for name in NAMES])
    assert files[0] == files[1]
