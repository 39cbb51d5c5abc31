"""Learning curves whose truth is known, in the published form of each family: for tests of intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

KINDS = ("pow3", "pow4", "mmf4", "wbl4", "exp4")
LARGEST = 100_000
DECADES = 2.0

_FALLS = (1.5, 50.0)
"""Least and most that the error falls over the sizes, as a factor."""

_LEAST_GAIN = 0.02
ERROR = 0.02
"""Error at the largest size."""

Curve = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Planted:
    """Simulated errors and the curve they are of.

    Parameters
    ----------
    n, error : (N,) array
    target : float
        Error of the curve at `n_required`.
    n_required : float
    floor : float
    gain : float
        Part of the error that goes from the largest size to twice that.
    curve : (N,) array
        Error without noise.
    ratio : float
        Error of the curve at the largest size over that at the smallest.
    told : (N,) array
        Standard deviation of the log error from the test set, which replicates share; NaN where nobody tells it.
    """

    n: np.ndarray
    error: np.ndarray
    target: float
    n_required: float
    floor: float
    gain: float
    curve: np.ndarray
    ratio: float
    told: np.ndarray


def plant(
    kind: str,
    rng: np.random.Generator,
    *,
    sizes: tuple[int, int] = (5, 8),
    replicates: tuple[int, int] = (3, 10),
    noise: tuple[float, float] = (0.03, 0.1),
    n_required: tuple[float, float] = (0.2, 4.0),
    grows: float = 1.0,
    test_share: float = 0.0,
) -> Planted:
    """Simulate errors of sizes over two decades with log-normal noise.

    Parameters
    ----------
    kind : str
        Of `KINDS`.
    rng : Generator
    sizes, replicates : tuple of int
        Fewest and most.
    noise : tuple of float
        Least and most standard deviation of the log error.
    n_required : tuple of float
        Least and most of the size that the target takes, over the largest; evenly in its logarithm.
    grows : float
        Factor by which the noise of the smallest size is above that of the largest.
    test_share : float
        Share of the variance of the noise that the test set makes, and tells.
    """
    k, m = rng.integers(sizes[0], sizes[1] + 1), rng.integers(replicates[0], replicates[1] + 1)
    each = np.round(np.logspace(-DECADES, 0, k) * LARGEST)
    curve, floor = draw_curve(kind, rng)
    sigma = rng.uniform(*noise) * grows ** np.linspace(1, 0, k)
    n = np.repeat(each, m)
    error = curve(n) * np.exp(np.repeat(sigma, m) * _normal(rng, int(k), int(m), test_share))
    needed = LARGEST * np.exp(rng.uniform(*np.log(n_required)))
    gain = 1 - float(curve(2.0 * LARGEST) / curve(1.0 * LARGEST))
    ratio = float(curve(n[-1]) / curve(n[0]))
    told = np.repeat(sigma, m) * (np.sqrt(test_share) if test_share else np.nan)
    return Planted(n, error, float(curve(needed)), float(needed), floor, gain, curve(n), ratio, told)


def _normal(rng: np.random.Generator, sizes: int, replicates: int, test_share: float) -> np.ndarray:
    """Draw standard noise (sizes * replicates,), of which the replicates of a size share a part."""
    own = np.sqrt(1 - test_share) * rng.standard_normal((sizes, replicates))
    if test_share:
        own += np.sqrt(test_share) * rng.standard_normal((sizes, 1))
    return own.ravel()


def flat(
    rng: np.random.Generator,
    *,
    sizes: tuple[int, int] = (5, 8),
    replicates: tuple[int, int] = (3, 10),
    noise: tuple[float, float] = (0.03, 0.1),
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate errors (N,) that are the same at all sizes (N,) but for noise."""
    k, m = rng.integers(sizes[0], sizes[1] + 1), rng.integers(replicates[0], replicates[1] + 1)
    n = np.repeat(np.round(np.logspace(-DECADES, 0, k) * LARGEST), m)
    return n, ERROR * np.exp(rng.uniform(*noise) * rng.standard_normal(len(n)))


def draw_curve(kind: str, rng: np.random.Generator) -> tuple[Curve, float]:
    """Draw a curve that falls by a factor 1.5 to 50 and gains at least 2 % by doubling; return it and its floor."""
    smallest, largest = LARGEST / 10**DECADES, float(LARGEST)
    while True:
        share = rng.uniform(0, 0.8) if rng.random() < 0.75 else 0.0
        shape = _SHAPES[kind](rng)
        scale = ERROR * (1 - share) / shape(largest)
        floor = ERROR * share

        def curve(n: np.ndarray, shape: Curve = shape, scale: float = scale, floor: float = floor) -> np.ndarray:
            return floor + scale * shape(np.asarray(n, float))

        fall, gain = curve(smallest) / curve(largest), 1 - curve(2 * largest) / curve(largest)
        if _FALLS[0] < fall < _FALLS[1] and gain > _LEAST_GAIN:
            return curve, floor


def _pow3(rng: np.random.Generator) -> Curve:
    c = rng.uniform(0.15, 1.0)
    return lambda n: n**-c


def _pow4(rng: np.random.Generator) -> Curve:
    c, d = rng.uniform(0.3, 1.5), LARGEST * 10 ** rng.uniform(-2.5, -0.7)
    return lambda n: (n + d) ** -c


def _mmf4(rng: np.random.Generator) -> Curve:
    d = rng.uniform(0.4, 1.5)
    b = (LARGEST * 10 ** rng.uniform(-2.5, -0.5)) ** d
    return lambda n: b / (b + n**d)


def _wbl4(rng: np.random.Generator) -> Curve:
    d = rng.uniform(0.15, 0.8)
    a = rng.uniform(0.1, 1.5) / d / LARGEST**d
    return lambda n: np.exp(-a * n**d)


def _exp4(rng: np.random.Generator) -> Curve:
    d = rng.uniform(0.2, 0.6)
    a, b = rng.uniform(0.5, 4.0) / LARGEST**d, rng.uniform(-2, 2)
    return lambda n: np.exp(-a * n**d + b)


_SHAPES: dict[str, Callable[[np.random.Generator], Curve]] = {
    "pow3": _pow3, "pow4": _pow4, "mmf4": _mmf4, "wbl4": _wbl4, "exp4": _exp4,
}  # fmt: skip
