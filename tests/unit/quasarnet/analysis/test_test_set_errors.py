"""The errors of a model: planted ones are found, ranked and counted, and tables are those of the predictions."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics import purity_completeness
from quasarcurves.quasarnet.analysis import gallery, test_set
from quasarcurves.quasarnet.objective import LINES
from quasarcurves.spectra import Spectra

NAMES = {"lines": ["CIV(1548)", "MgII(2796)"], "bal_lines": ["CIV(1548)"]}
TABLES = ("examples", "confusion", "error_counts", "redshift_counts")


def planted():
    """Two of each: right quasars, missed ones, wrong redshifts; a star, two galaxies, one not trusted; BALs."""
    #             right  right  missed missed  wrong  wrong  star  galaxy galaxy bad   BAL   no BAL
    label = np.array([3, 3, 3, 2, 3, 2, 0, 1, 1, 4, 3, 3], np.uint8)
    z = np.array([2.5, 3.0, 2.2, 1.0, 2.5, 1.0, 0.0, 0.5, 0.6, 2.0, 2.5, 2.6])
    z_best = np.array([2.5, 3.01, 2.2, 0.3, 1.0, 2.612, 1.2, 2.0, 0.601, 0.1, 2.5, 2.6])
    sure = np.array([0.9, 0.6, 0.1, 0.4, 0.9, 0.7, 0.8, 0.6, 0.9, 0.9, 0.9, 0.9])
    bal = np.array([0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, -1], np.int8)
    says_bal = np.array([0.9, 0, 0.1, 0, 0, 0, 0, 0, 0, 0, 0.2, 0.7])[:, None]
    tested = test_set.Tested(z, label, bal, np.ones(12, np.float32), np.arange(12) + 1000)
    return tested, test_set.Predicted(np.stack([sure, sure / 2], axis=1), z_best, says_bal)


def test_planted_errors_are_found_the_worst_first():
    tested, predicted = planted()
    errors = gallery.find_errors(tested, predicted)
    found = gallery.choose(tested, predicted, errors, np.arange(12) + 50, NAMES, 9)
    places = {kind: rows["row"].tolist() for kind, rows in found.groupby("kind")}
    # the galaxy at its right redshift is none
    assert places == {"missed": [52, 53], "contaminant": [56, 57], "redshift": [55, 54], "bal": [60, 61]}
    assert (found["target_id"] == found["row"] + 950).all()
    assert gallery.error_counts(errors)["among"].tolist() == [8, 3, 6, 2]
    assert found.groupby("kind")["rank"].max().eq(2).all()
    assert len(gallery.choose(tested, predicted, errors, np.arange(12), NAMES, 1)) == 4


def test_errors_are_what_purity_and_completeness_lose(make):
    made = make(np.random.default_rng(3), n=2000)
    tested, predicted = made.tested, made.predicted
    for threshold, n_detect in ((0.5, 1), (0.5, 2), (0.9, 1)):
        errors = gallery.find_errors(tested, predicted, threshold, n_detect)
        called = (predicted.confidence > threshold).sum(axis=1) >= n_detect
        np.testing.assert_array_equal(errors.called, called)
        masks = tested.is_qso, tested.is_galaxy, tested.is_bad
        purity, completeness = purity_completeness(called, predicted.z_best, *masks, tested.z)
        missed, contaminants, redshifts, _ = errors.wrong.sum(axis=1)
        assert completeness == pytest.approx(1 - (missed + redshifts) / tested.is_qso.sum())
        assert purity == pytest.approx(1 - (contaminants + redshifts) / np.sum(called & ~tested.is_bad))


def test_confusion_counts_every_spectrum_once(make):
    made = make(np.random.default_rng(4), n=500)
    made.predicted.confidence[7] = np.nan
    table = gallery.confusion(made.tested, made.predicted)
    parts = table[["right_redshift", "wrong_redshift", "not_called", "unusable"]].sum(axis=1)
    assert (parts == table["spectra"]).all()
    assert table.groupby("n_detect")[["spectra", "unusable"]].sum().to_numpy().tolist() == [[500, 1], [500, 1]]


def test_a_line_taken_for_another_is_named():
    """MgII of a quasar at z = 1, taken for CIV."""
    z_found = LINES["MgII(2796)"] * 2.0 / LINES["CIV(1548)"] - 1
    predicted = test_set.Predicted(
        np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]]), np.array([z_found, z_found, 1.0]), np.zeros((3, 0))
    )
    names = gallery.mistaken_lines(predicted, np.array([1.0, 1.1, 1.0]), np.arange(3), NAMES["lines"])
    assert names == ["MgII(2796) for CIV(1548)", "", ""]


@pytest.mark.parametrize("confidence", [np.nan, 0.0])
def test_a_model_that_says_nothing(confidence):
    tested, predicted = planted()
    predicted.confidence[:] = confidence
    errors = gallery.find_errors(tested, predicted)
    assert errors.wrong.sum(axis=1).tolist() == ([0, 0, 0, 0] if np.isnan(confidence) else [8, 0, 0, 0])
    assert gallery.redshift_counts(tested, predicted, errors.called).empty


@pytest.fixture
def study(make, tmp_path):
    """Two sizes and three replicates of one optimizer; the first replicate of the largest has diverged."""
    made = make(np.random.default_rng(5), n=150)
    columns = {name: getattr(made.tested, name) for name in ("z", "label", "bal", "target_id", "snr")}
    Spectra(np.zeros((150, 443)), **columns).save(tmp_path / "spectra.h5")
    paths = []
    for fraction in (0.1, 0.4):
        for replicate in range(3):
            paths.append(tmp_path / f"{fraction}_{replicate}.h5")
            with h5py.File(paths[-1], "w") as file:
                run = {"fraction": fraction, "replicate": replicate, "optimizer": "adam", "network": NAMES}
                file.attrs["run"], file["row"] = json.dumps(run), np.arange(150)
                for model in ("final", "best"):
                    diverged = (fraction, replicate, model) == (0.4, 0, "final")
                    other = make(np.random.default_rng(5), n=150, separation=2.0).predicted
                    file[f"{model}/confidence"] = other.confidence ** (1 + replicate) * (np.nan if diverged else 1)
                    file[f"{model}/z_best"], file[f"{model}/bal_confidence"] = other.z_best, other.bal_confidence
    return tmp_path, paths


def test_tables_of_a_study(study):
    folder, paths = study
    written = [folder / f"{name}.csv" for name in TABLES]
    gallery.write(paths, folder / "spectra.h5", *written)
    found = {name: tables.read(path) for name, path in zip(TABLES, written, strict=True)}
    assert len(found["confusion"]) == 6 * 2 * 2 * 5
    assert len(found["error_counts"]) == 6 * 2 * 4
    examples = found["examples"]
    # the first replicate says nothing, so that the second is looked at
    assert examples[["fraction", "replicate"]].drop_duplicates().to_numpy().tolist() == [[0.4, 1]]
    assert (examples.groupby("kind").size() <= gallery.WORST).all()
    assert examples["wrong_in"].between(1, 2).all()
    assert (examples["replicates"] == 3).all()
    lost = found["confusion"].query("fraction == 0.4 and replicate == 0 and model == 'final' and n_detect == 1")
    assert (lost["unusable"] == lost["spectra"]).all()
    called = found["confusion"].query("fraction == 0.4 and replicate == 1 and model == 'final' and n_detect == 1")
    sums = called[["right_redshift", "wrong_redshift"]].to_numpy().sum()
    assert found["redshift_counts"]["spectra"].sum() == sums


def test_a_study_without_errors_has_tables_all_the_same(study):
    folder, paths = study
    spectra = Spectra.load(folder / "spectra.h5")
    spectra.label[:] = 4
    spectra.save(folder / "spectra.h5")
    written = [folder / f"{name}.csv" for name in TABLES]
    gallery.write(paths, folder / "spectra.h5", *written)
    assert tables.read(written[0]).empty
    assert (pd.read_csv(written[2])["among"] == 0).all()
