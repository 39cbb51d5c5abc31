"""Cost of the step record: time of a step with all measures against one with the loss alone, side by side.

Both trainings live in one process and take turns, many short blocks each, so that whatever else the machine does meets
both alike; the ratio is the median over pairs of neighbouring blocks. `python benchmarks/step_record.py [Optimizer]`
prints a table.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from fit import network

from quasarcurves.quasarnet.loss import weighted_line_losses
from quasarcurves.quasarnet.task import QuasarNet
from quasarcurves.steps.build import build_model
from quasarcurves.steps.training import use_threads
from quasarcurves.training import backends, optimizers
from quasarcurves.training.measures import Loss, step_record
from quasarcurves.training.plan import Learner

CASES = ((16, 32, 30, 200, 10), (100, 256, 2, 30, 3))
"""Filters, batch size, steps of a block, pairs of blocks, and per cent allowed."""

N, LINES = 2048, 7


def make(filters: int, measures: object, name: str) -> object:
    """Compile the steps of a network on random spectra."""
    model = build_model(QuasarNet(network(filters)), 1, 0)
    optimizer = optimizers.build({"class": name})
    rng = np.random.default_rng(1)
    flux = rng.normal(size=(N, 443, 1)).astype(np.float32)
    box, offset = rng.integers(-1, 13, (N, LINES)), rng.uniform(size=(N, LINES)).astype(np.float32)
    data = flux, box.astype(np.int32), offset, np.ones((N, LINES), np.float32)
    learner = Learner(model, optimizer, weighted_line_losses, list("abcdefg"))
    optimizer.build(learner.weights)
    measures = step_record(optimizer) if measures is None else measures
    return backends.active().compile_steps(learner, data, measures, len(flux))


def seconds(run: object, batches: np.ndarray) -> float:
    """Time a block, per step."""
    start = time.process_time()
    run(batches)
    return (time.process_time() - start) / len(batches)


def compare(filters: int, batch: int, steps: int, pairs: int, name: str) -> tuple[float, float, float, float]:
    """Give median seconds per step with the loss alone and in full, and the ratio with its standard error."""
    runs = [make(filters, measures, name) for measures in ((Loss(),), None)]
    batches = np.random.default_rng(2).integers(0, N, (steps, batch)).astype(np.int32)
    for run in runs:
        seconds(run, batches)
    times = np.empty((pairs, 2))
    for i in range(pairs):
        order = (0, 1) if i % 2 else (1, 0)
        for j in order:
            times[i, j] = seconds(runs[j], batches)
    ratios = times[:, 1] / times[:, 0]
    error = 1.2533 * 1.4826 * np.median(np.abs(ratios - np.median(ratios))) / np.sqrt(pairs)
    return *np.median(times, axis=0), np.median(ratios), error


def main() -> None:
    """Measure both sizes and print a table."""
    use_threads(1)
    name = sys.argv[1] if len(sys.argv) > 1 else "Adam"
    print(f"{name}: filters batch  loss alone (ms)  full record (ms)  cost (%)  allowed (%)")
    for filters, batch, steps, pairs, allowed in CASES:
        alone, full, ratio, error = compare(filters, batch, steps, pairs, name)
        cost = f"{100 * (ratio - 1):.1f} +- {100 * error:.1f}"
        print(f"{filters:14d} {batch:5d} {1e3 * alone:16.2f} {1e3 * full:17.2f}  {cost:>13} {allowed:8d}")


if __name__ == "__main__":
    main()
