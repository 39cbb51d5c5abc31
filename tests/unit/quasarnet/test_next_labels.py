"""The command that says which spectra to label next."""

import re

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from quasarcurves import cli
from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.analysis.labelling import disagreement
from quasarcurves.quasarnet.objective import LINES
from quasarcurves.quasarnet.trained_network import BAL_LINES, Trained
from quasarcurves.spectra import sources
from quasarcurves.spectra.grid import normalise

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path, monkeypatch, made_up):
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        model, rng = network.build(filters=4), np.random.default_rng(seed)
        model.set_weights([rng.normal(0, 0.3, each.shape) if each.ndim != 1 else each for each in model.get_weights()])
        Trained(model, list(LINES), BAL_LINES).save(f"{seed}.keras")
    (tmp_path / "coadd.fits").symlink_to(made_up / "desi" / "test_coadd.fits")
    return tmp_path


def call(capsys, *words):
    code = cli.main(["next-labels", "coadd.fits", *words])
    said = capsys.readouterr()
    return code, said.out + said.err


MODELS = ("--models", "0.keras", "1.keras", "2.keras")


def test_the_table_has_what_networks_disagree_on(folder, capsys):
    code, text = call(capsys, *MODELS, "--out", "next.csv", "--n", "7")
    assert code == 0, text
    table = pd.read_csv("next.csv")
    (binned,) = sources.read_binned({"source": "desi", "spectra": "coadd.fits"})
    flux, usable = normalise(binned.flux, binned.ivar)
    confidence = [Trained.load(f"{seed}.keras").apply(flux).confidence.max(axis=1) for seed in range(3)]
    expected = np.where(usable, disagreement(np.array(confidence)), -1)
    rows = np.argsort(-expected, kind="stable")[:7]
    assert list(table["row"]) == list(rows)
    assert list(table["target_id"]) == list(binned.key[rows])
    np.testing.assert_allclose(table["disagreement"], expected[rows], rtol=1e-4, atol=1e-6)
    share = int(re.search(r"(\d+)% of the disagreement of 3 networks", text)[1])
    assert share == pytest.approx(100 * expected[rows].sum() / expected[expected > 0].sum(), abs=0.6)


def test_what_has_a_label_is_left_out(folder, capsys):
    assert call(capsys, *MODELS, "--out", "all.csv", "--n", "1000")[0] == 0
    every = pd.read_csv("all.csv")["target_id"]
    labelled = every[:3].to_numpy()
    Table({"TARGETID": labelled, "Z": [1.0] * 3, "SPECTYPE": ["QSO"] * 3}).write("zcat.fits")
    code, text = call(capsys, *MODELS, "--out", "next.csv", "--n", "1000", "--labelled", "zcat.fits")
    assert code == 0
    assert "3 have a label" in text
    assert set(pd.read_csv("next.csv")["target_id"]) == set(every) - set(labelled)
    Table({"TARGETID": every, "Z": np.ones(len(every)), "SPECTYPE": ["QSO"] * len(every)}).write("whole.fits")
    code, text = call(capsys, *MODELS, "--out", "none.csv", "--labelled", "whole.fits")
    assert code == 1
    assert re.search(r"coadd\.fits: none of \d+ spectra has a signal and no label", text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--models", "0.keras", "--out", "next.csv"), r"--models \(1\).*expected two or more models"),
        ((*MODELS, "--out", "next.txt"), r"next\.txt: expected a name that ends in \.csv"),
        ((*MODELS, "--out", "next.csv", "--n", "0"), r"--n 0 .*1 or more"),
        (("--models", "0.keras", "none.keras", "--out", "next.csv"), r"none\.keras: no such file"),
    ],
)
def test_what_is_refused(folder, capsys, words, message):
    code, text = call(capsys, *words)
    assert code == 1
    assert re.search(message, text), text
