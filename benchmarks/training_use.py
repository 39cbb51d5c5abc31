"""Memory and time of trainings against what they are made of: `python benchmarks/training_use.py > training_use.csv`.

What `quasarcurves.study.resources` expects of a training comes from this table. Every training is a process of its own
that imports what the rule's does, of a few epochs on noise: what is in the spectra costs nothing. `step_ms` and
`steps_s` are processor time, of a step once it is compiled and of all steps, `cpu_s` that of the whole process;
`peak_mb` is its peak of resident memory.
`python benchmarks/training_use.py 0 3` measures the first and the fourth case alone.
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
from pathlib import Path

import numpy as np
from inference import chunks

from quasarcurves.spectra.subsets import Subset
from quasarcurves.spectra.table import write_chunks
from quasarcurves.training import keras_import
from quasarcurves.training.history import History
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import StateSettings

LINES, BAL_LINES = ["LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha"], ["CIV(1548)"]
USUAL = {
    "n_train": 1024, "filters": 16, "layers": 4, "batch": 32, "epochs": 20, "validation": 64,
    "optimizer": {"class": "Adam", "learning_rate": 1e-3}, "curvature_every": 0, "probe": 64, "snapshots": 0,
    "dropout": 0.0, "frozen": 0, "copies": 1,
}  # fmt: skip
"""A training of the default study, but shorter."""


def cases() -> Iterator[dict]:
    """Yield what differs from the usual training."""
    yield {}
    yield from ({"n_train": n, "epochs": 2, "batch": 256} for n in (10_000, 60_000, 200_000))
    yield from ({"filters": filters} for filters in (4, 32))
    yield from ({"filters": 100, "n_train": 4 * batch, "batch": batch, "epochs": 3} for batch in (32, 256, 1024))
    yield from ({"batch": batch} for batch in (8, 128))
    yield from ({"layers": layers} for layers in (2, 6))
    yield {"dropout": 0.2}
    yield from ({"optimizer": {"class": name}} for name in ("SGD", "Lion", "StableAdamW", "Muon"))
    yield {"optimizer": {"class": "Adam", "amsgrad": True}}
    yield {"filters": 100, "n_train": 512, "batch": 256, "epochs": 3, "optimizer": {"class": "Muon"}}
    yield {"n_train": 256, "filters": 4, "batch": 8, "epochs": 1000}
    yield {"curvature_every": 20, "epochs": 10}
    yield {"curvature_every": 20, "epochs": 5, "probe": 256, "filters": 32}
    yield {"curvature_every": 4, "epochs": 2, "n_train": 256, "probe": 256, "filters": 100}
    yield {"snapshots": 5}
    yield {"validation": 4096, "filters": 100, "n_train": 128, "epochs": 3}
    # layers of a file that are kept: none of its, its convolutions, all but the heads
    yield from ({"filters": 25, "dropout": 0.2, "frozen": frozen} for frozen in (0, 4, 5))
    yield from ({"filters": 100, "n_train": 1024, "batch": 256, "epochs": 3, "frozen": frozen} for frozen in (0, 4, 5))
    yield from ({"n_train": 60_000, "epochs": 1, "batch": 256, "copies": copies} for copies in (1, 2, 4, 8))


def prepare(folder: Path, case: dict) -> None:
    """Write spectra and the rows to train on."""
    n, validation = case["n_train"], case["validation"]
    write_chunks(folder / "spectra.h5", chunks(n + validation))
    rows = np.arange(n + validation, dtype=np.uint32)
    Subset(train=rows[:n], validation=rows[n:], test=rows[:0]).save(folder / "subset.h5")


def network_of(folder: Path, case: dict) -> dict:
    """Return the `network` block; write the file that frozen layers are of."""
    block = {"filters": case["filters"], "layers": case["layers"], "boxes": 13, "dropout": case["dropout"],
             "lines": LINES, "bal_lines": BAL_LINES}  # fmt: skip
    if case["copies"] > 1:
        block["augment"] = {"copies": case["copies"], "noise": 0.1}
    if case["frozen"]:
        from quasarcurves.quasarnet.network import build  # noqa: PLC0415  (imports Keras)
        from quasarcurves.quasarnet.trained_network import Trained  # noqa: PLC0415

        file, model = folder / "start.keras", build(filters=case["filters"], layers=case["layers"])
        Trained(model, LINES, BAL_LINES).save(file)
        block |= {"start": {"file": str(file), "sha256": ""}, "frozen": case["frozen"]}
    return block


def train(folder: Path, case: dict) -> None:
    """Train; what the measured process does."""
    keras_import.import_keras()
    from quasarcurves.steps.training import Job, train_runs, use_threads  # noqa: PLC0415  (imports Keras)

    # whatever else the machine does does not count
    time.perf_counter = time.process_time
    use_threads(1)
    params = {
        "study": "use", "seed": 1, "replicate": 0, "fraction": 0.8, "optimizer": "x",
        "optimizer_spec": case["optimizer"],
        "network": network_of(folder, case),
        "training": {"epochs": case["epochs"], "batch_size": case["batch"], "last_batch": "keep", "validate_every": 1},
    }  # fmt: skip
    if case["curvature_every"]:
        params["diagnosis"] = {"curvature_every": case["curvature_every"], "probe_size": case["probe"]}
    if case["snapshots"]:
        limits = {"window": 20, "settled": 20, "course": 1.1, "high": 1.5}
        params["snapshots"] = {"keep": case["snapshots"], **limits}
    names = ("subset", "history", "model", "best")
    suffixes = {"model": ".keras", "best": ".keras"}
    files = {name: folder / f"{name}{suffixes.get(name, '.h5')}" for name in names}
    if case["snapshots"]:
        files["snapshots"] = folder / "snapshots.h5"
    job = Job(run=RunSettings.from_json(params), key="use", state=folder / "state", **files)
    train_runs(folder / "spectra.h5", [job], StateSettings(checkpoint_every=25, keep_state=True))


def measure(case: dict) -> dict[str, float]:
    """Train in a process of its own and give what it used."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, case)
        process = subprocess.Popen([sys.executable, __file__, "train", name, json.dumps(case)])
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"training {case} failed with status {status}")
        return {
            **_record(folder, case),
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_mb": usage.ru_maxrss / 1024,
        }


def _record(folder: Path, case: dict) -> dict[str, float]:
    epochs = History.load(folder / "history.h5").epochs
    steps, seconds = np.diff(epochs["step"], prepend=0), epochs["seconds"]
    # the first epochs hold the compilation
    settled = slice(len(seconds) // 2, None)
    step_ms = 1e3 * float(np.median(seconds[settled] / steps[settled]))
    return {"steps": int(steps.sum()), "step_ms": step_ms, "steps_s": float(seconds.sum())}


def main() -> None:
    """Measure all cases and print a table."""
    if sys.argv[1:2] == ["train"]:
        train(Path(sys.argv[2]), json.loads(sys.argv[3]))
        return
    chosen = [case for i, case in enumerate(cases()) if str(i) in sys.argv[1:] or not sys.argv[1:]]
    for i, change in enumerate(chosen):
        case = {**USUAL, **change}
        used = {name: round(value, 2) for name, value in measure(case).items()}
        optimizer = case["optimizer"]["class"] + "_amsgrad" * case["optimizer"].get("amsgrad", False)
        row = {**case, "optimizer": optimizer}
        table = csv.DictWriter(sys.stdout, [*row, *used])
        if not i:
            table.writeheader()
        table.writerow({**row, **used})
        sys.stdout.flush()


if __name__ == "__main__":
    main()
