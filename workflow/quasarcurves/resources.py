"""What a training needs, estimated before it starts: memory and time, for schedulers.

The estimates are meant to be above the need, by less than a factor of four; a retry asks for twice as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from quasarcurves.spectra.grid import N_BINS

_KERNEL, _STRIDE = 10, 2
_SPECTRUM_BYTES = 4 * N_BINS
_BASE_MB = 1200
"""TensorFlow with a small network, and what compiling needs."""

_COPIES = 3
"""Of the training spectra: as read, as handed to TensorFlow, and one in passing."""

_STEP_SECONDS = 0.004
"""Of a step without its arithmetic."""

_FLOPS = 4e10
"""Arithmetic per second of one thread in convolutions; about 40 % of what a current core can do."""

_BASE_SECONDS = 120
_SAFETY = 2


def train_mem_mb(n_train: int, attempt: int = 1) -> int:
    """Memory of a training on `n_train` spectra, in MB; doubled with each attempt."""
    return math.ceil((_BASE_MB + _COPIES * n_train * _SPECTRUM_BYTES / 1e6) * 2 ** (attempt - 1))


def train_minutes(
    n_train: int, network: Mapping[str, Any], training: Mapping[str, Any], threads: int = 1, attempt: int = 1
) -> int:
    """Run time of a training on `n_train` spectra, in minutes; doubled with each attempt.

    Parameters
    ----------
    n_train : int
    network, training : mapping
        The blocks of the study; the training's length in `steps` or in `epochs`.
    threads, attempt : int
    """
    steps = training.get("steps") or math.ceil(n_train / training["batch_size"]) * training["epochs"]
    spectra = steps * min(training["batch_size"], n_train)
    arithmetic = spectra * flops_per_spectrum(network) / (_FLOPS * threads)
    seconds = _BASE_SECONDS + _SAFETY * (steps * _STEP_SECONDS + arithmetic)
    return math.ceil(seconds / 60 * 2 ** (attempt - 1))


def flops_per_spectrum(network: Mapping[str, Any]) -> float:
    """Floating-point operations of one spectrum in one training step: forward, and twice that backward."""
    filters, channels, length, products = network["filters"], 1, N_BINS, 0
    for _ in range(network["layers"]):
        length = -(-length // _STRIDE) if network["layers"] > 4 else (length - _KERNEL) // _STRIDE + 1
        products += length * _KERNEL * channels * filters
        channels = filters
    heads = 2 * network["boxes"] * (len(network["lines"]) + len(network["bal_lines"]))
    products += length * channels * filters + filters * heads
    return 3 * 2 * products


def spectra_in_file(size_mb: float) -> int:
    """Number of spectra in a file of prepared spectra of that size (in MB of 2**20 bytes)."""
    return round(size_mb * 2**20 / _SPECTRUM_BYTES)
