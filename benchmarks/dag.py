"""Processor time and memory of building the DAG of a study against its number of runs.

`python benchmarks/dag.py > benchmarks/dag.csv`.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
RUNS = {100: (5, 4, 5), 1_000: (10, 10, 10), 10_000: (10, 100, 10)}
"""Number of runs: fractions, replicates, optimizers."""


def study(fractions: int, replicates: int, optimizers: int) -> dict:
    """Give a study of that many runs; nothing of it is run."""
    return {
        "study": {"name": "many", "replicates": replicates},
        "data": {"source": "simulated", "n_spectra": 100_000},
        "subsets": {"fractions": [round(0.8 * (i + 1) / fractions, 3) for i in range(fractions)]},
        "optimizers": {f"adam{i}": {"class": "Adam", "learning_rate": 1e-3 / (i + 1)} for i in range(optimizers)},
    }


def measure(config: dict) -> tuple[float, float]:
    """Give processor seconds and peak megabytes of `snakemake -n`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "study.yaml")
        path.write_text(yaml.safe_dump(config))
        arguments = ["-n", "-q", "--snakefile", ROOT / "Snakefile", "--configfile", path]
        command = [sys.executable, "-m", "snakemake", *map(str, arguments)]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"snakemake -n failed with status {status}")
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Measure all sizes and print a table."""
    table = csv.writer(sys.stdout)
    table.writerow(["runs", "cpu_s", "peak_mb"])
    for runs, size in RUNS.items():
        seconds, megabytes = measure(study(*size))
        table.writerow([runs, f"{seconds:.1f}", f"{megabytes:.0f}"])


if __name__ == "__main__":
    main()
