"""Intervals over the test set: objects are drawn with replacement, repeat observations of one together.

Where all or none of a few quasars are found, drawing them anew gives the same again, and an interval without width. So
a quasar that is found and one that is called but at a wrong redshift are drawn along, in the manner of Agresti & Coull
(1998, Am. Stat. 52, 119), who add successes and failures to a share. They add two of each; for shares near 1, as they
are here, that moves the interval too far down (with 200 spectra a true purity of 99.3 % was in it in 77 % of cases),
and one of each does not (96 %).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quasarcurves.analysis.stats.resampling import LEVEL
from quasarcurves.quasarnet.metrics import share

DRAWS = 499
ADDED = 1
"""Quasars of either kind that are added to the test set."""

_HALVINGS = 40


@dataclass(frozen=True)
class Draws:
    """How often each test spectrum was drawn.

    Parameters
    ----------
    weights : (draws, n) float32 array
    right, wrong : (draws,) arrays
        The same of the quasars added.
    """

    weights: np.ndarray
    right: np.ndarray
    wrong: np.ndarray

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(draws, m) float64 weights of some rows."""
        return self.weights[:, rows].astype(np.float64)


def once(n: int) -> Draws:
    """Give the test set itself: each of n spectra once, nothing added."""
    return Draws(np.ones((1, n), np.float32), np.zeros(1), np.zeros(1))


def draw(target_id: np.ndarray, rng: np.random.Generator, draws: int = DRAWS) -> Draws:
    """Draw objects with replacement, as many as there are.

    Parameters
    ----------
    target_id : (n,) array
        The object of each spectrum.
    rng : Generator
    draws : int
    """
    _, object_of_row = np.unique(target_id, return_inverse=True)
    objects = int(object_of_row.max(initial=-1)) + 1
    size = objects + 2 * ADDED
    weights, added = np.empty((draws, len(object_of_row)), np.float32), np.empty((draws, 2))
    for i in range(draws):
        times = np.bincount(rng.integers(size, size=size), minlength=size)
        weights[i] = times[object_of_row]
        added[i] = times[objects:].reshape(2, ADDED).sum(axis=1)
    return Draws(weights, *added.T)


def shares(part: np.ndarray, whole: np.ndarray, draws: Draws) -> np.ndarray:
    """Share of some spectra among others, in every draw.

    Parameters
    ----------
    part, whole : (n,) or (n, k) bool arrays
        For each of k thresholds, or the same for all.
    draws : Draws

    Returns
    -------
    (draws,) or (draws, k) float64 array
        NaN where the whole is empty.
    """
    counted, among = (_count(mask, draws) for mask in (part, whole))
    right, wrong = (each[:, None] if counted.ndim == 2 else each for each in (draws.right, draws.wrong))
    among = among[:, None] if among.ndim < counted.ndim else among
    return share(counted + right, among + right + wrong)


def _count(mask: np.ndarray, draws: Draws) -> np.ndarray:
    rows = mask.any(axis=1) if mask.ndim == 2 else mask
    # sums of whole numbers: float32 holds them up to 2^24
    return draws.weights[:, rows] @ mask[rows].astype(np.float32)


def medians(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median of values, and median distance from it, in every draw.

    Parameters
    ----------
    values : (n,) array
    weights : (draws, n) array
        Whole numbers.

    Returns
    -------
    median, distance : (draws,) float64 arrays
        NaN where nothing was drawn. Of an even number of values it is the mean of the two middle ones.
    """
    if not len(values):
        return np.full((2, len(weights)), np.nan)
    order = np.argsort(values)
    values, cumulative = np.asarray(values, np.float64)[order], np.cumsum(weights[:, order], axis=1, dtype=np.float64)
    half = cumulative[:, -1:] / 2
    below, upto = (cumulative < half).sum(axis=1), (cumulative <= half).sum(axis=1)
    drawn = cumulative[:, -1] > 0
    median = np.where(drawn, (values[below] + values[np.minimum(upto, len(values) - 1)]) / 2, np.nan)
    cumulative = np.pad(cumulative, ((0, 0), (1, 0)))
    # as with the median: of an even number there are two that are in the middle
    widths = [_half_width(values, cumulative, median, reached) for reached in (np.greater_equal, np.greater)]
    return median, np.where(drawn, np.mean(widths, axis=0), np.nan)


def _half_width(values: np.ndarray, cumulative: np.ndarray, centre: np.ndarray, reached: np.ufunc) -> np.ndarray:
    """Smallest distance from a centre within which half of the weight is reached, found by halving."""
    draws, half = np.arange(len(centre)), cumulative[:, -1] / 2
    low, high = np.zeros(len(centre)), np.full(len(centre), np.ptp(values))
    for _ in range(_HALVINGS):
        distance = (low + high) / 2
        first = np.searchsorted(values, centre - distance, side="left")
        beyond = np.searchsorted(values, centre + distance, side="right")
        enough = reached(cumulative[draws, beyond] - cumulative[draws, first], half)
        low, high = np.where(enough, low, distance), np.where(enough, distance, high)
    return high


def spread(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(draws,) standard deviation of values (n,) by weights (draws, n), NaN where fewer than two were drawn."""
    total = weights.sum(axis=1)
    centred = values - values.mean() if len(values) else values
    mean = share(weights @ centred, total)
    square = weights @ centred**2 - total * mean**2
    return np.sqrt(np.maximum(share(square, total - 1), 0))


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the 95 % interval: percentiles over draws, which stand along the first axis; NaN are left out."""
    values = np.asarray(values, np.float64)
    known = np.isfinite(values).any(axis=0)
    tail = (1 - LEVEL) / 2
    bounds = np.nanquantile(np.where(known, values, 0.0), [tail, 1 - tail], axis=0)
    return np.where(known, bounds[0], np.nan), np.where(known, bounds[1], np.nan)
