"""Two Snakemake processes on the same results: the second is refused, and nothing is harmed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from quasarcurves.spectra.table import load_column

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(tmp_path):
    """Give a command that prepares so many spectra that something can come in between."""
    config = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
    config["data"]["n_spectra"] = 150_000
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--workflow-profile", "none"]
    command += ["--configfile", study, "--cores", "2", "--rerun-incomplete"]
    return list(map(str, command))


def start(command, folder):
    """Start Snakemake, and wait until it is about to run its first job."""
    process = subprocess.Popen(
        [*command, "--until", "prepare_spectra"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 600
    while not list((folder / ".snakemake" / "quasarcurves").glob("*.json")):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


def run(command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_second_snakemake_is_refused(tmp_path, command):
    first = start(command, tmp_path)
    # however slow the machine is, the first one is still there when the second comes
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        second = run(command, tmp_path)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    assert second.returncode != 0
    assert "cannot be locked" in second.stdout + second.stderr
    output, _ = first.communicate(timeout=900)
    assert first.returncode == 0, output
    assert len(load_column(tmp_path / "results" / "smoke" / "data" / "spectra.h5", "z")) == 150_000
    assert not list((tmp_path / ".snakemake" / "quasarcurves").iterdir())


@pytest.mark.slow
def test_the_lock_of_a_killed_snakemake_is_taken_over(tmp_path, command):
    first = start(command, tmp_path)
    assert list((tmp_path / ".snakemake" / "locks").iterdir())
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    second = run([*command, "--until", "prepare_spectra"], tmp_path)
    assert second.returncode == 0, second.stderr
    assert f"The lock of process {first.pid}, which was killed, is released." in second.stderr
    assert len(load_column(tmp_path / "results" / "smoke" / "data" / "spectra.h5", "z")) == 150_000
