"""Rates of events: exact intervals for Poisson counts, widened where replicates differ by more than such counts do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from quasarcurves.analysis.stats import ALPHA


def poisson_interval(count: float, exposure: float = 1.0) -> tuple[float, float]:
    """Exact 95 % interval of a Poisson rate (Garwood 1936, Biometrika 28, 437).

    `statsmodels.stats.rates.confint_poisson` returns the same, but takes half a second to import.

    Parameters
    ----------
    count : float
        Events seen. It need not be whole: counts that are divided by their dispersion are not.
    exposure : float
        Time in which they were seen.

    Returns
    -------
    low, high : float
        Events per unit of the exposure.
    """
    low = scipy.stats.chi2.ppf(ALPHA / 2, 2 * count) / 2 if count else 0.0
    return float(low / exposure), float(scipy.stats.chi2.isf(ALPHA / 2, 2 * count + 2) / 2 / exposure)


def weighted_poisson_interval(weights: np.ndarray, exposure: float) -> tuple[float, float]:
    """95 % interval of a rate to which each event adds a weight of its own (Fay & Feuer 1997, Stat. Med. 16, 791).

    With weights of 1 it is the exact interval of a Poisson rate.

    Parameters
    ----------
    weights : (n,) array
        One per event.
    exposure : float
        Time in which the events were seen.

    Returns
    -------
    low, high : float
        Without events the upper end is unknown: NaN.
    """
    weights = np.asarray(weights, float)
    if not len(weights):
        return 0.0, float("nan")
    total, variance, largest = weights.sum(), (weights**2).sum(), weights.max()
    low = variance / (2 * total) * scipy.stats.chi2.ppf(ALPHA / 2, 2 * total**2 / variance)
    above, spread = total + largest, variance + largest**2
    high = spread / (2 * above) * scipy.stats.chi2.isf(ALPHA / 2, 2 * above**2 / spread)
    return float(low / exposure), float(high / exposure)


@dataclass(frozen=True)
class Counts:
    """Events of one optimizer, replicate by replicate.

    Parameters
    ----------
    events : (r,) array
    exposures : (r,) array
        Time in which they were seen.
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


def dispersion(groups: Sequence[Counts]) -> float:
    """Factor by which replicates vary more than Poisson counts do; 1 if they do not.

    It is Pearson's chi squared per degree of freedom over the replicates of each group (McCullagh & Nelder 1989,
    Generalized Linear Models, section 6.2.3), times (t/z)^2: Student's t replaces the Gaussian z because few replicates
    estimate it badly. A group without events adds nothing.

    Parameters
    ----------
    groups : sequence of Counts
        Each has a rate of its own.
    """
    square, freedom = 0.0, 0
    for group in groups:
        if group.total and len(group.events) > 1:
            expected = group.total * np.asarray(group.exposures) / group.exposure  # (r,)
            square += float(((group.events - expected) ** 2 / expected).sum())
            freedom += len(group.events) - 1
    if square <= freedom:
        return 1.0
    widened = scipy.stats.t.isf(ALPHA / 2, freedom) / scipy.stats.norm.isf(ALPHA / 2)
    return float(square / freedom * widened**2)


def rate(counts: Counts) -> tuple[float, float, float]:
    """Rate of events with Garwood's 95 % interval, over the events divided by their dispersion.

    Returns
    -------
    rate, low, high : float
    """
    factor = dispersion([counts])
    low, high = poisson_interval(counts.total / factor, counts.exposure / factor)
    return counts.total / counts.exposure, low, high
