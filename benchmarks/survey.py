"""Data at the scale of a survey: `python benchmarks/survey.py > survey.csv`; `survey.py 60000` takes a tenth of it.

A pair of FITS files of noise, as QuasarNET is trained from, is prepared; then trainings on 90 % and on 1 % of it run up
to their first steps, from a file that is not in the kernel's cache. Each step is a process of its own. Files of 3.5 kB
and 1.8 kB per spectrum are written to a temporary folder.

Columns: the step, what was measured, its value, and what it should be at least or at most for 630,000 spectra.
`cpu_s` is processor time, of which `kernel_s` goes into copying from and to files; `wall_s`, `reading_s` and
`start_s` pass on a clock, imports left out: little is to be learnt from them where other things run. `peak_mb` is the
most memory that was resident, `bytes_per_spectrum_more` by how much it grows from a tenth of the spectra to all (the
flux would be 1,772). Of trainings `requested_mb` is what the process asked the kernel to read, `disk_mb` what the
disk gave, `rows_mb` the size of the spectra it trains and validates on, `requested` their ratio, and `held` the peak
of memory above that of the same process before (`idle_mb`), in units of `rows_mb`.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from astropy.io import fits

from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra.grid import N_BINS
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import TrainingSettings

SPECTRA = 630_000
LINES, BAL_LINES = ["LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha"], ["CIV(1548)"]
RUN = RunSettings(
    study="survey",
    seed=1,
    fraction=0.9,
    replicate=0,
    optimizer="x",
    optimizer_spec={"class": "Adam", "learning_rate": 1e-3},
    network=NetworkSettings(16, layers=4, boxes=13, lines=tuple(LINES), bal_lines=tuple(BAL_LINES)).to_json(),
    training=TrainingSettings(batch_size=32, epochs=1),
)
"""Of a training of the default network."""

FRACTIONS = {"train_90": 0.9, "train_1": 0.01}
GOALS = {
    ("prepare", "spectra_per_cpu_s"): ">= 20000",
    ("prepare", "bytes_per_spectrum_more"): "<= 200",
    ("train_90", "start_s"): "<= 20",
    ("train_90", "held"): "<= 1.3",
    ("train_1", "requested"): "<= 2",
    ("train_1", "reading_s"): "<= 10",
    ("subset_train_90", "bytes_per_row"): "<= 4.1",
    ("subset_train_1", "bytes_per_row"): "<= 4.1",
}
_CHUNK = 4096


def write_pair(folder: Path, n: int) -> None:
    """Write n quasars: a hundredth of all bins without weight, a thousandth of the spectra without any."""
    rng = np.random.default_rng(1)
    ids = rng.permutation(n).astype(np.int64) + 10**9
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": 2 * N_BINS, "NAXIS2": n})
    stream = fits.StreamingHDU(folder / "data.fits", header)
    for start in range(0, n, _CHUNK):
        block = rng.standard_normal((min(_CHUNK, n - start), 2, N_BINS), np.float32)
        block[:, 1] = np.abs(block[:, 1])
        block[:, 1, rng.choice(N_BINS, N_BINS // 100)] = 0
        block[::1000, 1] = 0
        stream.write(block.reshape(-1, 2 * N_BINS))
    stream.close()
    _append_table(folder / "data.fits", {"TARGETID": ids})
    truth = {"THING_ID": np.sort(ids), "Z_VI": rng.uniform(0, 4, n), "BAL_FLAG_VI": np.zeros(n), "BI_CIV": np.zeros(n)}
    whole = {name: np.full(n, 3, np.int16) for name in ("CLASS_PERSON", "Z_CONF_PERSON")}
    fits.PrimaryHDU().writeto(folder / "truth.fits")
    _append_table(folder / "truth.fits", truth | whole)


def _append_table(path: Path, columns: dict[str, np.ndarray]) -> None:
    kinds = {"i8": "K", "f8": "D", "i2": "I"}
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, kinds[array.dtype.str[1:]], array=array) for name, array in columns.items()]
    )
    fits.append(path, table.data, table.header)


def prepare(folder: Path) -> dict[str, float]:
    """Prepare the pair; what the measured process does."""
    from quasarcurves.spectra.prepare import prepare as prepare_spectra  # noqa: PLC0415

    config = {"source": "quasarnet_fits", "spectra": [str(folder / "data.fits")], "truth": [str(folder / "truth.fits")]}
    # what reading FITS imports is not counted
    from quasarcurves.spectra.sources import check  # noqa: PLC0415

    check(config)
    before, wall = os.times(), time.perf_counter()
    prepare_spectra(config, folder / "spectra.h5")
    after = os.times()
    user, kernel = after.user - before.user, after.system - before.system
    return {
        "cpu_s": user + kernel,
        "kernel_s": kernel,
        "wall_s": time.perf_counter() - wall,
        "peak_mb": resident_mb("VmHWM"),
    }


def draw_subset(folder: Path, name: str) -> dict[str, float]:
    """Draw the rows of a training."""
    from quasarcurves.spectra.subsets import Subset, draw  # noqa: PLC0415
    from quasarcurves.spectra.table import load_column  # noqa: PLC0415

    path = folder / f"{name}.h5"
    cpu = time.process_time()
    draw(load_column(folder / "spectra.h5", "target_id"), FRACTIONS[name], test_fraction=0.05).save(path)
    cpu = time.process_time() - cpu
    subset = Subset.load(path)
    rows = len(subset.train) + len(subset.validation) + len(subset.test)
    return {"cpu_s": cpu, "peak_mb": resident_mb("VmHWM"), "bytes_per_row": path.stat().st_size / rows}


class _Started(Exception):
    """The first steps are done."""


def start_training(folder: Path, name: str) -> dict[str, float]:
    """Train up to the end of the first steps; what the measured process does."""
    import tensorflow as tf  # noqa: PLC0415

    from quasarcurves.spectra.subsets import Subset  # noqa: PLC0415
    from quasarcurves.steps import build, training  # noqa: PLC0415

    training.use_threads(1)
    tf.reduce_sum(tf.ones(1)).numpy()
    idle, before = resident_mb("VmRSS"), reading()
    cpu, wall = time.process_time(), time.perf_counter()
    subset = Subset.load(folder / f"{name}.h5")
    trainer = build.build_trainer(folder / "spectra.h5", subset, RUN)
    built, after = time.perf_counter(), reading()

    def stop() -> None:
        raise _Started

    with suppress(_Started):
        trainer.train(after_block=stop)
    rows_mb = (len(subset.train) + len(subset.validation)) * 4 * N_BINS / 1e6
    requested, disk = (after[key] - before[key] for key in ("rchar", "read_bytes"))
    peak = resident_mb("VmHWM")
    return {
        "start_s": time.perf_counter() - wall,
        "reading_s": built - wall,
        "cpu_s": time.process_time() - cpu,
        "rows_mb": rows_mb,
        "requested_mb": requested,
        "requested": requested / rows_mb,
        "disk_mb": disk,
        "idle_mb": idle,
        "peak_mb": peak,
        "held": (peak - idle) / rows_mb,
    }


def resident_mb(name: str) -> float:
    """Megabytes of resident memory, of this process since its program was started (`VmHWM`), or now (`VmRSS`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name))


def reading() -> dict[str, float]:
    """Megabytes that this process has read: what it asked for, and what a disk had to give."""
    pairs = (line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {name: int(value) / 1e6 for name, value in pairs}


STEPS = {"prepare": prepare, "subset": draw_subset, "train": start_training}


def measured(step: str, *arguments: object) -> dict[str, float]:
    """Do a step in a process of its own."""
    command = [sys.executable, __file__, step, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def cool(folder: Path) -> None:
    """Have the kernel forget what it holds of the files in a folder, so that they are read from the disk."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(n: int) -> Iterator[tuple[str, str, float]]:
    """Yield step, measure and value of all that is measured."""
    few = n // 10
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        peaks = {}
        for size, folder in ((few, Path(small)), (n, Path(large))):
            write_pair(folder, size)
            cool(folder)
            found = measured("prepare", folder)
            peaks[size] = found["peak_mb"]
        found["spectra_per_cpu_s"] = n / found["cpu_s"]
        found["bytes_per_spectrum_more"] = 1e6 * (peaks[n] - peaks[few]) / (n - few)
        yield from (("prepare", name, value) for name, value in found.items())
        (folder / "data.fits").unlink()
        for name in FRACTIONS:
            found = measured("subset", folder, name)
            yield from ((f"subset_{name}", measure, value) for measure, value in found.items())
            cool(folder)
            yield from ((name, measure, value) for measure, value in measured("train", folder, name).items())


def main() -> None:
    """Measure and print a table."""
    if sys.argv[1:2] and sys.argv[1] in STEPS:
        print(json.dumps(STEPS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])))
        return
    n = int(sys.argv[1]) if sys.argv[1:] else SPECTRA
    table = csv.writer(sys.stdout)
    table.writerow(["spectra", "step", "measure", "value", "goal"])
    for step, name, value in measure(n):
        table.writerow([n, step, name, f"{value:.4g}", GOALS.get((step, name), "")])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
