"""What it saves to keep the convolutions of the backward pass from step to step.

`python benchmarks/kept_primitives.py > benchmarks/kept_primitives.csv`. TensorFlow sets them up anew at every step,
unless an environment variable says otherwise, which trainings set (`quasarcurves.training.keras_import`). It reads it
once, so each form has a process of its own. Both take their turns on one thread, with the whole record, and must return
the same numbers to the bit.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import numpy as np

SIZES = ((16, 32, 60), (32, 32, 30), (100, 32, 6), (100, 256, 1))
"""Filters, batch size, steps of a block."""

TURNS = 15
VARIABLE = "TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE"


def serve(filters: int, batch: int, steps: int) -> None:
    """Take a block of steps for every line of the standard input; say seconds per step, and a hash of what came out."""
    from hashlib import sha256  # noqa: PLC0415

    from quasarcurves.training import keras_import  # noqa: PLC0415

    keras_import.import_keras()
    import step_record  # noqa: PLC0415

    step_record.use_threads(1)
    run = step_record.make(filters, None, "Adam")
    batches = np.random.default_rng(2).integers(0, step_record.N, (steps, batch)).astype(np.int32)
    for _ in sys.stdin:
        seconds = step_record.seconds(run, batches)
        made = b"".join(part.tobytes() for part in run(batches[:1]))
        print(json.dumps([seconds, sha256(made).hexdigest()]), flush=True)


class Side:
    """The process of one form."""

    def __init__(self, filters: int, batch: int, steps: int, *, anew: bool) -> None:
        command = [sys.executable, __file__, *map(str, (filters, batch, steps))]
        environment = os.environ | {VARIABLE: str(anew).lower(), "KERAS_BACKEND": "tensorflow", "OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)

    def turn(self) -> tuple[float, str]:
        """Have it take its turn."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return tuple(json.loads(self.process.stdout.readline()))


def compare(filters: int, batch: int, steps: int) -> list[object]:
    """Return median milliseconds per step of both, and the ratio with its quartiles."""
    sides = [Side(filters, batch, steps, anew=anew) for anew in (True, False)]
    seconds = []
    for turn in range(TURNS + 1):
        found = dict((i, sides[i].turn()) for i in ((0, 1) if turn % 2 else (1, 0)))
        if found[0][1] != found[1][1]:
            raise SystemExit(f"{filters} filters, batches of {batch}: the numbers differ")
        seconds.append((found[0][0], found[1][0]))
    for side in sides:
        side.process.stdin.close()
        side.process.wait()
    times = np.array(seconds[1:])  # the first has tracing in it
    ratio = np.quantile(times[:, 1] / times[:, 0], [0.5, 0.25, 0.75])
    return [*(f"{1e3 * value:.2f}" for value in np.median(times, axis=0)), *(f"{value:.3f}" for value in ratio)]


def main() -> None:
    """Measure all sizes and print a table."""
    table = csv.writer(sys.stdout)
    table.writerow(["filters", "batch", "anew_ms", "kept_ms", "ratio", "ratio_low", "ratio_high"])
    for filters, batch, steps in SIZES:
        table.writerow([filters, batch, *compare(filters, batch, steps)])
        sys.stdout.flush()


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:])) if sys.argv[1:] else main()
