"""Ratios of two optimizers over replicates, with 95 % intervals: of rates of events, and of paired positive values.

Replicates are few. The intervals of ratios of rates are exact for Poisson counts and widened where replicates differ by
more than such counts do; those of ratios of losses are Student's over the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.rates import Counts, dispersion


@dataclass(frozen=True)
class Ratio:
    """A ratio with its interval; NaN where there is none.

    Parameters
    ----------
    value, low, high : float
    p : float
        Two-sided probability of such a ratio by chance if the true one is 1.
    pairs : int
        Number of replicates.
    """

    value: float
    low: float
    high: float
    p: float
    pairs: int


def rate_ratio(counts: Counts, reference: Counts) -> Ratio:
    """Ratio of two rates, exact given the number of all events (Przyborowski & Wilenski 1940, Biometrika 31, 313).

    Given all events, a share ratio * exposure / (ratio * exposure + exposure of the reference) is expected on this
    side; the interval is Clopper and Pearson's for that share. Both counts are divided by their common dispersion.
    Where replicates are alike in both, the interval is conservative. Without any event it goes from 0 to infinity.

    Libraries test two rates by whole counts; counts divided by a dispersion are not whole.
    """
    events, others = _effective(counts, reference)
    odds = reference.exposure / counts.exposure
    low = scipy.stats.beta.ppf(ALPHA / 2, events, others + 1) if events else 0.0
    high = scipy.stats.beta.isf(ALPHA / 2, events + 1, others) if others else 1.0
    value = counts.total * odds / reference.total if reference.total else (np.inf if events else np.nan)
    p = rate_ratio_p(counts, reference, 1.0)
    return Ratio(float(value), _odds(low) * odds, _odds(high) * odds, p, len(counts.events))


def _odds(share: float) -> float:
    return float(share / (1 - share)) if share < 1 else float("inf")


def rate_ratio_p(counts: Counts, reference: Counts, ratio: float) -> float:
    """Two-sided probability of two counts if their rates have a given ratio: twice the smaller tail.

    It is below 0.05 if and only if the interval of `rate_ratio` excludes the ratio.
    """
    events, others = _effective(counts, reference)
    share = ratio * counts.exposure / (ratio * counts.exposure + reference.exposure)
    # P(X <= events) and P(X >= events) of a binomial variable; by beta functions, counts need not be whole
    below = scipy.stats.beta.sf(share, events + 1, others) if others else 1.0
    above = scipy.stats.beta.cdf(share, events, others + 1) if events else 1.0
    return float(min(1, 2 * min(below, above)))


def _effective(counts: Counts, reference: Counts) -> tuple[float, float]:
    factor = dispersion([counts, reference])
    return counts.total / factor, reference.total / factor


def paired_ratio(values: np.ndarray, reference: np.ndarray) -> Ratio:
    """Geometric mean of the ratios of pairs, with Student's 95 % interval of their logarithms.

    Parameters
    ----------
    values, reference : (r,) array
        Of the same replicates. A pair counts if both values are finite and positive.

    Returns
    -------
    Ratio
        A single pair has no interval.
    """
    pairs = np.column_stack([np.asarray(values, float), np.asarray(reference, float)])  # (r, 2)
    pairs = pairs[(np.isfinite(pairs) & (pairs > 0)).all(axis=1)]
    logs, n = np.log(pairs[:, 0] / pairs[:, 1]), len(pairs)
    if not n:
        return Ratio(np.nan, np.nan, np.nan, np.nan, 0)
    mean = float(logs.mean())
    if n == 1:
        return Ratio(float(np.exp(mean)), np.nan, np.nan, np.nan, 1)
    error = float(logs.std(ddof=1) / np.sqrt(n))
    if error == 0:  # the values are equal to the last digit, or two pairs happen to agree
        return Ratio(float(np.exp(mean)), float(np.exp(mean)), float(np.exp(mean)), float(mean == 0), n)
    reach = scipy.stats.t.isf(ALPHA / 2, n - 1) * error
    p = 2 * scipy.stats.t.sf(abs(mean) / error, n - 1)
    return Ratio(float(np.exp(mean)), float(np.exp(mean - reach)), float(np.exp(mean + reach)), float(p), n)
