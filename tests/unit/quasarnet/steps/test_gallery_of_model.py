"""The gallery of predictions and of runs: errors are those of the truth, flux is that of the files, pages are there."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from quasarcurves.quasarnet.metrics import has_good_redshift
from quasarcurves.quasarnet.objective import LINES
from quasarcurves.quasarnet.steps import gallery
from quasarcurves.quasarnet.steps.prediction import predict
from quasarcurves.quasarnet.trained_network import Trained
from quasarcurves.spectra import Spectra, sources
from quasarcurves.spectra.grid import N_BINS, normalise


@pytest.fixture(scope="module")
def classified(made_up, tmp_path_factory):
    """A table of predictions for the pair of files of QuasarNET, with their truth."""
    pair, path = made_up / "boss_like", tmp_path_factory.mktemp("gallery") / "qn.fits"
    config = {"source": "quasarnet_fits", "spectra": str(pair / "data.fits")}
    predict(Trained.load(made_up / "desi" / "test_weights.h5"), config, path)
    return config, path, pair / "truth.fits"


@pytest.fixture(scope="module")
def model(classified):
    return gallery.Model.of_table(classified[1], [classified[2]])


def test_errors_are_those_of_the_truth(classified, model):
    config, path, truth = classified
    known = Spectra.concatenate([*sources.read_chunks({**config, "truth": [str(truth)]})])
    assert len(model.rows) == len(known)
    np.testing.assert_array_equal(model.tested.label, known.label)
    table = fits.getdata(path)[model.rows]
    counts = model.tables(5)["error_counts"].set_index("kind")["errors"]
    assert counts["missed"] == np.sum(known.is_quasar & ~table["IS_QSO"])
    wrong = known.is_quasar & table["IS_QSO"] & ~has_good_redshift(table["ZBEST"], known.z)
    assert counts["redshift"] == wrong.sum()
    assert counts["missed"] > 0


def test_flux_is_that_of_the_file(classified, model):
    config, path, _ = classified
    examples = model.tables(5)["examples"]
    block = fits.getdata(config["spectra"])[examples["row"]].astype(float)
    expected, _ = normalise(block[:, :N_BINS], block[:, N_BINS:])
    np.testing.assert_allclose(gallery.read_flux(config, examples), expected, rtol=1e-5, atol=1e-5)
    assert fits.getdata(path)["TARGETID"][examples["row"]].tolist() == examples["target_id"].tolist()
    assert gallery.read_flux(config, examples.iloc[:0]).shape == (0, N_BINS)


def test_pages_and_tables_are_written(classified, model, tmp_path):
    found = model.tables(1)
    pages = gallery.write(model, gallery.read_flux(classified[0], found["examples"]), found, tmp_path / "new")
    assert [page.name for page in pages] == ["overview.png", "missed.png", "contaminant.png", "redshift.png", "bal.png"]
    assert all(page.stat().st_size > 3000 for page in pages)
    written = pd.read_csv(tmp_path / "new" / "examples.csv")
    assert written["target_id"].tolist() == found["examples"]["target_id"].tolist()


def test_a_catalogue_of_other_objects_is_refused(classified, made_up, tmp_path):
    with fits.open(classified[2]) as hdus:
        hdus[1].data["THING_ID"] += 10**9
        hdus.writeto(tmp_path / "truth.fits")
    with pytest.raises(ValueError, match=r"truth.fits: knows none of the 2000 spectra in .*qn.fits"):
        gallery.Model.of_table(classified[1], [tmp_path / "truth.fits"])
    with pytest.raises(ValueError, match="expected one catalogue for spectra of sdss"):
        sources.read_truth("sdss", [tmp_path / "a", tmp_path / "b"])


def test_a_run_is_read_by_its_name(tmp_path):
    path = tmp_path / "runs" / "f0.8_r0" / "adam" / "predictions.h5"
    path.parent.mkdir(parents=True)
    (tmp_path / "data").mkdir()
    flux = np.random.default_rng(0).standard_normal((6, N_BINS))
    Spectra(flux, [0, 1, 2.5, 3, 1, 0.2], [0, 1, 3, 3, 2, 1], np.zeros(6), np.arange(6), np.ones(6)).save(
        tmp_path / "data" / "spectra.h5"
    )
    with h5py.File(path, "w") as file:
        network = {"lines": list(LINES), "bal_lines": ["CIV(1548)"]}
        file.attrs["run"] = json.dumps({"fraction": 0.8, "replicate": 0, "optimizer": "adam", "network": network})
        file["row"] = np.array([3, 1, 4])
        for name in ("final", "best"):
            file[f"{name}/confidence"], file[f"{name}/bal_confidence"] = np.full((3, 6), 0.1), np.zeros((3, 1))
            file[f"{name}/z_best"] = np.ones(3)
    model = gallery.Model.of_run(tmp_path, "f0.8_r0/adam", "best")
    found = model.tables(9)
    assert found["examples"]["row"].tolist() == [3, 4]
    np.testing.assert_allclose(
        gallery.prepared_flux(tmp_path / "data" / "spectra.h5", found["examples"]), flux[[3, 4]], rtol=1e-6
    )
    with pytest.raises(FileNotFoundError, match=r"no such file; there are predictions of f0.8_r0/adam"):
        gallery.Model.of_run(tmp_path, "f0.8_r0/sgd", "final")
