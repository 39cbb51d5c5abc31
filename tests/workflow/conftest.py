"""Studies run for real, each in a folder of its own."""

import os
import subprocess
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
