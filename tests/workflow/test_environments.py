"""The locks, the conda environment and what the library imports say the same."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9_.-]+)(?:\[[a-z-]+\])?==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["cpu", "gpu", "cloud", "dev"])
def test_lock_is_hashed_and_names_no_index(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = re.findall(r"^[a-z0-9].*==.*(?:\n    .*)*", text, re.MULTILINE)
    assert len(entries) > 80
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "http" not in text
    assert "index" not in text.replace("pyproject", "")


def test_locks_agree_with_the_cpu_lock():
    cpu, cloud, dev, gpu = pins("cpu"), pins("cloud"), pins("dev"), pins("gpu")
    assert cpu.items() <= cloud.items() <= dev.items()
    shared = cpu.keys() & gpu.keys()
    assert {name: cpu[name] for name in shared} == {name: gpu[name] for name in shared}
    assert gpu["tensorflow"] == cpu["tensorflow-cpu"]


def test_conda_environment_has_the_versions_of_the_lock():
    environment = yaml.safe_load((ROOT / "envs" / "quasarcurves.yaml").read_text())
    (packages,) = [each["pip"] for each in environment["dependencies"] if isinstance(each, dict)]
    lock = pins("cpu")
    assert len(packages) > 8
    for package in packages:
        name, version = package.split("==")
        assert lock[name] == version, package


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
