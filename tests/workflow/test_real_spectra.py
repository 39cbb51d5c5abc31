"""Trained on spectra of one format, tried on those of another: the way from a study to a table of quasars."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table

from quasarcurves import cli

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_network_trained_on_a_pair_of_files_finds_the_quasars_of_spec_files(tmp_path, snakemake, survey, monkeypatch):
    """At least 90 % of the 39 quasars among the 40 spectra within 6000 km/s and with c > 0.5.

    This is no independent test: the templates of boss_like are fits to most of the real quasars, and made-up ones are
    all alike. It shows that the way from training files to classified spectra is whole, not how well the network does
    on the sky.
    """
    config = yaml.safe_load((ROOT / "workflow" / "studies" / "boss_like.yaml").read_text())
    for key in ("spectra", "truth"):
        config["data"][key] = [str(survey / "boss_like" / Path(name).name) for name in config["data"][key]]
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    run = tmp_path / "results" / "boss_like" / "runs" / "f0.85_r0" / "adam"
    target = str((run / "model.keras").relative_to(tmp_path))
    result = snakemake(tmp_path, "--cores", 1, target, timeout=3600)
    assert result.returncode == 0, result.stdout
    monkeypatch.chdir(tmp_path)
    assert cli.main(["predict", "--model", "f0.85_r0/adam", str(survey / "sdss_spec"), "--out", "qn.fits"]) == 0
    table, truth = Table.read("qn.fits", hdu=1), Table.read(survey / "sdss_spec" / "catalogue.csv")
    key = (truth["plate"] * 100000 + truth["mjd"]) * 10000 + truth["fiber"]
    assert sorted(key) == sorted(table["TARGETID"])
    z = truth["z"][np.argsort(key)][np.searchsorted(np.sort(key), table["TARGETID"])]
    # the one that is no quasar is a galaxy at z = 0.05
    is_quasar = z > 0.1
    assert is_quasar.sum() == 39
    dv = 3e5 * (table["ZBEST"] - z) / (1 + z)
    confidence = np.max([table[name] for name in table.colnames if name.startswith("C_") and "BAL" not in name], axis=0)
    found = (np.abs(dv) < 6000) & (confidence > 0.5)
    lost = [f"z {each:.3f}: {best:.3f}, {c:.2f}" for each, best, c in zip(z, table["ZBEST"], confidence, strict=True)]
    missed = [text for text, is_lost in zip(lost, is_quasar & ~found, strict=True) if is_lost]
    print(
        f"{found[is_quasar].sum()} of 39 found, median dv {np.median(dv[is_quasar & found]):.0f} km/s; missed: {missed}"
    )
    assert found[is_quasar].mean() >= 0.9, missed
