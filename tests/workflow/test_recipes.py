"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the repository: each works, and is short."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml

from quasarcurves.spectra.table import Spectra
from quasarcurves.training.history import History

ROOT = Path(__file__).parents[2]
MOST_LINES_ELSEWHERE = 2
LEAST_SNR = 2.5
STUDY = {
    "data": {"source": "bright", "n_spectra": 400, "least_snr": LEAST_SNR},
    "training": {"epochs": 15, "batch_size": 16, "validate_every": 5, "checkpoint_every": 10},
    "optimizers": {
        "adam": {"class": "Adam", "learning_rate": 1e-3},
        "signs": {"class": "SignMomentum", "learning_rate": 1e-4},
    },
    "figures": {"loss_histogram": {"bins": 7}},
}


@dataclass(frozen=True)
class Block:
    """Code of a recipe: the file it goes into, and the line of it above which it is put; a new file without one."""

    recipe: str
    file: str
    above: str | None
    code: str


def blocks() -> list[Block]:
    """Return the blocks of all recipes, in order."""
    text = (ROOT / "CONTRIBUTING.md").read_text().split("\n## Recipes\n")[1].split("\n## ")[0]
    found = []
    for recipe in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        for code in re.findall(r"^```\w+\n(.*?)^```", recipe, re.DOTALL | re.MULTILINE):
            head = re.match(r"# file: (\S+)\n(?:# above: ([^\n]*)\n)?", code)
            if head:
                found.append(Block(recipe.splitlines()[0], head[1], head[2], code[head.end() :]))
    return found


BLOCKS = blocks()
RECIPES = list(dict.fromkeys(block.recipe for block in BLOCKS))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_one_new_module_and_two_lines_elsewhere(recipe):
    own = [block for block in BLOCKS if block.recipe == recipe]
    assert sum(block.above is None for block in own) <= 1
    assert sum(len(block.code.splitlines()) for block in own if block.above is not None) <= MOST_LINES_ELSEWHERE


def test_there_is_a_recipe_for_each_of_these():
    assert {"A figure", "A table", "A source", "An optimizer of one's own", "A step measure", "A study key"} <= set(
        RECIPES
    )


def follow(folder: Path) -> None:
    """Put the code of all recipes where they say."""
    for block in BLOCKS:
        path = folder / block.file
        if block.above is None:
            assert not path.exists(), f"{block.file} exists: the recipe is of no new module"
            path.write_text(block.code)
        else:
            lines = path.read_text().splitlines(keepends=True)
            place = [i for i, line in enumerate(lines) if line.rstrip("\n") == block.above]
            assert place, f"{block.file} has no line {block.above!r}"
            lines.insert(place[0], block.code)
            path.write_text("".join(lines))


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> Path:
    """Return a copy of the repository with all recipes followed, and its smoke study run."""
    folder = tmp_path_factory.mktemp("recipes")
    shutil.copytree(ROOT / "workflow", folder / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "envs", folder / "envs")
    shutil.copy(ROOT / "Snakefile", folder)
    follow(folder)
    study = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
    study |= STUDY
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--workflow-profile",
        "none",
        "--configfile",
        "study.yaml",
        "--cores",
        "2",
    ]
    result = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-5000:]
    return folder / "results" / "smoke"


def receipt(results: Path, name: str) -> dict:
    return json.loads((results / "receipts" / f"{name}.json").read_text())


@pytest.mark.slow
def test_a_figure_is_drawn_shown_and_told_its_keys(followed):
    for suffix in ("svg", "pdf", "png"):
        assert (followed / "figures" / f"loss_histogram.{suffix}").stat().st_size > 1000
    assert receipt(followed, "plot_loss_histogram")["settings"]["style"] == {"bins": 7}


@pytest.mark.slow
def test_a_table_is_written_and_shown(followed):
    counts, spikes = (pd.read_csv(followed / f"{name}.csv") for name in ("spike_counts", "spikes"))
    assert counts["spikes"].sum() == len(spikes)
    assert "spike_counts.csv" in (followed / "report" / "spike_counts.csv.html").read_text()


@pytest.mark.slow
def test_a_source_is_read(followed):
    spectra = Spectra.load(followed / "data" / "spectra.h5")
    assert 50 < len(spectra) < 400
    assert spectra.snr.min() >= LEAST_SNR


@pytest.mark.slow
def test_an_optimizer_trains_and_a_measure_is_recorded(followed):
    for optimizer in STUDY["optimizers"]:
        history = History.load(followed / "histories.h5", f"f0.8_r0/{optimizer}")
        assert history.epochs["loss"][-1] < history.epochs["loss"][0]
        assert (history.steps["weight_norm"] > 0).all()
    # a weight moves by the learning rate, or not at all where it has had no gradient: biases before normalisation
    model = keras.saving.load_model(followed / "runs" / "f0.8_r0" / "signs" / "model.keras", safe_mode=True)
    longest = 1e-4 * np.sqrt(sum(np.prod(variable.shape) for variable in model.trainable_variables))
    moved = History.load(followed / "histories.h5", "f0.8_r0/signs").steps["update_norm"]
    assert moved.max() < longest * 1.001
    assert moved[-1] > 0.9 * longest
