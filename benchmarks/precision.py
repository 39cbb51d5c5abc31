"""What layers in bfloat16 gain, and cost: processor time of a step, side by side with float32, and the losses.

Both trainings live in one process, start alike and take turns. `KERAS_BACKEND=jax python benchmarks/precision.py` does
the same on JAX. Prints a table.
"""

from __future__ import annotations

import csv
import sys
import time
from dataclasses import replace

import keras
import numpy as np

from quasarcurves.quasarnet.loss import weighted_line_losses
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.quasarnet.task import QuasarNet
from quasarcurves.steps.build import build_model
from quasarcurves.steps.training import use_threads
from quasarcurves.training import backends, optimizers
from quasarcurves.training.measures import step_record
from quasarcurves.training.plan import Learner

CASES = ((16, 32, 20, 12), (100, 256, 2, 6))
"""Filters, batch size, steps of a block, blocks."""

SETTINGS = NetworkSettings(filters=16, layers=4, boxes=13, lines=tuple("abcdef"), bal_lines=("g",))


def trainings(filters: int, batch: int, steps: int) -> dict:
    """Compile the same training in both precisions."""
    rng = np.random.default_rng(1)
    n = max(4 * batch, 512)
    data = (
        rng.normal(size=(n, 443, 1)).astype(np.float32), rng.integers(-1, 13, (n, 7)).astype(np.int8),
        rng.uniform(size=(n, 7)).astype(np.float32), np.ones((n, 7), np.float32),
    )  # fmt: skip
    found = {}
    for precision in ("float32", "mixed_bfloat16"):
        model = build_model(QuasarNet(replace(SETTINGS, filters=filters)), 1, 0, precision)
        optimizer = optimizers.build({"class": "Adam", "learning_rate": 1e-3})
        learner = Learner(model, optimizer, weighted_line_losses, list("abcdefg"))
        optimizer.build(learner.weights)
        found[precision] = backends.active().compile_steps(learner, data, step_record(optimizer), steps)
    return found


def main() -> None:
    """Measure both sizes."""
    use_threads(1)
    table = csv.writer(sys.stdout)
    table.writerow(["backend", "filters", "batch", "float32_ms", "bfloat16_ms", "gain", "largest_difference_of_loss"])
    for filters, batch, steps, blocks in CASES:
        runs = trainings(filters, batch, steps)
        times, losses = {name: [] for name in runs}, {name: [] for name in runs}
        for block in range(blocks):
            batches = np.random.default_rng(block).integers(0, 512, (steps, batch)).astype(np.int32)
            for name, run in runs.items():
                start = time.process_time()
                losses[name].append(run(batches)[0].sum(axis=1))
                times[name].append((time.process_time() - start) / steps)
        # the first block holds the compilation
        plain, mixed = (1e3 * np.median(values[1:]) for values in times.values())
        one, other = (np.concatenate(values) for values in losses.values())
        change = np.abs(other / one - 1).max()
        table.writerow([keras.backend.backend(), filters, batch, *np.round([plain, mixed, plain / mixed, change], 4)])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
