"""The page for Keras scripts: its code runs as it stands, with fewer epochs, and its figures are those measured."""

import re
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from quasarcurves import cli
from quasarcurves.training.history import History
from support import keras_fits

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "keras.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TEN_LINES, UPSTREAM, READ, SEVERAL = BLOCKS


def run(block: str, **names) -> dict:
    """Run a block with two epochs."""
    exec(re.sub(r"epochs=\d+", "epochs=2, verbose=0", block), names)
    return names


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder where the first block has been run, and what it has made."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        keras.utils.set_random_seed(1)
        return folder, run(TEN_LINES)


def test_an_answer_takes_ten_lines(folder):
    answer = [line for line in TEN_LINES.splitlines() if line] + ["quasarcurves diagnose run.h5"]
    assert len(answer) <= 10
    assert (folder[0] / "run.h5").is_file()


def test_the_file_is_diagnosed(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["quasarcurves", "diagnose", str(folder[0] / "run.h5")])
    assert cli.main() in {0, None}
    assert "examples 1000" in capsys.readouterr().out.replace(",", "").replace("\n", " ")


def test_the_history_is_read(folder, monkeypatch):
    monkeypatch.chdir(folder[0])
    history = run(READ)["history"]
    assert len(history.steps["loss"]) == 2 * 32


@pytest.mark.slow
def test_several_are_collected(folder, monkeypatch):
    monkeypatch.chdir(folder[0])
    run(SEVERAL, **{name: folder[1][name] for name in ("keras", "x", "y")})
    assert sorted(pd.read_csv("runs.csv")["n_train"]) == [500, 1000]


@pytest.mark.slow
def test_the_published_script_takes_three_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, data = keras_fits.seven_heads()
    names = dict(zip(("flux", "boxes", "weights"), data.values(), strict=True))
    lines = {"lines": [*"abcdef"], "bal_lines": [*"g"], "line_loss": keras_fits.squares}
    run(UPSTREAM, quasarnet=lambda outputs: model, Adam=keras.optimizers.Adam, **names, **lines)
    assert [*map(int, re.findall(r"# (\d)$", UPSTREAM, re.MULTILINE))] == [1, 2, 3]
    assert np.isfinite(History.load("quasarnet.h5").steps["square_over_past"]).all()


def test_costs_are_those_measured():
    names = {"tensorflow": "TensorFlow", "jax": "JAX"}
    table = []
    for row in pd.read_csv(ROOT / "benchmarks" / "recorder.csv").itertuples():
        ratios = row.processor_ratio, row.processor_ratio_low, row.processor_ratio_high
        middle, low, high = (f"{100 * ratio - 100:.1f}" for ratio in ratios)
        cells = names[row.backend], row.filters, row.batch, f"{row.processor_ms:.1f}", f"{middle} % ({low} to {high})"
        table.append(f"| {' | '.join(map(str, cells))} |")
    assert [line for line in PAGE.splitlines() if line in table] == table
