"""What jobs ask for, held against what they use in a study that has run; and that Snakemake asks for just that."""

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from astropy.io import fits

from quasarcurves.study import Study
from quasarcurves.study.resources import GPU_MB
from quasarcurves.study.steps import LIGHT, STEPS

pytestmark = pytest.mark.xdist_group("finished smoke study")

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "workflow" / "studies" / "smoke.yaml"


def asked(output):
    """Give rule and requests of every job that a dry run lists."""
    jobs = re.findall(r"^(?:local)?rule (\w+):.*?\n    resources: ([^\n]*)", output, re.M | re.S)
    return [(rule, dict(re.findall(r"(\w+)=([^,\n]+)", resources))) for rule, resources in jobs if rule != "all"]


@pytest.fixture(scope="module")
def compared(finished):
    script = ROOT / "benchmarks" / "requests_use.py"
    command = [sys.executable, str(script), "results/smoke"]
    result = subprocess.run(command, cwd=finished, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return pd.read_csv(StringIO(result.stdout)).set_index("rule")


def test_memory_asked_for_is_1_2_to_4_times_what_is_used(compared):
    assert {"train", "evaluate", "compute_metrics", "plot_detected_spikes"} <= set(compared.index)
    # six sevenths of what an evaluation asks for are Snakemake's own, which do not grow with it
    assert compared.loc["evaluate", "mb_least"] >= 1.15
    assert (compared.drop("evaluate")["mb_least"] >= 1.2).all(), compared["mb_least"]
    assert (compared["mb_most"] <= 4).all(), compared["mb_most"]
    assert compared.loc["train", "asked_mb"] <= 4 * compared.loc["train", "used_mb"]


def test_every_rule_that_ran_was_compared(compared, finished):
    names = {path.name.removesuffix(".tsv") for path in (finished / "results" / "smoke" / "benchmarks").iterdir()}
    assert names == set(compared.index)
    assert names >= {name for name in LIGHT if not STEPS[name].when}
    assert compared.loc["train", "jobs"] == 4


def test_jobs_ask_for_what_is_estimated(snakemake, tmp_path):
    result = snakemake(tmp_path, "--dry-run", "--cores", 1, "--configfile", SMOKE)
    assert result.returncode == 0, result.stdout
    study, jobs = Study.load(SMOKE), asked(result.stdout)
    assert {rule for rule, _ in jobs} >= {"prepare_spectra", "train", "evaluate", "show_tables"}
    runs = iter(study.runs * 2)
    for rule, found in jobs:
        run = next(runs) if rule in ("train", "evaluate") else None
        expected = study.resources(rule, 320, run)
        # runs are in no order here, but of one size in memory to a few MB
        assert int(found["mem_mb"]) == pytest.approx(expected["mem_mb"], abs=10 if run else 0)
        assert int(found["runtime"]) == expected["runtime"]


@pytest.mark.slow
@pytest.mark.parametrize("given", ["train:gpu=1", "train:gres=gpu:1"])
def test_a_job_with_a_gpu_asks_for_more_memory(snakemake, tmp_path, given):
    result = snakemake(tmp_path, "--dry-run", "--cores", 1, "--configfile", SMOKE, "--set-resources", given)
    assert result.returncode == 0, result.stdout
    memory = {rule: int(found["mem_mb"]) for rule, found in asked(result.stdout)}
    assert memory["train"] > GPU_MB + 1000
    assert memory["evaluate"] < GPU_MB


@pytest.mark.slow
def test_spectra_of_files_are_counted_once_they_are_prepared(snakemake, smoke_config, made_up, tmp_path):
    padded, truth = tmp_path / "data.fits", made_up / "boss_like" / "truth.fits"
    with fits.open(made_up / "boss_like" / "data.fits") as hdus:
        few = [fits.PrimaryHDU(hdus[0].data[:400]), fits.BinTableHDU(hdus[1].data[:400])]
        # makes the file look as if it held some 17,000 more
        fits.HDUList([*few, fits.ImageHDU(np.zeros(15_000_000, np.float32))]).writeto(padded)
    data = {"source": "quasarnet_fits", "spectra": [str(padded)], "truth": [str(truth)]}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(smoke_config | {"data": data}))
    study = Study.load(path)
    spectra = tmp_path / study.results / "data" / "spectra.h5"
    before = study.n_examples(spectra)
    result = snakemake(tmp_path, "--cores", 1, "--configfile", path, "--until", "draw_subset")
    assert result.returncode == 0, result.stdout
    after = study.n_examples(spectra)
    assert before > 15_000
    assert 300 < after < 500  # 400, and what else is in the file
    asked_for = {int(found["mem_mb"]) for rule, found in asked(result.stdout) if rule == "draw_subset"}
    assert asked_for == {study.resources("draw_subset", after)["mem_mb"]}
    assert asked_for != {study.resources("draw_subset", before)["mem_mb"]}


def test_asking_for_something_else_reruns_nothing(snakemake, finished):
    result = snakemake(
        finished, "--dry-run", "--configfile", SMOKE, "--set-resources", "train:mem_mb=99", "train:runtime=9"
    )
    assert result.returncode == 0, result.stdout
    assert "Nothing to be done" in result.stdout
