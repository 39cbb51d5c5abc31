"""How a study reaches the workflow, and how a bad one is refused; nothing is trained here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from quasarcurves.spectra.table import load_column
from support import made_up_survey
from support.spectra_files import write_pair_spectra, write_truth

ROOT = Path(__file__).parents[2]


def write(folder: Path, config: dict, name: str = "study.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(config))
    return path


def test_default_study_is_a_dry_run_away(tmp_path, snakemake):
    shutil.copy(ROOT / "config.yaml", tmp_path)
    result = snakemake(tmp_path, "-n")
    assert result.returncode == 0, result.stdout
    assert re.search(r"^train +35$", result.stdout, re.MULTILINE)
    assert "results/quickstart/figures/loss_by_optimizer.svg" in result.stdout


def test_study_by_configfile_replaces_the_default_one(tmp_path, snakemake, smoke_config):
    """Snakemake would merge the two: the study would keep adam and amsgrad."""
    shutil.copy(ROOT / "config.yaml", tmp_path)
    lion = {**smoke_config, "optimizers": {"lion": {"class": "Lion", "learning_rate": "1e-4"}}}
    result = snakemake(tmp_path, "-n", "--configfile", write(tmp_path, lion))
    assert result.returncode == 0, result.stdout
    assert re.search(r"^train +2$", result.stdout, re.MULTILINE)
    assert "adam" not in result.stdout


def test_exponent_without_a_point_is_a_number(tmp_path, snakemake, smoke_config):
    """YAML 1.1 reads 1e-3 as text."""
    text = yaml.safe_dump(smoke_config).replace("0.001", "1e-3")
    assert yaml.safe_load(text)["optimizers"]["adam"]["learning_rate"] == "1e-3"
    path = tmp_path / "study.yaml"
    path.write_text(text)
    result = snakemake(tmp_path, "-n", "-p", "--configfile", path)
    assert result.returncode == 0, result.stdout
    assert '"learning_rate": 0.001' in result.stdout


@pytest.mark.slow
def test_a_file_of_spectra_may_have_braces_in_its_name(tmp_path, snakemake, smoke_config):
    """Snakemake takes them for wildcards."""
    rng = np.random.default_rng(1)
    flux, ivar = rng.normal(size=(40, 443)), np.ones((40, 443))
    write_pair_spectra(tmp_path / "a{input}b.fits", range(1, 41), flux, ivar)
    write_truth(tmp_path / "truth.fits", [(each, 2.0, 3, 3, 0, 0) for each in range(1, 41)])
    data = {"source": "quasarnet_fits", "spectra": ["a{input}b.fits"], "truth": ["truth.fits"]}
    path = write(tmp_path, {**smoke_config, "data": data})
    result = snakemake(tmp_path, "--until", "prepare_spectra", "--cores", "1", "--configfile", path)
    assert result.returncode == 0, result.stdout
    assert len(load_column(tmp_path / "results" / "smoke" / "data" / "spectra.h5", "z")) == 40


def test_works_with_the_default_profile(tmp_path, snakemake):
    shutil.copy(ROOT / "config.yaml", tmp_path)
    result = snakemake(tmp_path, "-n", profile=ROOT / "profiles" / "default")
    assert result.returncode == 0, result.stdout


BAD = {
    "unknown key": (lambda c: c["training"].update(epoch=5), "training: unknown key 'epoch'; did you mean 'epochs'?"),
    "unknown optimizer": (
        lambda c: c["optimizers"].update(adan={"class": "Adan"}),
        "optimizers.adan: 'Adan' is no class of keras.optimizers; did you mean 'Adam'?",
    ),
    "unknown argument": (
        lambda c: c["optimizers"]["adam"].update(beta1=0.9),
        "optimizers.adam: Adam has no argument 'beta1'; did you mean 'beta_1'?",
    ),
    "fraction 0": (lambda c: c["subsets"].update(fractions=[0]), "subsets.fractions.0 is 0, expected above 0"),
    "fraction too large": (
        lambda c: c["subsets"].update(fractions=[0.9]),
        "subsets.fractions: 0.9 is too large, test_fraction 0.15 and validation_fraction 0.05 leave 0.8",
    ),
    "missing file": (
        lambda c: c.update(data={"source": "quasarnet_fits", "spectra": ["none.fits"], "truth": ["t.fits"]}),
        "none.fits",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_bad_study_is_refused_with_one_message(tmp_path, snakemake, smoke_config, name):
    change, message = BAD[name]
    config = yaml.safe_load(yaml.safe_dump(smoke_config))
    change(config)
    result = snakemake(tmp_path, "-n", "--configfile", write(tmp_path, config))
    assert result.returncode != 0
    assert message in result.stdout
    assert "Traceback" not in result.stdout
    assert len(result.stdout.splitlines()) < 8, result.stdout


@pytest.mark.slow
def test_study_without_usable_spectra_says_why(tmp_path, snakemake, smoke_config, made_up):
    """Known only once the spectra are read: the job fails with one line that has the reasons and their numbers."""
    truth = tmp_path / "truth.fits"
    with fits.open(made_up / "boss_like" / "truth.fits") as hdus:
        ids = hdus[1].data["THING_ID"]
        ids[ids > 0] += 10**12
        hdus.writeto(truth)
    spectra = str((made_up / "boss_like" / "data.fits").resolve())
    config = {**smoke_config, "data": {"source": "quasarnet_fits", "spectra": [spectra], "truth": [str(truth)]}}
    result = snakemake(tmp_path, "--cores", 1, "--show-failed-logs", "--configfile", write(tmp_path, config))
    assert result.returncode != 0
    assert "gives no usable spectra (rejected: " in result.stdout
    assert f"not_in_truth {made_up_survey.ROWS - 20}" in result.stdout
    assert "Traceback" not in result.stdout
    assert not list(tmp_path.rglob("spectra.h5"))


def test_command_line_refuses_a_bad_study_in_one_line(tmp_path, smoke_config):
    smoke_config = {**smoke_config, "optimizer": {}}
    command = [sys.executable, "-m", "quasarcurves.cli", "run", "--configfile", write(tmp_path, smoke_config)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.strip() == "error: the study: unknown key 'optimizer'; did you mean 'optimizers'?"


@pytest.mark.slow
def test_diverging_run_is_marked_and_the_study_goes_on(tmp_path, snakemake, smoke_config):
    """A learning rate that blows up: the run keeps its record, and the tables and the last lines say so."""
    config = yaml.safe_load(yaml.safe_dump(smoke_config))
    config["data"]["n_spectra"] = 160
    config["subsets"]["fractions"] = [0.4]
    config["training"].update(epochs=12, validate_every=1)
    config["optimizers"] = {
        "adam": {"class": "Adam", "learning_rate": 1e-3},
        "wild": {"class": "SGD", "learning_rate": 1e30},
    }
    result = snakemake(tmp_path, "--cores", 2, "--configfile", write(tmp_path, config))
    assert result.returncode == 0, result.stdout
    import pandas as pd

    runs = pd.read_csv(tmp_path / "results" / "smoke" / "runs.csv").set_index("optimizer")
    assert runs.loc["wild", "diverged"]
    assert not runs.loc["adam", "diverged"]
    assert runs.loc["adam", "epochs"] == 12
    assert runs.loc["wild", "epochs"] == runs.loc["wild", "diverged_step"] // 2 + 1
    row = next(line for line in result.stdout.splitlines() if re.match(r" +64  wild ", line))
    assert row.split()[:4] == ["64", "wild", "1", "1"]  # one run, and it diverged


@pytest.mark.slow
def test_lint_is_clean():
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_snakemake_refuses_a_study_that_says_a_thing_twice(snakemake, tmp_path):
    study = tmp_path / "twice.yaml"
    study.write_text(f"training: {{epochs: 1}}\n{(ROOT / 'workflow/studies/smoke.yaml').read_text()}")
    result = snakemake(tmp_path, "--dry-run", "--cores", 1, "--configfile", study)
    assert result.returncode == 1
    assert f"{study}, line 7: training is written twice, in line 1 and here" in result.stdout
