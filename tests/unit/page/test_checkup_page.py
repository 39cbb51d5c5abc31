"""The page of `quasarcurves diagnose`: it holds all that the terminal says, the curves, and nothing from elsewhere."""

import base64
import gzip
import html
import json
import re

import numpy as np
import pytest

from quasarcurves import cli
from quasarcurves.analysis.checkup import diagnose
from quasarcurves.page import checkup as page

LOSS = 2 / (1 + np.arange(100) / 6) * np.exp(0.02 * np.random.default_rng(0).standard_normal(100))
SPIKED = LOSS * np.where((np.arange(100) >= 60) & (np.arange(100) < 62), 6, 1)


def text_of(path):
    return html.unescape(path.read_text())


def data_of(path):
    packed = re.search(r'id="packed-curves">([^<]*)<', path.read_text())[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_the_page_says_what_the_terminal_says(tmp_path):
    found = diagnose({"plain": LOSS, "spiked": SPIKED})
    page.write(found, [], tmp_path / "a.html")
    text = text_of(tmp_path / "a.html")
    assert "Of 2 curves 1 spike, 0 have converged, 0 overfit" in text
    said = [reply.sentence for own in found.replies for reply in own.values()]
    for each in (*said, *found.advice, *found.untold, *found.curves[0].curve.notes):
        assert each in text
    assert re.search(r'class="chip no">1 tall rise<', text)
    assert re.search(r'class="chip yes">no spike<', text)


def test_the_page_holds_the_curves_and_marks_their_spikes(tmp_path):
    page.write(diagnose(SPIKED, np.where(np.arange(100) % 5 == 4, LOSS, np.nan)), [], tmp_path / "a.html")
    data = data_of(tmp_path / "a.html")
    (curve,) = data["curves"]
    np.testing.assert_allclose(curve["losses"]["y"], SPIKED, rtol=1e-5)
    assert curve["losses"]["x"][:2] == [1.0, 2.0]
    assert (len(curve["validation"]["x"]), data["unit"], data["log"]) == (20, "epoch", True)
    assert curve["tall"]["x"][0] in (61.0, 62.0)


def test_long_curves_are_thinned_and_keep_their_spikes(tmp_path):
    loss = np.ones(200_000)
    loss[123_456] = 9
    loss[150_000:] = np.nan
    page.write(diagnose(loss), [], tmp_path / "a.html")
    (curve,) = data_of(tmp_path / "a.html")["curves"]
    assert 9.0 in curve["losses"]["y"]
    assert curve["losses"]["y"][-1] is None
    assert len(curve["losses"]["y"]) <= 60_002


@pytest.mark.parametrize("loss", [[1.0], [-1.0, 2.0], [np.nan, np.inf], [0.0, 0.0]])
def test_what_cannot_be_judged_has_a_page_too(tmp_path, loss):
    page.write(diagnose(np.array(loss)), [], tmp_path / "a.html")
    assert "Cannot be told" in text_of(tmp_path / "a.html")


def test_names_are_text_and_nothing_comes_from_elsewhere(tmp_path):
    page.write(diagnose({"<script>alert(1)</script>": LOSS}), [], tmp_path / "a.html")
    source = (tmp_path / "a.html").read_text()
    assert "<script>alert" not in source
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", source)


def test_the_command_writes_it_once(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("epoch,loss\n" + "".join(f"{i},{value}\n" for i, value in enumerate(LOSS)))
    command = ["diagnose", "a.csv", "--out", "a.html"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.endswith("With the curves: a.html\n")
    assert "SHA-256" in (tmp_path / "a.html").read_text()
    assert cli.main(command) == 1
    assert capsys.readouterr().err == "error: a.html: exists; expected another name, or --overwrite\n"
    assert cli.main([*command, "--overwrite"]) == 0
