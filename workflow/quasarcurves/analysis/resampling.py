"""Intervals for what is measured on spikes: runs are drawn anew, and spikes within runs, but never single steps."""

from __future__ import annotations

import numpy as np

LEVEL = 0.95
DRAWS = 999


def draw_weights(run: np.ndarray, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Draw runs with replacement, then spikes of each drawn run with replacement (Davison & Hinkley 1997, section 3.8).

    Drawing at both levels is conservative where runs are alike: intervals come out too wide, by up to sqrt(2). Drawing
    runs alone would be too narrow for the handful of replicates that a study has.

    Parameters
    ----------
    run : (n,) int array
        The run that each spike is of.
    rng : Generator
    draws : int

    Returns
    -------
    (draws, n) int array
        How often each spike was drawn.
    """
    _, run = np.unique(run, return_inverse=True)
    sizes = np.bincount(run)
    times = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=draws)
    weights = np.empty((draws, len(run)), np.int64)
    for i, size in enumerate(sizes):
        weights[:, run == i] = rng.multinomial(times[:, i] * size, np.full(size, 1 / size))
    return weights


def mean_interval(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Interval of a mean over spikes from the weights of `draw_weights`; NaN values are left out.

    Parameters
    ----------
    values : (n,) array
    weights : (draws, n) array

    Returns
    -------
    low, high : float
        NaN if there is no value.
    """
    known = np.isfinite(values)
    totals = weights[:, known].sum(axis=1)
    means = (weights[:, known] @ values[known])[totals > 0] / totals[totals > 0]
    return bounds(means) if len(means) else (float("nan"), float("nan"))


def share_interval(values: np.ndarray, run: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Interval of a mean of values between -1 and 1, such as a difference of shares.

    One spike of -1 and one of 1 are added as a run of their own, in the manner of Agresti & Min (2005, Biometrics 61,
    515), who add half a pair to each cell: else ten spikes that all agree would have an interval of no width.

    Parameters
    ----------
    values : (n,) array
    run : (n,) int array
        The run that each value is of.
    rng : Generator
    """
    values, run = np.append(values, [-1.0, 1.0]), np.append(run, [-1, -1])
    return mean_interval(values, draw_weights(run, rng))


def bounds(values: np.ndarray) -> tuple[float, float]:
    """Give the percentiles of bootstrapped values (draws,) that bound the interval."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
