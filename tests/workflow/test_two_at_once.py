"""Two Snakemake processes on the same results: the second is refused, and nothing is harmed."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from quasarcurves.spectra.table import load_column

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_second_snakemake_is_refused(tmp_path):
    config = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
    config["data"]["n_spectra"] = 150_000  # long enough to come in between
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--workflow-profile", "none"]
    command += ["--configfile", study, "--cores", "2"]
    first = subprocess.Popen(
        [*map(str, command), "--until", "prepare_spectra"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not list((tmp_path / ".snakemake" / "locks").glob("*.lock")):
        assert first.poll() is None, first.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.02)
    second = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert "cannot be locked" in second.stdout + second.stderr
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    assert len(load_column(tmp_path / "results" / "smoke" / "data" / "spectra.h5", "z")) == 150_000
