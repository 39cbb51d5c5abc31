"""A study on DESI's linear grid, from preparing to a table of redshifts made with the exported network."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from quasarcurves import cli
from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.trained_network import Trained
from quasarcurves.spectra import sources
from quasarcurves.spectra.grid import LINEAR, normalise
from quasarcurves.spectra.table import Spectra

pytestmark = pytest.mark.slow

STUDY = """
study: {name: linear, seed: 1}
data: {source: simulated, n_spectra: 160}
subsets: {test_fraction: 0.2, validation_fraction: 0.1, fractions: [0.6]}
network: {filters: 6, grid: GRID}
training: {epochs: 4, batch_size: 32}
optimizers: {adam: {class: Adam, learning_rate: 1.0e-3}}
"""
RUN = "runs/f0.6_r0/adam"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, snakemake):
    folder = tmp_path_factory.mktemp("linear")
    (folder / "study.yaml").write_text(STUDY.replace("GRID", "linear"))
    wanted = [f"results/linear/{name}" for name in (f"{RUN}/predictions.h5", "figures/gallery_adam.png")]
    result = snakemake(folder, *wanted, "--cores", 2, "--configfile", "study.yaml")
    assert result.returncode == 0, result.stdout
    return folder


def test_spectra_and_models_are_on_the_grid_of_the_study(folder):
    results = folder / "results" / "linear"
    assert Spectra.load(results / "data" / "spectra.h5").grid == LINEAR
    trained = Trained.load(results / RUN / "model.keras")
    assert trained.grid == LINEAR
    with h5py.File(results / RUN / "predictions.h5") as file:
        spectra = Spectra.load(results / "data" / "spectra.h5", file["row"][:])
        np.testing.assert_allclose(file["final/z_best"][:], trained.apply(spectra.flux).z_best, rtol=1e-4)


def test_another_grid_prepares_the_spectra_anew(folder, snakemake):
    (folder / "other.yaml").write_text(STUDY.replace("GRID", "logarithmic"))
    result = snakemake(folder, f"results/linear/{RUN}/history.h5", "--configfile", "other.yaml", "-n")
    assert result.returncode == 0, result.stdout
    for rule in ("prepare_spectra", "draw_subset", "train"):
        assert rule in result.stdout


def test_the_exported_network_reads_spectra_on_its_own_grid(folder, made_up, monkeypatch):
    monkeypatch.chdir(folder)
    model = ["--model", f"results/linear/{RUN}/model.keras"]
    assert cli.main(["export", model[1], "--quasarnp", "network.h5"]) == 0
    with h5py.File("network.h5") as file:
        np.testing.assert_array_equal(file["model_grid"][:], LINEAR.wavelength)
        assert json.loads(file.attrs["model_config"])["config"]["layers"][0]["config"]["batch_input_shape"] == [
            None,
            458,
            1,
        ]
    coadd = str(made_up / "desi" / "test_coadd.fits")
    found = []
    for which in (model, ["--model", "network.h5"]):
        assert cli.main(["predict", *which, coadd, "--out", "qn.fits", "--overwrite"]) == 0
        found.append(Table.read("qn.fits", hdu=1))
    assert np.isfinite(found[0]["ZBEST"]).sum() > 20
    np.testing.assert_allclose(found[0]["ZBEST"], found[1]["ZBEST"], rtol=1e-4)
    assert found[0].meta["MODELID"] == found[1].meta["MODELID"]


def test_networks_on_different_grids_are_compared(folder, made_up, monkeypatch, capsys):
    """The network of the study with itself, and with one on the other grid: each reads the spectra on its own."""
    monkeypatch.chdir(folder)
    model = f"results/linear/{RUN}/model.keras"
    trained = Trained.load(model)
    other = network.build(filters=4)
    Trained(other, trained.lines, trained.bal_lines, "other").save("other.keras")
    desi = [str(made_up / "desi" / "test_coadd.fits")]
    assert cli.main(["compare", model, model, *desi, "--out", "same"]) == 0
    assert "0 change (0 %): 0 newly called quasars" in capsys.readouterr().out
    sdss = [str(made_up / "sdss_spec"), "--catalogue", str(made_up / "sdss_spec" / "catalogue.csv")]
    assert cli.main(["compare", model, "other.keras", *sdss, "--threshold", "0.1", "--out", "grids"]) == 0
    said = capsys.readouterr().out
    changes, scores = pd.read_csv("grids/changes.csv"), pd.read_csv("grids/scores.csv")
    assert f" {len(changes)} change (" in said
    assert {"completeness", "purity"} <= set(scores["metric"])
    equal = pd.read_csv("grids/thresholds.csv").set_index("metric")
    at_rule = scores[scores["sample"] == "all"].set_index("metric")["before"]
    assert equal["target"].to_dict() == pytest.approx(at_rule[equal.index].to_dict(), abs=1e-6)
    assert "network in use" in said
    for each, which in ((trained, "before"), (Trained.load("other.keras"), "after")):
        config = {"source": "sdss", "spectra": sdss[0], "grid": each.grid.to_json()}
        binned = next(sources.read_binned(config, 100))
        z = each.apply(normalise(binned.flux, binned.ivar)[0]).z_best
        np.testing.assert_allclose(changes[f"z_{which}"], z[changes["row"]], rtol=1e-4, atol=1e-4)
    page = Path("grids/comparison.html").read_text()
    assert "458 bins of 13.6 Angstrom" in page
    assert "443 bins of 0.001" in page
    assert cli.main(["compare", model, model, *desi, "--out", "same"]) == 1
    assert "exists; expected another name, or --overwrite" in capsys.readouterr().err
