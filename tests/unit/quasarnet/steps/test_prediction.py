"""Classifying spectra: tables against a network applied by hand, for every source."""

import tracemalloc
from dataclasses import replace

import keras
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from scipy.special import expit, logit

from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.calibration import Scaling
from quasarcurves.quasarnet.objective import LINES, decode
from quasarcurves.quasarnet.steps.prediction import predict
from quasarcurves.quasarnet.trained_network import Trained
from quasarcurves.spectra import sources
from support.spectra_files import write_pair_spectra

NAMES = ["LYA", "CIV", "CIII", "MgII", "Hbeta", "Halpha"]


def read(path):
    """The table, NaN as NaN: astropy would mask them."""
    return Table.read(path, hdu=1, mask_invalid=False)


@pytest.fixture(scope="module")
def trained(made_up):
    return Trained.load(made_up / "desi" / "test_weights.h5")


@pytest.fixture
def desi(made_up):
    return {"source": "desi", "spectra": str(made_up / "desi" / "test_coadd.fits")}


def test_a_coadd_as_by_hand(survey, tmp_path):
    trained = Trained.load(survey / "desi" / "test_weights.h5")
    desi = {"source": "desi", "spectra": str(survey / "desi" / "test_coadd.fits")}
    counts = predict(trained, desi, tmp_path / "qn.fits")
    table = read(tmp_path / "qn.fits")
    names = ["TARGETID", "ZBEST", "IS_QSO", *(f"C_{name}" for name in NAMES), *(f"Z_{name}" for name in NAMES)]
    assert table.colnames == [*names, "C_BAL_CIV", "Z_BAL_CIV", "SNR", "FLAG"]
    x = np.load(survey / "desi" / "coadd_x.npy")
    outputs = np.asarray(trained.model(x[..., None].astype(np.float32), training=False))
    expected = decode(outputs, trained.lines, trained.bal_lines)
    rows = np.delete(np.arange(25), 11)
    assert table["TARGETID"].tolist() == list(range(25))
    np.testing.assert_allclose(table["ZBEST"][rows], expected.z_best, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(table["IS_QSO"][rows], (expected.confidence > 0.5).any(axis=1))
    for k, name in enumerate(NAMES):
        np.testing.assert_allclose(table[f"C_{name}"][rows], expected.confidence[:, k], rtol=0, atol=1e-5)
        sure = expected.confidence[:, k] > 0.1
        np.testing.assert_allclose(table[f"Z_{name}"][rows][sure], expected.z_line[sure, k], rtol=0, atol=1e-4)
    np.testing.assert_allclose(table["C_BAL_CIV"][rows], expected.bal_confidence[:, 0], rtol=0, atol=1e-5)
    assert (counts.spectra, counts.quasars, counts.unusable) == (25, table["IS_QSO"].sum(), 1)
    assert 0 < counts.quasars < 24


def test_probabilities_are_the_scaled_confidences_and_call_the_quasars(trained, desi, tmp_path):
    scalings = {"1": Scaling(0.5, -1.0, 200, 90), "2": Scaling(2.0, 0.0, 200, 90)}
    calibrated = replace(trained, scalings=scalings)
    predict(calibrated, desi, tmp_path / "qn.fits", n_detect=2, threshold=0.3, calibrated=True)
    table, plain = read(tmp_path / "qn.fits"), tmp_path / "plain.fits"
    predict(calibrated, desi, plain, n_detect=2, threshold=0.3)
    assert set(table.colnames) - set(read(plain).colnames) == {"P_QSO"}
    second = np.sort(np.stack([table[f"C_{name}"] for name in NAMES]), axis=0)[-2].astype(np.float64)
    known = table["FLAG"] == 0
    expected = expit(2.0 * logit(np.clip(second, 1e-7, 1 - 1e-7)))
    np.testing.assert_allclose(table["P_QSO"][known], expected[known], atol=1e-5)
    np.testing.assert_array_equal(table["IS_QSO"], known & (table["P_QSO"] > 0.3))
    assert np.isnan(table["P_QSO"][~known]).all() and (~known).any()
    header = fits.getheader(tmp_path / "qn.fits", 1)
    assert (header["CALSLOPE"], header["CALOFFS"], header["CALN"]) == (2.0, 0.0, 200)
    assert "CALSLOPE" not in fits.getheader(plain, 1)


def test_a_network_that_is_not_calibrated_is_refused(trained, desi, tmp_path):
    with pytest.raises(ValueError, match=r"not calibrated for 3 lines \(for 1\)"):
        predict(
            replace(trained, scalings={"1": Scaling(0.5, -1.0, 200, 90)}), desi, tmp_path / "qn.fits", n_detect=3,
            calibrated=True,
        )  # fmt: skip
    assert not (tmp_path / "qn.fits").exists()


def test_a_spectrum_without_signal_keeps_its_row(trained, desi, tmp_path):
    """Fibre 11 has ivar 0."""
    predict(trained, desi, tmp_path / "qn.fits")
    table = read(tmp_path / "qn.fits")
    assert np.flatnonzero(table["FLAG"]).tolist() == [11]
    assert (table["FLAG"][11], table["IS_QSO"][11], table["SNR"][11]) == (1, False, 0)
    for name in ("ZBEST", "C_LYA", "Z_Halpha", "C_BAL_CIV", "Z_BAL_CIV"):
        assert np.flatnonzero(np.isnan(table[name])).tolist() == [11], name


def test_planted_defects_are_flagged_and_nothing_else_is_left_out(trained, survey, tmp_path):
    """The rows with ivar 0 (15) and constant flux (10); unknown and missing ids are classified."""
    with fits.open(survey / "boss_like" / "data.fits") as hdus:
        block, ids = np.array(hdus[0].data), np.array(hdus[1].data["TARGETID"])
    flux, ivar = block[:, :443], block[:, 443:]
    empty = (ivar == 0).all(axis=1)
    constant = ~empty & (np.ptp(np.where(ivar > 0, flux, flux[:, :1]), axis=1) == 0)
    assert (empty.sum(), constant.sum()) == (15, 10)
    rows = np.flatnonzero(empty | constant | (ids == -1) | (np.arange(len(ids)) % 100 == 0))
    hdus = [fits.PrimaryHDU(block[rows]), fits.BinTableHDU(Table({"TARGETID": ids[rows]}))]
    fits.HDUList(hdus).writeto(tmp_path / "data.fits")
    config = {"source": "quasarnet_fits", "spectra": str(tmp_path / "data.fits")}
    counts = predict(trained, config, tmp_path / "qn.fits", rows=16)
    table = read(tmp_path / "qn.fits")
    assert table["TARGETID"].tolist() == ids[rows].tolist()
    np.testing.assert_array_equal(table["FLAG"], empty[rows] + 2 * constant[rows])
    np.testing.assert_array_equal(np.isfinite(table["ZBEST"]), table["FLAG"] == 0)
    assert (table["TARGETID"] == -1).sum() == 20
    assert (counts.spectra, counts.unusable) == (len(rows), 25)


def test_sdss_quasars_are_found(survey, tmp_path):
    """39 of the 40 are quasars; the published network was trained on such spectra, the other is made for them."""
    trained = Trained.load(survey / "desi" / "test_weights.h5")
    config = {"source": "sdss", "spectra": str(survey / "sdss_spec")}
    predict(trained, config, tmp_path / "qn.fits", rows=15)
    table = read(tmp_path / "qn.fits")
    truth = Table.read(survey / "sdss_spec" / "catalogue.csv")
    key = truth["plate"] * 10**9 + truth["mjd"] * 10**4 + truth["fiber"]
    truth = truth[[np.flatnonzero(key == each)[0] for each in table["TARGETID"]]]
    assert len(truth) == 40
    dv = 3e5 * (table["ZBEST"] - truth["z"]) / (1 + truth["z"])
    good = table["IS_QSO"] & (np.abs(dv) < 6000)
    assert good[truth["z"] > 0.1].sum() >= 37


def test_the_size_of_a_part_changes_nothing(trained, desi, tmp_path):
    predict(trained, desi, tmp_path / "whole.fits")
    predict(trained, desi, tmp_path / "parts.fits", rows=3)
    whole, parts = (read(tmp_path / f"{name}.fits") for name in ("whole", "parts"))
    for name in whole.colnames:
        np.testing.assert_allclose(parts[name], whole[name], rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(("threshold", "n_detect"), [(0.5, 1), (0.9, 1), (0.2, 2), (0.0, 6), (1.0, 1)])
def test_a_quasar_has_enough_confident_lines(trained, desi, tmp_path, threshold, n_detect):
    predict(trained, desi, tmp_path / "qn.fits", threshold=threshold, n_detect=n_detect)
    table = read(tmp_path / "qn.fits")
    lines = sum((table[f"C_{name}"] > threshold).astype(int) for name in NAMES)
    np.testing.assert_array_equal(table["IS_QSO"], lines >= n_detect)
    assert (table.meta["THRESH"], table.meta["NDETECT"]) == (threshold, n_detect)


def test_the_header_says_what_was_done(trained, desi, tmp_path):
    predict(trained, desi, tmp_path / "qn.fits", threshold=0.25, n_detect=2)
    with fits.open(tmp_path / "qn.fits") as hdus:
        header = hdus["QUASARNET"].header
        hdus.verify("exception")
    assert (header["MODELID"], header["MODEL"]) == (trained.id, "test_weights.h5")
    assert (header["THRESH"], header["NDETECT"], header["SOURCE"]) == (0.25, 2, "desi")
    assert header["LINES"] == "LYA,CIV(1548),CIII(1909),MgII(2796),Hbeta,Halpha"
    assert header["BALLINES"] == "CIV(1548)"
    assert "FLAG: 0 classified" in str(header["COMMENT"])


def test_progress_goes_from_nothing_to_all(trained, desi, tmp_path):
    told = []
    predict(trained, desi, tmp_path / "qn.fits", rows=10, progress=lambda *now: told.append(now))
    assert told == [(0.4, 10), (0.8, 20), (1.0, 25)]


def test_one_part_is_in_memory_at_a_time(trained, desi, tmp_path, monkeypatch):
    """A part is read only once the one before it is done with."""
    sizes, classified = [], []
    read = sources.read_binned

    def watched(config, rows):
        for binned in read(config, rows):
            assert len(classified) == len(sizes)
            sizes.append(len(binned))
            yield binned

    def apply(self, flux):
        classified.append(len(flux))
        return original(self, flux)

    original = Trained.apply
    monkeypatch.setattr("quasarcurves.quasarnet.steps.prediction.read_binned", watched)
    monkeypatch.setattr(Trained, "apply", apply)
    predict(trained, desi, tmp_path / "qn.fits", rows=4)
    assert classified == sizes == [4, 4, 4, 4, 4, 4, 1]


@pytest.mark.slow
def test_ten_times_as_many_spectra_need_no_more_memory(tmp_path):
    rng = np.random.default_rng(0)
    for name, n in {"few": 800, "many": 8000}.items():
        write_pair_spectra(tmp_path / f"{name}.fits", np.arange(n), rng.normal(size=(n, 443)), np.ones((n, 443)))
    keras.utils.set_random_seed(1)
    trained = Trained(network.build(filters=2), list(LINES), ["CIV(1548)"])
    peaks = []
    for path in (tmp_path / "few.fits", tmp_path / "few.fits", tmp_path / "many.fits"):
        tracemalloc.start()
        predict(trained, {"source": "quasarnet_fits", "spectra": str(path)}, tmp_path / "qn.fits", rows=256)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # the first call compiles; 7,200 spectra more would be 25 MB in float32, their table 1 MB
    assert peaks[2] < peaks[1] + 4e6, peaks


def test_nothing_is_left_of_a_failure(trained, desi, tmp_path, monkeypatch):
    def fail(config, rows):
        yield next(sources.read_binned(config, rows))
        raise OSError("coadd.fits: cannot be read")

    monkeypatch.setattr("quasarcurves.quasarnet.steps.prediction.read_binned", fail)
    with pytest.raises(OSError, match="cannot be read"):
        predict(trained, desi, tmp_path / "qn.fits", rows=10)
    assert not list(tmp_path.iterdir())
