"""The workflow as part of another: fetched by snakedeploy, and as a module under a prefix.

The repository is a local one: git is told to look there for what it would fetch from github.com.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from environments import ROOT, copy_tracked_files

pytestmark = [pytest.mark.slow, pytest.mark.package]

SMOKE = ROOT / "workflow" / "studies" / "smoke.yaml"
ADDRESS = "https://github.com/someone/quasarcurves"
TAG = "v0.0.0"

MODULE = """
configfile: "smoke.yaml"


module quasarcurves:
    snakefile:
        "{snakefile}"
    config:
        config


use rule * from quasarcurves as qc_*
"""


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """Environment variables with which git finds this repository, tagged, in place of the address."""
    hub = tmp_path_factory.mktemp("hub")
    repository = hub / "someone" / "quasarcurves"
    copy_tracked_files(repository)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        [*author, "commit", "--quiet", "--message", "all"],
        ["tag", TAG],
    ):
        subprocess.run(["git", *command], cwd=repository, check=True)
    settings = hub / "gitconfig"
    settings.write_text(f'[url "file://{hub}/"]\n\tinsteadOf = https://github.com/\n')
    return {"GIT_CONFIG_GLOBAL": str(settings), "XDG_CACHE_HOME": str(hub / "cache")}


@pytest.fixture(scope="module")
def deployed(installed, variables, tmp_path_factory):
    """A folder that snakedeploy has filled, with the smoke study as its configuration."""
    folder = tmp_path_factory.mktemp("deployed") / "workflow"
    command = [Path(sys.executable).with_name("snakedeploy"), "deploy-workflow", ADDRESS, folder, "--tag", TAG]
    done = subprocess.run(
        list(map(str, command)), env={**installed.environ(), **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "workflow may be error prone" not in done.stderr  # as snakedeploy says where it finds no standard layout
    assert yaml.safe_load((folder / "config" / "config.yaml").read_text())["study"]["name"] == "quickstart"
    assert (folder / "config" / "README.md").exists()
    (folder / "config" / "config.yaml").write_text(SMOKE.read_text())
    return folder


@pytest.fixture
def snakemake(installed, variables):
    """Run Snakemake in the environment of the wheel; its output, once it has succeeded."""

    def run(*arguments, cwd):
        result = installed.run("python", "-m", "snakemake", *arguments, cwd=cwd, **variables)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    return run


def test_a_deployed_workflow_runs(snakemake, deployed):
    snakemake("--cores", "2", cwd=deployed)
    assert (deployed / "results" / "smoke" / "runs.csv").exists()
    assert len(list((deployed / "results" / "smoke" / "runs").glob("*/*/model.keras"))) == 4
    assert "Nothing to be done" in snakemake("-n", cwd=deployed)


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_rules_take_a_prefix(snakemake, tmp_path, snakefile):
    (tmp_path / "smoke.yaml").write_text(SMOKE.read_text())
    (tmp_path / "Snakefile").write_text(MODULE.format(snakefile=ROOT / snakefile))
    planned = snakemake("-n", "--quiet", "rules", cwd=tmp_path)
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE))
    assert jobs["qc_all"] == "1"
    assert jobs["qc_train"] == "4"
    assert all(name.startswith("qc_") for name in jobs if name != "total")
    snakemake("--cores", "2", "--until", "qc_draw_subset", cwd=tmp_path)
    assert len(list((tmp_path / "results" / "smoke" / "data" / "subsets").glob("*.h5"))) == 2


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_both_snakefiles_plan_the_whole_study(snakemake, tmp_path, snakefile):
    study = ["--snakefile", ROOT / snakefile, "--configfile", SMOKE, "--workflow-profile", "none"]
    planned = snakemake("-n", "--quiet", "rules", *study, cwd=tmp_path)
    assert re.search(r"^all +1$", planned, re.MULTILINE)
    assert re.search(r"^train +4$", planned, re.MULTILINE)


def test_the_layout_is_that_of_the_workflow_catalog():
    catalog = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert catalog["usage"]["report"] is True
    for name in ("workflow/Snakefile", "config/README.md", "config/config.yaml", "README.md", "LICENSE"):
        assert (ROOT / name).is_file()
    assert (ROOT / "config" / "config.yaml").read_text() == (ROOT / "config.yaml").read_text()
