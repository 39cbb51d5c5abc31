"""Comparing two optimizers over replicates: rates of spikes, ratios of losses, many comparisons at once.

All intervals are at 95 %. Replicates are few: intervals of ratios of losses are Student's over the pairs, and those of
rates are exact for Poisson counts and widened where replicates differ by more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from quasarcurves.analysis.spikes.statistics import LEVEL, poisson_interval

ALPHA = 1 - LEVEL


@dataclass(frozen=True)
class Counts:
    """Events of one optimizer, replicate by replicate.

    Parameters
    ----------
    events : (r,) array
    exposures : (r,) array
        Time they were seen in.
    """

    events: np.ndarray
    exposures: np.ndarray

    @property
    def total(self) -> float:
        """Events of all replicates."""
        return float(np.sum(self.events))

    @property
    def exposure(self) -> float:
        """Time of all replicates."""
        return float(np.sum(self.exposures))


@dataclass(frozen=True)
class Ratio:
    """A ratio with its interval; NaN where there is none.

    Parameters
    ----------
    value, low, high : float
    p : float
        Two-sided probability of such a ratio by chance if the true one is 1.
    pairs : int
        Replicates it is over.
    """

    value: float
    low: float
    high: float
    p: float
    pairs: int


def dispersion(groups: Sequence[Counts]) -> float:
    """Factor by which replicates vary more than Poisson counts; 1 if they do not.

    Pearson's chi squared per degree of freedom, over the replicates of each group (McCullagh & Nelder 1989, section
    6.2.3), times (t/z)^2 with Student's t in place of the Gaussian z, as few replicates do not know it well. Groups
    without events know nothing of it.

    Parameters
    ----------
    groups : sequence of Counts
        Each with a rate of its own.
    """
    square, freedom = 0.0, 0
    for group in groups:
        if group.total and len(group.events) > 1:
            expected = group.total * np.asarray(group.exposures) / group.exposure
            square += float(((group.events - expected) ** 2 / expected).sum())
            freedom += len(group.events) - 1
    if square <= freedom:
        return 1.0
    widened = scipy.stats.t.isf(ALPHA / 2, freedom) / scipy.stats.norm.isf(ALPHA / 2)
    return float(square / freedom * widened**2)


def rate(counts: Counts) -> tuple[float, float, float]:
    """Rate of events with its interval: Garwood's for Poisson counts, over events / dispersion."""
    factor = dispersion([counts])
    low, high = poisson_interval(counts.total / factor, counts.exposure / factor)
    return counts.total / counts.exposure, low, high


def rate_ratio(counts: Counts, reference: Counts) -> Ratio:
    """Ratio of two rates, exact given the number of all events (Przyborowski & Wilenski 1940, Biometrika 31, 313).

    Of all events a share ratio * exposure / (ratio * exposure + exposure of the reference) is expected on this side;
    the interval is Clopper and Pearson's. Both numbers are divided by the dispersion. Replicates that resemble each
    other in both make it conservative. Without any event nothing is known: from 0 to infinity.
    """
    events, others = _effective(counts, reference)
    odds = reference.exposure / counts.exposure
    low = scipy.stats.beta.ppf(ALPHA / 2, events, others + 1) if events else 0.0
    high = scipy.stats.beta.isf(ALPHA / 2, events + 1, others) if others else 1.0
    value = counts.total * odds / reference.total if reference.total else (np.inf if events else np.nan)
    bounds = (float(share / (1 - share) * odds) if share < 1 else float("inf") for share in (low, high))
    return Ratio(float(value), *bounds, rate_ratio_p(counts, reference, 1.0), len(counts.events))


def rate_ratio_p(counts: Counts, reference: Counts, ratio: float) -> float:
    """Two-sided probability of two counts if their rates have a given ratio: twice the smaller tail.

    Below 0.05 if and only if the interval of `rate_ratio` does not hold the ratio.
    """
    events, others = _effective(counts, reference)
    share = ratio * counts.exposure / (ratio * counts.exposure + reference.exposure)
    # P(X <= events) and P(X >= events) of a binomial variable, which by beta functions need not be whole
    below = scipy.stats.beta.sf(share, events + 1, others) if others else 1.0
    above = scipy.stats.beta.cdf(share, events, others + 1) if events else 1.0
    return float(min(1, 2 * min(below, above)))


def _effective(counts: Counts, reference: Counts) -> tuple[float, float]:
    factor = dispersion([counts, reference])
    return counts.total / factor, reference.total / factor


def paired_ratio(values: Sequence[float], reference: Sequence[float]) -> Ratio:
    """Geometric mean of the ratios of pairs, with Student's interval of their logarithms.

    Parameters
    ----------
    values, reference : (r,) array
        Of the same replicates; pairs of which one is not finite and positive are left out.

    Returns
    -------
    Ratio
        A single pair has no interval.
    """
    pairs = np.column_stack([np.asarray(values, float), np.asarray(reference, float)])
    pairs = pairs[(np.isfinite(pairs) & (pairs > 0)).all(axis=1)]
    logs, n = np.log(pairs[:, 0] / pairs[:, 1]), len(pairs)
    if not n:
        return Ratio(np.nan, np.nan, np.nan, np.nan, 0)
    mean = float(logs.mean())
    if n == 1:
        return Ratio(float(np.exp(mean)), np.nan, np.nan, np.nan, 1)
    error = float(logs.std(ddof=1) / np.sqrt(n))
    if error == 0:  # the same to the last digit, or two pairs that happen to agree
        return Ratio(float(np.exp(mean)), float(np.exp(mean)), float(np.exp(mean)), float(mean == 0), n)
    reach = scipy.stats.t.isf(ALPHA / 2, n - 1) * error
    p = 2 * scipy.stats.t.sf(abs(mean) / error, n - 1)
    return Ratio(float(np.exp(mean)), float(np.exp(mean - reach)), float(np.exp(mean + reach)), float(p), n)


def holm(p: Sequence[float]) -> np.ndarray:
    """Adjust probabilities of several comparisons by Holm's method (1979, Scand. J. Stat. 6, 65).

    Parameters
    ----------
    p : (k,) array
        NaN where there was no comparison.

    Returns
    -------
    (k,) float64 array
        Those below 0.05 are significant together: the chance that any of them is false is at most 5 %.
    """
    p = np.asarray(p, float)
    order = np.argsort(p)[: np.isfinite(p).sum()]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted


def removes(value: float, p: float, limit: float) -> str:
    """Say whether a ratio of rates is below a limit: yes, no, or cannot say.

    Parameters
    ----------
    value : float
        The ratio.
    p : float
        As `rate_ratio_p` gives it for the limit, or adjusted for other comparisons.
    limit : float
    """
    if not p < ALPHA:
        return "cannot say"
    return "yes" if value < limit else "no"


def compare(value: float, low: float, high: float, p: float, margin: float) -> str:
    """Give the verdict on a ratio: same, lower, higher, or not settled.

    Parameters
    ----------
    value, low, high : float
        The ratio with its interval. It is the `same` if the interval lies between 1/margin and margin.
    p : float
        That of a true ratio of 1, as it is or adjusted for other comparisons. If it is not the same, it decides
        between lower or higher and not settled.
    margin : float
    """
    if 1 / margin < low and high < margin:
        return "same"
    if not p < ALPHA:
        return "not settled"
    return "lower" if value < 1 else "higher"
