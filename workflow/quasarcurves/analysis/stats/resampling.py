"""Bootstrap: draws with replacement, weighted statistics over all draws at once, and the intervals that follow.

What is measured on spikes is drawn in two stages, runs and spikes within runs, and never by single steps: the steps of
a run are not independent.
"""

from __future__ import annotations

import numpy as np
import scipy

from quasarcurves.analysis.stats import ALPHA

DRAWS = 999

_ROUNDING = 2.0**-40
"""Of the range of values: distances that differ by less are equal."""


def draw_weights(run: np.ndarray, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Draw runs with replacement, then spikes of each drawn run with replacement (Davison & Hinkley 1997, section 3.8).

    Two stages are conservative where runs are alike: intervals come out too wide, by up to sqrt(2). Drawing runs alone
    would be too narrow for the handful of replicates that a study has. Where five runs differ as much as their spikes
    do, 95 % intervals still cover only 88 %. The interval of a single run tells nothing about other runs.

    Parameters
    ----------
    run : (n,) int array
        The run of each spike.
    rng : Generator
    draws : int

    Returns
    -------
    (draws, n) float64 array
        How often each spike was drawn: whole numbers, of the type that they are multiplied as.
    """
    _, run = np.unique(run, return_inverse=True)
    sizes = np.bincount(run)
    times = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=draws)  # (draws, runs)
    weights = np.empty((draws, len(run)))
    for i, size in enumerate(sizes):
        weights[:, run == i] = rng.multinomial(times[:, i] * size, np.full(size, 1 / size))
    return weights


def mean_interval(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean over spikes from the weights of `draw_weights`.

    Parameters
    ----------
    values : (n,) array
        NaN are left out.
    weights : (draws, n) array

    Returns
    -------
    low, high : float
        NaN if there is no value.
    """
    known = np.isfinite(values)
    weights = weights if known.all() else weights[:, known]
    totals = weights.sum(axis=1)
    means = (weights @ values[known])[totals > 0] / totals[totals > 0]
    return bounds(means, int(known.sum())) if len(means) else (float("nan"), float("nan"))


def share_interval(values: np.ndarray, run: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % interval of a mean of values (n,) between -1 and 1: as `share_intervals`, of one."""
    return share_intervals(values[None], run, rng)[0]


def share_intervals(values: np.ndarray, run: np.ndarray, rng: np.random.Generator) -> list[tuple[float, float]]:
    """95 % intervals of means of values between -1 and 1, such as differences of shares, over the same draws.

    One spike of -1 and one of 1 are added to the run with most spikes, in the manner of Agresti & Min (2005, Biometrics
    61, 515), who add half a pair to each cell. Otherwise ten spikes that all agree would have an interval of no width.

    Parameters
    ----------
    values : (k, n) array
    run : (n,) int array
        The run of each spike, counted from 0.
    rng : Generator
    """
    largest = np.bincount(run).argmax()
    weights = draw_weights(np.append(run, [largest, largest]), rng)
    return [mean_interval(np.append(row, [-1.0, 1.0]), weights) for row in values]


def median_interval(values: np.ndarray, run: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Median over spikes with its 95 % interval from `draw_weights`.

    The interval is as wide as for one value per run, not per spike. With three runs of five spikes it covers 99 % where
    runs are alike, 95 % where they differ as much as their spikes do, 86 % where they differ twice as much.

    Parameters
    ----------
    values : (n,) array
        Only finite values count.
    run : (n,) int array
        The run of each value.
    rng : Generator

    Returns
    -------
    median, low, high : float
        NaN if there is no value.
    """
    known = np.isfinite(values)
    values, run = values[known], run[known]
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    medians = weighted_medians(values, draw_weights(run, rng))
    return float(np.median(values)), *bounds(medians, len(np.unique(run)))


def bounds(values: np.ndarray, n: int) -> tuple[float, float]:
    """Return the percentiles of bootstrapped values that bound the 95 % interval.

    They lie further out than 2.5 % and 97.5 %, as a bootstrap of few spikes is too narrow: as far as the bounds of
    Student's t with n - 1 degrees of freedom (expanded percentiles; Hesterberg 2015, Am. Stat. 69, 371).

    Parameters
    ----------
    values : (draws,) array
    n : int
        Number of spikes that were drawn from.
    """
    tail = float(scipy.stats.norm.sf(np.sqrt(n / (n - 1)) * scipy.stats.t.isf(ALPHA / 2, n - 1))) if n > 1 else 0.0
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def percentile_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the percentiles of bootstrapped values (draws, ...) that bound the 95 % interval, each (...).

    NaN are left out; the bounds are NaN where all draws are.
    """
    columns = np.asarray(values, np.float64).reshape(len(values), -1)
    ends, finite = [ALPHA / 2, 1 - ALPHA / 2], np.isfinite(columns)
    complete, known = finite.all(axis=0), finite.any(axis=0)
    bounded = np.full((2, columns.shape[1]), np.nan)
    bounded[:, complete] = np.quantile(columns[:, complete], ends, axis=0)
    # a column at a time, which takes a hundred times as long
    some = known & ~complete
    bounded[:, some] = np.nanquantile(columns[:, some], ends, axis=0)
    low, high = bounded.reshape(2, *np.shape(values)[1:])
    return low, high


def weighted_medians(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Median of values (n,) in every draw, by how often each was drawn (draws, n): (draws,), NaN if nothing was drawn.

    Weights are whole numbers. Of an even number of values the median is the mean of the middle two.
    """
    if not len(values):
        return np.full(len(weights), np.nan)
    values, cumulative = _sorted(values, weights)
    half = cumulative[:, -1:] / 2
    below, upto = (cumulative < half).sum(axis=1), (cumulative <= half).sum(axis=1)
    middle = (values[below] + values[np.minimum(upto, len(values) - 1)]) / 2
    return np.where(cumulative[:, -1] > 0, middle, np.nan)


def weighted_median_deviations(values: np.ndarray, weights: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Median distance of values (n,) from a centre (draws,) in every draw, as `weighted_medians` takes it."""
    if not len(values):
        return np.full(len(weights), np.nan)
    values, cumulative = _sorted(values, weights)
    drawn = cumulative[:, -1] > 0
    cumulative = np.pad(cumulative, ((0, 0), (1, 0)))
    # seen from the other side what lies above the centre lies below it
    mirrored = cumulative[:, -1:] - cumulative[:, ::-1]
    sides = _half_widths(values, cumulative, centre), _half_widths(-values[::-1], mirrored, -centre)
    return np.where(drawn, np.minimum(*sides).mean(axis=0), np.nan)


def _sorted(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort values (n,); return them and their cumulative weights (draws, n)."""
    order = np.argsort(values)
    return np.asarray(values, np.float64)[order], np.cumsum(weights[:, order], axis=1, dtype=np.float64)


def _half_widths(values: np.ndarray, cumulative: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Find the smallest distances (2, draws) of values up to a centre within which half of the weight is reached.

    Of an even number of distances these are the middle two: half of the weight, and more than half. Infinite where only
    those of values above the centre are as large.
    """
    draws, half = np.arange(len(centre)), cumulative[:, -1] / 2
    # of two values as far from the centre each is within the distance of the other
    rounding = _ROUNDING * np.ptp(values)
    upto = np.searchsorted(values, centre, side="right")
    # values from `near` on, the nearest ones, are too near; those before `far` are far enough
    far, near = np.zeros((2, len(centre)), int), np.tile(upto, (2, 1))
    while (far < near).any():
        middle = (far + near) // 2
        distance = centre - values[np.minimum(middle, len(values) - 1)]
        beyond = np.searchsorted(values, centre + distance + rounding, side="right")
        within = cumulative[draws, beyond] - cumulative[draws, middle]
        enough = np.stack([within[0] >= half, within[1] > half]) & (far < near)
        far, near = np.where(enough, middle + 1, far), np.where(enough, near, middle)
    return np.where(far > 0, centre - values[far - 1], np.inf)


def weighted_deviations(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Standard deviation (draws,) of values (n,) in every draw (draws, n); NaN where fewer than two were drawn."""
    total = weights.sum(axis=1)
    centred = values - values.mean() if len(values) else values
    mean = ratio(weights @ centred, total)
    square = weights @ centred**2 - total * mean**2
    return np.sqrt(np.maximum(ratio(square, total - 1), 0))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole as float64; NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
