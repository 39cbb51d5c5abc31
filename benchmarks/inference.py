"""Memory of evaluating a test set against its size: `python benchmarks/inference.py > inference.csv`.

Every size is evaluated by a process of its own, whose peak memory (resident, mapped files included) is taken when it
ends. The spectra are noise: what a network says of them costs as much. `python benchmarks/inference.py N:FILTERS ...`
measures other sizes.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra.grid import N_BINS
from quasarcurves.spectra.subsets import Subset
from quasarcurves.spectra.table import Spectra, write_chunks
from quasarcurves.steps import evaluation
from quasarcurves.training.run_settings import EvaluationSettings

SIZES = ("200:16", "20000:16", "60000:16", "200:100", "4000:100", "9000:100", "630000:4")
"""Test spectra and filters; the last has as many spectra as the published study."""

LINES, BAL_LINES = ["LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha"], ["CIV(1548)"]
_CHUNK = 10_000
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""As Snakemake sets them for a job of one thread."""


def chunks(n: int) -> Iterator[Spectra]:
    """Yield n spectra of noise, all quasars."""
    rng = np.random.default_rng(1)
    for start in range(0, n, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, n))
        flux, ones = rng.standard_normal((len(rows), N_BINS), np.float32), np.ones(len(rows))
        yield Spectra(flux, rng.uniform(2.1, 4, len(rows)), 3 * ones, -ones, rows, ones)


def build(folder: Path, filters: int) -> None:
    """Write a network of random weights."""
    from quasarcurves.quasarnet import network  # noqa: PLC0415  (imports TensorFlow, which evaluating does not)

    network.build(filters).save(folder / "model.keras")


def evaluate(folder: Path) -> None:
    """Evaluate it; what the measured process does."""
    network = NetworkSettings(filters=100, layers=4, boxes=13, lines=tuple(LINES), bal_lines=tuple(BAL_LINES))
    run = EvaluationSettings(fraction=0.5, replicate=0, optimizer="x", network=network.to_json())
    models = {"final": folder / "model.keras"}
    evaluation.evaluate(folder / "spectra.h5", folder / "subset.h5", run, models, folder / "predictions.h5")


def measure(n: int, filters: int) -> tuple[float, float]:
    """Give processor seconds and peak megabytes of evaluating n spectra."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_chunks(folder / "spectra.h5", chunks(n))
        none = np.empty(0, np.uint32)
        Subset(train=none, validation=none, test=np.arange(n, dtype=np.uint32)).save(folder / "subset.h5")
        # a process as large as TensorFlow would hand its size down to the one that is measured
        subprocess.run([sys.executable, __file__, "build", name, str(filters)], check=True)
        process = subprocess.Popen([sys.executable, __file__, "evaluate", name], env={**os.environ, **_ONE_THREAD})
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"evaluating {n} spectra failed with status {status}")
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Measure all sizes and print a table."""
    if sys.argv[1:2] == ["build"]:
        build(Path(sys.argv[2]), int(sys.argv[3]))
        return
    if sys.argv[1:2] == ["evaluate"]:
        evaluate(Path(sys.argv[2]))
        return
    table = csv.writer(sys.stdout)
    table.writerow(["spectra", "filters", "cpu_seconds", "peak_mb"])
    for size in sys.argv[1:] or SIZES:
        n, filters = map(int, size.split(":"))
        seconds, megabytes = measure(n, filters)
        table.writerow([n, filters, f"{seconds:.0f}", f"{megabytes:.0f}"])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
