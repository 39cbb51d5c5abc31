"""What the programs of `peers.py` share: their settings, and how a process of them is told what to do.

It needs numpy alone, as the peers' environment has nothing of this project.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

FIRST = 10
"""Steps whose losses are compared."""

KERNEL_WIDTH, STRIDE, CONVOLUTIONS = 10, 2, 4
MOMENTUM, NORM_EPSILON = 0.99, 1e-3
"""Batch normalisation's, as Keras defines them: the share of the old running mean that is kept, and what is added to
the variance."""

RATE, BETA_1, BETA_2, ADAM_EPSILON = 1e-4, 0.9, 0.999, 1e-7
"""Adam's, as Keras defines them. A rate of 1e-3, as in studies, would make losses at 100 filters differ by up to 1e-3
after ten steps by rounding alone: float32 and float64 do in one and the same program. A step costs the same."""

LOG_EPSILON, OFFSET_SCALE, OFFSET_SHIFT = 1e-7, 1.2, -0.1

Seconds = tuple[float, float]
"""Seconds and processor seconds."""


class Program(Protocol):
    """A training under way, which goes on with each call."""

    def first_losses(self) -> Sequence[float]:
        """Take the first steps and return their losses."""

    def turn(self, passes: int) -> Seconds:
        """Take a step on each of the batches, so many times, and return the time it took."""


def timed(action: Callable[[], object]) -> Seconds:
    """Return the time that something takes."""
    start = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - start[0], time.process_time() - start[1]


class Inputs:
    """What all programs start from, as `peers.write_inputs` has written it.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    flux : (n, 443) float32 array
    box : (n, L) int32 array
        -1 where there is none.
    offset, weight : (n, L) float32 arrays
    batches : (steps, batch) int32 array
        Places of the spectra.
    kernels : dict of str to array
        Of `conv_1` to `conv_4` (width, channels, filters), `fc_common` (bins * channels, filters) and `heads`. All
        else starts at 0, and the factors and variances of normalisations at 1.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self.flux, self.box, self.offset, self.weight, self.batches = (
                arrays[name] for name in ("flux", "box", "offset", "weight", "batches")
            )
            names = [*(f"conv_{i}" for i in range(1, CONVOLUTIONS + 1)), "fc_common", "heads"]
            self.kernels = {name: arrays[name] for name in names}

    @property
    def filters(self) -> int:
        """Filters of each convolution."""
        return self.kernels["heads"].shape[0]

    @property
    def boxes(self) -> int:
        """Boxes per line."""
        return self.kernels["heads"].shape[1] // self.box.shape[1] // 2


def serve(build: Callable[[str, Inputs], Program]) -> None:
    """Build the form that the command line names, say its first losses, then the time of each turn asked for."""
    program = build(sys.argv[1], Inputs(Path(sys.argv[2])))
    # libraries write to the standard output too
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps([float(loss) for loss in program.first_losses()]), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(program.turn(int(line))), file=answers, flush=True)
