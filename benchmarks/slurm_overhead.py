"""What a SLURM job costs beside its work, alone and in groups: `python benchmarks/slurm_overhead.py > overhead.csv`.

The work is that of a study's evaluations, sent through profiles/slurm. On the cluster at hand if there is one, else on
one made of this machine, as the tests do.
"""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
GROUPS = (1, 3, 12)
"""Evaluations per job."""

STUDY = {
    "study": {"name": "overhead", "replicates": 3},
    "data": {"source": "simulated", "n_spectra": 1280},
    "subsets": {"fractions": [0.2, 0.1]},
    "network": {"filters": 8},
    "training": {"epochs": 2, "keep_state": False},
    "optimizers": {name: {"class": "Adam", "amsgrad": name == "amsgrad"} for name in ("adam", "amsgrad")},
}


@contextlib.contextmanager
def cluster() -> Iterator[dict[str, str]]:
    """Give the environment in which there is a cluster."""
    if shutil.which("sinfo") and not subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        yield dict(os.environ)
        return
    sys.path.insert(0, str(ROOT / "tests" / "cluster"))
    from slurm_cluster import Cluster  # noqa: PLC0415  (needs the path)

    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        own = Cluster(Path(folder), gpu_nodes=1, cpus=1)  # one job at a time, as they would share this machine's cores
        try:
            own.start()
            yield own.environment
        finally:
            own.stop()


def snakemake(folder: Path, environment: dict[str, str], *arguments: object) -> None:
    """Run Snakemake in a folder."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", "study.yaml"]
    subprocess.run(
        [*map(str, command), *map(str, arguments)], cwd=folder, env=environment, stdout=sys.stderr, check=True
    )


def job_seconds(folder: Path, environment: dict[str, str]) -> dict[str, int]:
    """Give the run times of all jobs that were started in a folder, by number."""
    command = ["squeue", "--states=all", "--noheader", "--format=%i|%M|%Z"]
    listed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    jobs = (line.split("|") for line in listed.splitlines())
    return {number: _seconds(used) for number, used, where in jobs if where == str(folder)}


def _seconds(used: str) -> int:
    """Give the seconds of M:SS or H:MM:SS."""
    return sum(int(part) * 60**place for place, part in enumerate(reversed(used.split(":"))))


def work_seconds(results: Path) -> list[float]:
    """Give the seconds that each evaluation itself took."""
    files = (results / "benchmarks" / "evaluate").rglob("*.tsv")
    return [float(file.read_text().splitlines()[1].split("\t")[0]) for file in files]


def main() -> None:
    """Measure all sizes of groups and print a table."""
    table = csv.writer(sys.stdout)
    table.writerow(["per_job", "evaluations", "jobs", "wall_s", "work_s", "job_s", "overhead_s", "load"])
    with tempfile.TemporaryDirectory() as name, cluster() as environment:
        folder = Path(name)
        results = folder / "results" / "overhead"
        (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
        snakemake(folder, environment, "--workflow-profile", "none", "--cores", 2, "--until", "train")
        before = job_seconds(folder, environment)
        for size in GROUPS:
            start = time.monotonic()
            groups = ["--groups", "evaluate=evaluate", "--group-components", f"evaluate={size}", "--cores", 1]
            profile = ["--workflow-profile", ROOT / "profiles" / "slurm", "--forcerun", "evaluate"]
            snakemake(folder, environment, *profile, "--until", "evaluate", *(groups if size > 1 else []))
            wall, work = time.monotonic() - start, work_seconds(results)
            jobs = {job: used for job, used in job_seconds(folder, environment).items() if job not in before}
            before |= jobs
            each = sum(jobs.values()) / len(work)
            mean = sum(work) / len(work)
            row = [wall, mean, each, each - mean, os.getloadavg()[0]]
            table.writerow([size, len(work), len(jobs), *(f"{value:.1f}" for value in row)])
            sys.stdout.flush()


if __name__ == "__main__":
    main()
