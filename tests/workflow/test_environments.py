"""The locks, the conda environment and what the library imports say the same."""

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from packaging.requirements import InvalidRequirement, Requirement
from rattler import MatchSpec
from rattler.exceptions import InvalidMatchSpecError

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
LOCK = ROOT / "requirements" / "cpu.txt"


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9_.-]+)(?:\[[a-z-]+\])?==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["cpu", "gpu", "cloud", "cloud-gpu", "dev"])
def test_lock_is_hashed_and_names_no_index(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = re.findall(r"^[a-z0-9].*==.*(?:\n    .*)*", text, re.MULTILINE)
    assert len(entries) > 80
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "index" not in text.replace("pyproject", "")


def test_locks_agree_with_the_cpu_lock():
    cpu, cloud, dev, gpu = pins("cpu"), pins("cloud"), pins("dev"), pins("gpu")
    assert cpu.items() <= cloud.items() <= dev.items()
    shared = cpu.keys() & gpu.keys()
    assert {name: cpu[name] for name in shared} == {name: gpu[name] for name in shared}
    assert gpu["tensorflow"] == cpu["tensorflow-cpu"]
    assert (
        pins("cloud-gpu").items() == (gpu | {name: cloud[name] for name in cloud.keys() - {"tensorflow-cpu"}}).items()
    )


def faults(environment: dict) -> list[str]:
    """Say what is wrong with a conda environment, apart from what only its channels know."""
    found = [f"unknown key {key}" for key in environment.keys() - {"channels", "dependencies"}]
    if environment.get("channels") != ["conda-forge", "nodefaults"]:
        found.append(f"channels {environment.get('channels')}")
    for spec in environment["dependencies"]:
        if isinstance(spec, dict):
            found += [f"unknown key {key}" for key in spec.keys() - {"pip"}]
            found += [fault for package in spec.get("pip", []) for fault in _pip_faults(package)]
        else:
            found += _conda_faults(spec)
    return found


def _conda_faults(spec: str) -> list[str]:
    try:
        parsed = MatchSpec(spec, strict=True)
    except InvalidMatchSpecError as error:
        return [f"{spec}: {error}"]
    return [] if re.fullmatch(r"=*[0-9.]+(\.\*)?", str(parsed.version)) else [f"{spec}: not one version"]


def _pip_faults(package: str) -> list[str]:
    try:
        parsed = Requirement(package)
    except InvalidRequirement as error:
        return [f"{package}: {error}"]
    version = re.fullmatch(r"==([^*]+)", str(parsed.specifier))
    return [] if version and pins("cpu").get(parsed.name) == version[1] else [f"{package}: not as in the lock"]


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_conda_environment_is_well_formed_and_as_in_the_lock(path):
    environment = yaml.safe_load(path.read_text())
    assert faults(environment) == []
    (packages,) = [each["pip"] for each in environment["dependencies"] if isinstance(each, dict)]
    assert len(packages) > 8


BAD = {
    "key": (lambda e: e.update(dependancies=[]), "unknown key dependancies"),
    "key of pip": (lambda e: e["dependencies"].append({"pypi": []}), "unknown key pypi"),
    "channel": (lambda e: e["channels"].remove("nodefaults"), "channels"),
    "conda spec": (lambda e: e["dependencies"].append("python 3.11 of any build"), "python 3.11 of any build"),
    "open conda spec": (lambda e: e["dependencies"].append("python >=3.11"), "not one version"),
    "no conda version": (lambda e: e["dependencies"].append("git"), "not one version"),
    "pip spec": (lambda e: e["dependencies"][-1]["pip"].append("numpy=2.4.6"), "numpy=2.4.6"),
    "open pip spec": (lambda e: e["dependencies"][-1]["pip"].append("numpy>=2"), "not as in the lock"),
    "another version": (lambda e: e["dependencies"][-1]["pip"].append("numpy==1.26.4"), "not as in the lock"),
    "not in the lock": (lambda e: e["dependencies"][-1]["pip"].append("torch==2.9.0"), "not as in the lock"),
}


@pytest.mark.parametrize("name", BAD)
def test_fault_in_a_conda_environment_is_found(name):
    change, message = BAD[name]
    environment = yaml.safe_load(ENVIRONMENTS[0].read_text())
    change(environment)
    (fault,) = faults(environment)
    assert message in fault


def test_conda_environment_has_all_that_its_packages_need():
    """Packages of another version would come along otherwise, and change what is computed."""
    packages = yaml.safe_load(ENVIRONMENTS[0].read_text())["dependencies"][-1]["pip"]
    names = {Requirement(package).name for package in packages}
    # not those that are needed on some platforms only: none of them is Linux
    needed_by = dict(
        re.findall(r"^([a-z0-9_.-]+)(?:\[[a-z-]+\])?==[^;\n]*((?:\n    .*)+)", LOCK.read_text(), re.MULTILINE)
    )
    assert "keras" in needed_by["h5py"]
    for name, comments in needed_by.items():
        users = set(re.findall(r"# +(?:via +)?([a-z0-9_.-]+)$", comments, re.MULTILINE))
        assert name in names or not users & names, f"{name} is needed by {users & names}"


def test_environment_of_every_rule_exists():
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        text = path.read_text()
        environments = re.findall(r"^    conda:\n        \"(.*)\"$", text, re.MULTILINE)
        assert len(environments) == len(re.findall(r"^rule ", text, re.MULTILINE)), path.name
        for environment in environments:
            assert (path.parent / environment).resolve() in ENVIRONMENTS, f"{path.name}: {environment}"


CONDA = """#!/bin/sh
case "$*" in
    "info --json") echo '{"conda_prefix": "/opt/conda", "platform": "linux-64", "conda_version": "25.9.0"}' ;;
    --version) echo "conda 25.9.0" ;;
    "config --get channel_priority --json") echo '{"get": {"channel_priority": "strict"}}' ;;
    *) echo "a dry run was not expected to call: conda $*" >&2; exit 1 ;;
esac
"""


def test_dry_run_with_conda_environments(tmp_path, snakemake, monkeypatch):
    """Dry runs only ask conda who it is, which a stand-in can say; then they say which environments are to be made."""
    if not shutil.which("conda"):
        (tmp_path / "conda").write_text(CONDA)
        (tmp_path / "conda").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "workflow").symlink_to(ROOT / "workflow")
    page = (ROOT / "docs" / "conda.md").read_text()
    command = re.search(r"^\.venv/bin/snakemake (-n .*--sdm conda .*)$", page, re.MULTILINE)[1]
    result = snakemake(tmp_path, *command.replace("--quiet rules ", "").split())
    assert result.returncode == 0, result.stdout
    made = re.findall(r"^Conda environment (.*) will be created.$", result.stdout, re.MULTILINE)
    assert [Path(path).name for path in made] == ["quasarcurves.yaml"], result.stdout


def test_conda_environment_has_what_the_rules_import():
    environment = (ROOT / "envs" / "quasarcurves.yaml").read_text()
    sources = [*(ROOT / "workflow" / "quasarcurves").rglob("*.py"), *(ROOT / "workflow" / "scripts").glob("*.py")]
    text = "\n".join(path.read_text() for path in sources)
    imported = set(re.findall(r"^\s*(?:from|import) ([a-z0-9_]+)", text, re.MULTILINE))
    names = {"yaml": "pyyaml", "tensorflow": "tensorflow-cpu"}
    direct = {names.get(name, name) for name in imported} & pins("cpu").keys()
    assert {"numpy", "keras", "tensorflow-cpu", "grimp"} <= direct
    for name in direct:
        assert f"- {name}==" in environment, name
