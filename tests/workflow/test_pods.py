"""A study whose jobs share nothing but object storage, run for real: the jobs' own commands, each in an empty folder.

What is missing from Kubernetes and AWS Batch is what their services do. See `pods` and `bucket`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from bucket import serve

ROOT = Path(__file__).parents[2]
PROFILE = yaml.safe_load((ROOT / "profiles" / "kubernetes" / "config.yaml").read_text())
NO_SOURCES = shutil.ignore_patterns(".git", ".venv", ".snakemake", "results", "__pycache__", ".*_cache", "*.egg-info")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny(smoke_config) -> dict:
    """Give a study of one training."""
    study = yaml.safe_load(yaml.safe_dump(smoke_config))
    study["subsets"]["fractions"] = [0.2]
    study["optimizers"] = {"adam": {"class": "Adam", "learning_rate": 1e-3}}
    return study


@pytest.fixture(scope="module")
def clone(tmp_path_factory, tiny) -> Path:
    """Give a repository: of the sources, Snakemake sends to jobs what git knows of."""
    folder = tmp_path_factory.mktemp("elsewhere") / "clone"
    shutil.copytree(ROOT, folder, ignore=NO_SOURCES)
    (folder / "study.yaml").write_text(yaml.safe_dump(tiny))
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def run_in_pods(clone: Path, address: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run that study, up to the metrics of the test set, with its results on object storage."""
    secrets = {"ENDPOINT_URL": address, "ACCESS_KEY": "key", "SECRET_KEY": "secret"}
    paths = [clone / "workflow", ROOT / "tests" / "workflow" / "pods"]
    environment = {
        **os.environ,
        **{f"SNAKEMAKE_STORAGE_S3_{name}": value for name, value in secrets.items()},
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }
    command = [sys.executable, "-m", "snakemake", "compute_metrics", "--workflow-profile", "none"]
    command += [
        "--executor",
        "pods",
        "--jobs",
        "2",
        "--configfile",
        "study.yaml",
        "--precommand",
        PROFILE["precommand"],
    ]
    command += ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://bucket/quasarcurves"]
    return subprocess.run(
        [*command, *arguments],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=1000,
    )


def test_results_on_object_storage_are_those_on_a_disk(tmp_path, clone, tiny, snakemake):
    bucket = tmp_path / "buckets" / "bucket"
    bucket.mkdir(parents=True)
    with serve(bucket.parent) as address:
        result = run_in_pods(clone, address)
        logs = "\n".join(path.read_text() for path in clone.parent.glob("pod.*/pod.log"))
        assert result.returncode == 0, result.stdout + logs
        again = run_in_pods(clone, address, "--dry-run")
    # known once the spectra are in the bucket, of which this machine has no copy
    assert re.search(r"^pod \S+ train .*'mem_mb': [0-9]+", result.stdout, re.MULTILINE)
    assert "Nothing to be done" in again.stdout, again.stdout
    assert not (clone / "results").exists()

    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tiny))
    on_disk = snakemake(tmp_path, "compute_metrics", "--cores", 1, "--configfile", tmp_path / "study.yaml")
    assert on_disk.returncode == 0, on_disk.stdout
    stored, kept = bucket / "quasarcurves" / "results" / "smoke", tmp_path / "results" / "smoke"
    for name in ("metrics.csv", "test_metrics.csv", "test_losses.csv"):
        assert (stored / name).read_bytes() == (kept / name).read_bytes(), name
    histories = [pd.read_csv(folder / "epochs.csv").drop(columns="seconds") for folder in (stored, kept)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    assert {file.name for file in (stored / "runs" / "f0.2_r0" / "adam").iterdir()} == {
        "history.h5",
        "model.keras",
        "best.keras",
        "predictions.h5",
    }
