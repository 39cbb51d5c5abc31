"""Counts of runs that differ by more than Poisson counts do: their likelihood, whatever they differ by.

Each run has a rate of its own, a gamma variable about that of its group, so that counts are negative binomial
(Greenwood & Yule 1920, J. R. Stat. Soc. 83, 255). Intervals and tests are by the likelihood ratio, profiled over the
coefficient of variation of the rates from 0 to `MOST_VARIATION`, and referred to Student's t, as few runs say little
about how far they differ. Simulated intervals hold the truth in 0.93 to 1 of cases for 3 to 10 runs at variations of 0,
0.5 and 1; intervals that take counts for Poisson ones, in 0.69 to 0.87.
"""

from __future__ import annotations

import numpy as np
import scipy

from quasarcurves.analysis.stats import ALPHA

MOST_VARIATION = 1.0
"""Largest coefficient of variation of the rates of runs that is considered: without a bound, no number of runs without
an event says anything."""

FEWEST_FREEDOM = 4
"""Least degrees of freedom of Student's t. The bound on the variation is knowledge too: with fewer, intervals of two
and three runs held the truth in all of 1,500 simulations."""

_SHAPES = 1 / (MOST_VARIATION * np.append(1e-3, np.linspace(0, 1, 12)[1:])) ** 2
"""Shapes of the gamma variable, from runs that are alike to those that differ most."""

_ROUNDS = 25


def best(events: np.ndarray, exposures: np.ndarray) -> np.ndarray:
    """Highest log likelihood of the runs of a group, over its rate, for each of the variations considered.

    Parameters
    ----------
    events, exposures : (r,) array

    Returns
    -------
    (12,) float64 array
    """
    if not events.sum():
        return np.zeros(len(_SHAPES))
    shapes = _SHAPES[:, None]
    log_rate = np.full(len(_SHAPES), np.log(events.sum() / exposures.sum()))
    for _ in range(_ROUNDS):  # Newton's method: the likelihood is concave in the log of the rate
        means = np.exp(log_rate)[:, None] * exposures  # (12, r)
        slope = ((events - means) / (1 + means / shapes)).sum(axis=1)
        curvature = (means * (1 + events / shapes) / (1 + means / shapes) ** 2).sum(axis=1)
        change = np.clip(slope / curvature, -1, 1)
        log_rate = log_rate + change
        if np.abs(change).max() < 1e-6:
            break
    return log_likelihood(events, np.exp(log_rate)[:, None] * exposures)


def log_likelihood(events: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Log likelihood of counts for each of the variations considered, up to a constant of the counts.

    Parameters
    ----------
    events : (r,) array
    means : (r,) or (12, r) array
        Expected counts.
    """
    shapes = _SHAPES[:, None]
    own = scipy.special.gammaln(events + shapes) - scipy.special.gammaln(shapes) - events * np.log(shapes + means)
    return (own + scipy.special.xlogy(events, means) - shapes * np.log1p(means / shapes)).sum(axis=1)


def probability(gain: float, runs: int, groups: int) -> float:
    """Two-sided probability of a gain in log likelihood by one more parameter.

    Parameters
    ----------
    gain : float
    runs : int
    groups : int
        Groups of runs, each with a rate of its own.
    """
    return float(2 * scipy.special.stdtr(_freedom(runs, groups), -np.sqrt(2 * max(gain, 0.0))))


def gain_within_reach(runs: int, groups: int) -> float:
    """Return the gain in log likelihood at which `probability` is 0.05."""
    return float(scipy.special.stdtrit(_freedom(runs, groups), ALPHA / 2) ** 2 / 2)


def _freedom(runs: int, groups: int) -> int:
    """Return Student's degrees of freedom. With one per group less, ratios over four strata covered 92 %, not 95 %."""
    return max(runs - 2 * groups, FEWEST_FREEDOM)
