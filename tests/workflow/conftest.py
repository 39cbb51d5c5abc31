"""Studies run for real, each in a folder of its own."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support import snakemake_server

ROOT = Path(__file__).parents[2]


def run_snakemake(
    folder: Path, *arguments: object, profile: str | Path = "none", timeout: float = 1800
) -> subprocess.CompletedProcess:
    """Run Snakemake on the project's Snakefile in a folder; its output is in `stdout`, errors included."""
    options = ["--snakefile", ROOT / "Snakefile", "--workflow-profile", profile, *arguments]
    return snakemake_server.snakemake(
        [str(each) for each in options], folder, {**os.environ, "COLUMNS": "120"}, timeout
    )


@pytest.fixture(scope="session")
def snakemake() -> Callable[..., subprocess.CompletedProcess]:
    """Return the function that runs Snakemake."""
    return run_snakemake


@pytest.fixture(scope="session")
def smoke_config() -> dict:
    """Return the smoke study."""
    return yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())


@pytest.fixture(scope="session")
def smoke_command() -> list[str]:
    """Return the command that runs the smoke study, as `make study` does."""
    study = ROOT / "workflow" / "studies" / "smoke.yaml"
    command = [sys.executable, "-m", "quasarcurves.cli", "run", "--configfile", study, "--cores", "2"]
    return list(map(str, [*command, "--snakefile", ROOT / "Snakefile", "--workflow-profile", "none"]))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, smoke_command: list[str]) -> Path:
    """Return a folder in which the smoke study has run, as `make study` runs it; tests must not change it.

    All processes of a test session share it: the first one that asks for it makes it, the others wait.
    """
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    folder = common / "finished-smoke"
    with (common / "finished-smoke.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "output.txt").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "output.txt").write_text(run_smoke_study(smoke_command, folder))
    return folder


def run_smoke_study(command: list[str], folder: Path) -> str:
    """Run the smoke study; return what the terminal shows."""
    result = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    return result.stdout
