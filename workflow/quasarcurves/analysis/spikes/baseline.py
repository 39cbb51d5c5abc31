"""The course and the noise of a loss without its spikes: running medians that leave out the spikes found so far.

Everything works on the log loss: there a spike's height and the noise are as large early in a training as late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis.stats import MAD_TO_SIGMA

LOST_RATIO = 1.5
"""A running median above this many times its lowest value so far follows a spike, not the course."""

NOISE_WINDOWS = 2
"""Width of the window of the noise, in windows of the course."""

_SMALLEST_SIGMA = 1e-6
_BLOCK = 65536
"""Steps worked on at a time: at 10^7 steps each array that they take in between would hold 80 MB."""
_WIDE_BLOCK = 2**20
"""The same where windows reach far beyond a block."""

_TAIL = 0.005
"""Share of the values that counts as a tail."""

_TAIL_VALUES = 8
"""Fewest values that measure a tail."""


@dataclass(frozen=True)
class Baseline:
    """Course and noise of a log loss.

    Parameters
    ----------
    level : (t,) array
        Log of the loss as it would be without spikes and noise.
    sigma : (t,) float32 array
        Standard deviation of the noise about it.
    """

    level: np.ndarray
    sigma: np.ndarray


def fit(log_loss: np.ndarray, quiet: np.ndarray, window: int) -> Baseline:
    """Measure course and noise of a log loss by running median and running median absolute deviation.

    Parameters
    ----------
    log_loss : (t,) array
        Finite.
    quiet : (t,) bool array
        False in known spikes, which are left out and bridged.
    window : int
        Steps that a median is over; there are fewer of them near the beginning.
    """
    median = _bridged(running_median(log_loss[quiet], window), quiet)
    # where a loss falls steeply, each step is the median of its window, noise included: compare with a smooth course
    deviations = _deviations(log_loss, median, window // 8)[quiet]
    # wider than the course's window, as an error of the noise moves every threshold
    _median_filter(deviations, NOISE_WINDOWS * window + 1)
    deviations *= np.float32(MAD_TO_SIGMA)
    sigma = _bridged(deviations, quiet)
    return Baseline(_not_lost(median, window), np.maximum(sigma, _SMALLEST_SIGMA, out=sigma))


def _bridged(values: np.ndarray, quiet: np.ndarray) -> np.ndarray:
    """Put values at the quiet steps, straight lines between them, and the last value after the last quiet step."""
    bridged = np.empty(len(quiet), values.dtype)
    bridged[quiet] = values
    gaps = np.flatnonzero(~quiet)
    if len(gaps):
        beside = np.zeros(len(quiet), bool)
        beside[:-1] |= ~quiet[1:]
        beside[1:] |= ~quiet[:-1]
        edges = np.flatnonzero(quiet & beside)
        bridged[gaps] = np.interp(gaps, edges, bridged[edges])
    return bridged


def running_median(values: np.ndarray, window: int) -> np.ndarray:
    """Median over a centred window that shrinks towards the beginning and reaches beyond the end.

    The median of a falling curve over a symmetric window is its middle value, however steep it is. So the window stays
    symmetric at the beginning, where losses fall fastest. At the end a shrinking window would miss a spike
    that is not over, so the window reaches into a continuation of the curve instead.

    Parameters
    ----------
    values : (t,) array
    window : int
        Odd.

    Returns
    -------
    (t,) array
    """
    half = min(window, len(values)) // 2
    if half == 0:
        return np.array(values, float)
    continued = np.concatenate([values, 2 * _end_level(values, half) - values[::-1][:half]])
    medians = _median_filter(continued, 2 * half + 1)[: len(values)]  # a view: it is in place
    medians[:half] = pd.Series(values[: 2 * half - 1]).expanding().median()[::2]
    return medians


def _end_level(values: np.ndarray, half: int) -> float:
    """Return where a falling curve ends: the median of its last stretch, less half of the last fall of that median."""
    last, before = np.median(values[-half:]), np.median(values[-2 * half : -half])
    return float(last + min(last - before, 0) / 2)


def _not_lost(level: np.ndarray, window: int) -> np.ndarray:
    """Keep a running median at its lowest value so far, in place, where it follows a wide spike or a lasting jump."""
    lowest = np.inf
    # medians over fewer steps are too noisy to compare later ones with
    for first in range(window // 4, len(level), _BLOCK):
        block = level[first : first + _BLOCK]
        so_far = np.minimum(np.minimum.accumulate(block), lowest)
        lowest = so_far[-1]
        np.copyto(block, so_far, where=block > so_far + np.log(LOST_RATIO))
    return level


def _deviations(log_loss: np.ndarray, median: np.ndarray, window: int) -> np.ndarray:
    """Return how far a log loss is from its smoothed median (t,), as float32."""
    t, half = len(median), window // 2
    deviations = np.empty(t, np.float32)
    for first in range(0, t, _BLOCK):
        last = min(first + _BLOCK, t)
        begin = max(first - half, 0)
        means = _smooth(median[begin : last + half], begin, t, window)[first - begin : last - begin]
        np.abs(log_loss[first:last] - means, out=deviations[first:last], casting="same_kind")
    return deviations


def _smooth(values: np.ndarray, begin: int, t: int, window: int) -> np.ndarray:
    """Average over a centred window that is at most half as wide as the steps before it, and cut short at the end.

    Parameters
    ----------
    values : (n,) array
        Those from step `begin` on, of `t`. Where their windows would reach beyond them, means are of fewer.
    begin, t, window : int
    """
    n = len(values)
    sums = np.zeros(n + 1)
    np.cumsum(values, out=sums[1:])
    place = np.arange(n)
    half = np.minimum(np.minimum((place + begin) // 4, window // 2), t - 1 - begin - place)
    low, high = np.maximum(place - half, 0), np.minimum(place + half + 1, n)
    return (sums[high] - sums[low]) / (high - low)


def _median_filter(values: np.ndarray, window: int) -> np.ndarray:
    """Put medians over a centred window in the place of values, which are mirrored at both ends; return them."""
    window = min(window, 2 * (len(values) // 2) + 1)
    # a sorted window slides along: 10^6 values take 0.1 s, whatever the window
    return in_blocks(values, window // 2, lambda piece: scipy.ndimage.median_filter(piece, window, mode="reflect"))


def in_blocks(values: np.ndarray, reach: int, work: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Put in the place of values what comes of them, a block at a time, as arrays in between would be as large.

    Parameters
    ----------
    values : (t,) array
        Overwritten.
    reach : int
        How many values on either side bear on one.
    work : callable
        (n,) -> (n,) array, of values in a row.

    Returns
    -------
    (t,) array
        The same as `work(values)` would give.
    """
    before = values[:0]
    for first in range(0, len(values), _WIDE_BLOCK):
        block = values[first : first + _WIDE_BLOCK]
        piece = np.concatenate([before, values[first : first + len(block) + reach]])
        begin, end = len(before), len(before) + len(block)
        before = piece[max(end - reach, 0) : end]
        block[:] = work(piece)[begin:end]
    return values


def tail_weight(noise: np.ndarray, quiet: np.ndarray, correlated: int = 1, telling: np.ndarray | None = None) -> float:
    """Heaviness of the tails of noise: 1 / degrees of freedom of the Student t distribution that has such tails.

    The lighter of the two tails counts: spikes lie on the upper side alone, and a skewed noise has its long tail on the
    lower side. The upper tail includes the spikes, as leaving out high values would cut it short.

    Parameters
    ----------
    noise : (t,) array
        In units of its standard deviation, from its median absolute deviation.
    quiet : (t,) bool array
        False in spikes.
    correlated : int
        Number of successive values that are not independent.
    telling : (t,) bool array, optional
        False for values that are left out.

    Returns
    -------
    float
        0 for Gaussian tails.
    """
    telling = np.ones(len(noise), bool) if telling is None else telling
    quiet = quiet & telling
    tail = max(_TAIL, _TAIL_VALUES * correlated / max(quiet.sum(), 1))
    if tail > 0.1:
        return 0.0
    low, low_quarter = np.quantile(noise[quiet], [tail, 0.25], overwrite_input=True)
    quarter, high = np.quantile(noise[telling], [0.75, 1 - tail], overwrite_input=True)
    ratio = min(low / low_quarter, high / quarter) if low_quarter < 0 < quarter else 0.0
    weights = np.linspace(0, 0.7, 141)
    ratios = _quantile(weights, tail) / _quantile(weights, 0.25)
    return float(np.interp(ratio, ratios, weights))


def threshold(weight: float, probability: float, heavy_probability: float, values: float) -> float:
    """Height that noise exceeds with a given probability, in units of its standard deviation from the MAD.

    Parameters
    ----------
    weight : float
        Of the tails, from `tail_weight`.
    probability, heavy_probability : float
        Of Gaussian noise, and the one allowed to heavier tails.
    values : float
        Number of independent values behind the MAD: with few its own error, and so the threshold, is larger.
    """
    # degrees of freedom of a standard deviation whose variance is that of a MAD, 1.36 sigma^2 / values
    known = 1 / max(2.7 / values, 1e-6)
    scale = MAD_TO_SIGMA * _quantile(weight, 0.25)
    return max(-float(scipy.special.stdtrit(known, probability)), float(_quantile(weight, heavy_probability) / scale))


def _quantile(weight: np.ndarray | float, probability: float) -> np.ndarray:
    """Return what a Student t variable with 1/weight degrees of freedom exceeds with a given probability."""
    # what scipy.stats.t.isf computes, without its checks of arguments, which take a hundred times as long
    return np.asarray(-scipy.special.stdtrit(1 / np.maximum(weight, 1e-6), probability))
