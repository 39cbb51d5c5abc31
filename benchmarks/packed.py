"""What packing gains: steps of several trainings in one program, side by side with one of them alone, on JAX.

`KERAS_BACKEND=jax python benchmarks/packed.py` on a processor, or on a GPU if JAX finds one; triples of filters, batch
size and trainings as `16:32:8` measure others. Both live in one process and take turns. Prints a table: seconds of the
clock, on a processor with one thread.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import jax
import keras
import numpy as np

from quasarcurves.quasarnet.cost import flops_per_spectrum
from quasarcurves.quasarnet.loss import weighted_line_losses
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.quasarnet.task import QuasarNet
from quasarcurves.steps.build import build_model
from quasarcurves.steps.training import use_threads
from quasarcurves.training import backends, optimizers
from quasarcurves.training.loop import Trainer
from quasarcurves.training.plan import Learner, Plan

CASES = ("16:32:4", "16:32:16", "100:256:4")
OPTIMIZERS = ({"class": "Adam"}, {"class": "Adam", "amsgrad": True})
"""Half of the trainings have each."""

BLOCKS, STEPS = 5, {32: 20, 256: 2}
COLUMNS = (
    "device", "filters", "batch", "trainings", "alone_ms", "packed_ms_per_training", "gain", "packed_gflops"
)  # fmt: skip
SETTINGS = NetworkSettings(filters=16, layers=4, boxes=13, lines=tuple("abcdef"), bal_lines=("g",))


def make_trainer(filters: int, batch: int, replicate: int, spec: dict) -> Trainer:
    """Build a training on noise, whose content costs nothing."""
    rng = np.random.default_rng(1)
    n = STEPS[batch] * batch
    data = (
        rng.normal(size=(n, 443, 1)).astype(np.float32), rng.integers(-1, 13, (n, 7)).astype(np.int8),
        rng.uniform(size=(n, 7)).astype(np.float32), np.ones((n, 7), np.float32),
    )  # fmt: skip
    model, optimizer = build_model(QuasarNet(replace(SETTINGS, filters=filters)), 1, replicate), optimizers.build(spec)
    learner = Learner(model, optimizer, weighted_line_losses, list("abcdefg"))
    return Trainer(learner, Plan(1, batch, lambda epoch: np.arange(n)), data)


def seconds_of(run: Callable[[list], object], blocks: list[np.ndarray]) -> float:
    """Time a block of steps."""
    start = time.perf_counter()
    run(blocks)
    return time.perf_counter() - start


def measure(filters: int, batch: int, n: int) -> dict[str, object]:
    """Time a step of one training alone, and of all in one program over their number."""
    groups = [[make_trainer(filters, batch, replicate, spec) for replicate in range(n // 2)] for spec in OPTIMIZERS]
    pack, alone = backends.pack(groups), make_trainer(filters, batch, 0, OPTIMIZERS[0]).alone.program
    rows = np.random.default_rng(0).integers(0, STEPS[batch] * batch, (STEPS[batch], batch)).astype(np.int32)
    sides = {"alone": (alone.run_steps, [rows]), "packed": (pack.run_steps, [rows] * n)}
    times = {side: [] for side in sides}
    for _ in range(1 + BLOCKS):
        for side, call in sides.items():
            times[side].append(seconds_of(*call))
    # the first holds the compilation
    step = {side: np.median(values[1:]) / STEPS[batch] for side, values in times.items()}
    gain = n * step["alone"] / step["packed"]
    flops = n * batch * flops_per_spectrum(replace(SETTINGS, filters=filters)) / step["packed"]
    device, milliseconds = jax.devices()[0].device_kind, 1e3 * step["packed"] / n
    values = (device, filters, batch, n, 1e3 * step["alone"], milliseconds, gain, flops / 1e9)
    return dict(zip(COLUMNS, values, strict=True))


def main() -> None:
    """Measure the cases of the command line, or all."""
    if keras.backend.backend() != "jax":
        sys.exit("packs are for JAX: KERAS_BACKEND=jax python benchmarks/packed.py")
    use_threads(1)
    table = csv.DictWriter(sys.stdout, COLUMNS)
    table.writeheader()
    for case in sys.argv[1:] or CASES:
        found = measure(*map(int, case.split(":")))
        table.writerow({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in found.items()})
        sys.stdout.flush()


if __name__ == "__main__":
    main()
