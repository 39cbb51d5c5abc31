"""Ratios of rates between two ways of going on from the same states, whatever the states' own rates are.

Given how many events a state has in both ways together, those of one way are binomial with a share that the states'
own rates do not enter (Przyborowski & Wilenski 1940, Biometrika 31, 313). So states may differ at will. What has to be
allowed for is that the ratio itself differs: between states, up to states that decide everything (all replays of one
way spike or none does), and between runs. Shares of clusters are then beta variables about the common one, and counts
beta-binomial (Skellam 1948, J. R. Stat. Soc. B 10, 257), whose concentration is profiled, as `frailty` does with rates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from quasarcurves.analysis.stats import ALPHA, ratios
from quasarcurves.analysis.stats.rates import Counts
from quasarcurves.analysis.stats.ratios import Ratio

FEWEST_RUNS = 3
"""Runs below which ratios hold for the runs seen, and say nothing about others."""

_STATES = np.geomspace(0.02, 2e3, 11)
"""Concentrations of the beta variable of states: at the lowest, each state has nearly all its events on one side."""

_RUNS = np.geomspace(8, 2e3, 8)
"""The same of runs: at the lowest, the logarithm of a run's ratio has a standard deviation of 0.75. Without a bound,
few runs would never say anything, however many spikes they have."""

_FREEDOM_OF_STATES, _FREEDOM_OF_RUNS = 4, 12
"""Least degrees of freedom of Student's t: the bounds on the variation are knowledge too."""

_FAR = 12.0
"""Log of a ratio that is not considered."""


@dataclass(frozen=True)
class Matched:
    """Events of two ways, state by state.

    Parameters
    ----------
    events, others : (s,) array
        Of the way in question, and of the one that it is compared with.
    exposures, other_exposures : (s,) array
        Time in which they were seen.
    runs : (s,) array
        The run of each state.
    """

    events: np.ndarray
    others: np.ndarray
    exposures: np.ndarray
    other_exposures: np.ndarray
    runs: np.ndarray

    def informative(self) -> Matched:
        """Return the states that have events and exposures of both ways: the others say nothing of a ratio."""
        kept = (self.events + self.others > 0) & (self.exposures > 0) & (self.other_exposures > 0)
        return Matched(
            self.events[kept], self.others[kept], self.exposures[kept], self.other_exposures[kept], self.runs[kept]
        )


def matched_ratio(counts: Matched) -> Ratio:
    """Ratio of two rates at the same states, with its 95 % interval.

    The estimate is that of Mantel and Haenszel over states. The interval has what `matched_p` does not refuse; without
    any event it goes from 0 to infinity.

    Parameters
    ----------
    counts : Matched

    Returns
    -------
    Ratio
        `pairs` is the number of runs that say something.
    """
    known = counts.informative()
    if not len(known.events):
        return Ratio(np.nan, 0.0, np.inf, 1.0, 0)
    value = ratios.mantel_haenszel(_strata(known))
    test = _Test(known)
    low, high = ratios.interval(test.p, value)
    return Ratio(value, low, high, test.p(1.0), len(np.unique(known.runs)))


def matched_p(counts: Matched, ratio: float) -> float:
    """Two-sided probability of the counts if the ratio of rates, over states and runs, has a given value.

    The largest of three: for Poisson counts, exact given the events of each state; with ratios that differ between
    states; and, from `FEWEST_RUNS` runs on, with ratios that differ between runs. With one run or two it holds for
    these alone.

    Simulated intervals hold the truth in 0.94 to 1 of cases where runs and states have one ratio, whatever their own
    rates, and where states decide alone. Where the ratios of runs have a coefficient of variation of 0.5, those of 3 to
    5 runs hold their mean in about 0.9 of cases, those of 2 in 0.7: the latter are no statement on other runs.

    Parameters
    ----------
    counts : Matched
    ratio : float
    """
    known = counts.informative()
    return _Test(known).p(ratio) if len(known.events) else 1.0


class _Test:
    """The test of any ratio; what does not depend on the ratio is computed once."""

    def __init__(self, counts: Matched) -> None:
        self._strata = _strata(counts)
        states, runs = np.arange(len(counts.events)), np.unique(counts.runs, return_inverse=True)[1]
        spread = _dispersion(counts, ratios.mantel_haenszel(self._strata))
        self._levels = [_Level(counts, states, _STATES, _FREEDOM_OF_STATES, spread)]
        if runs.max() + 1 >= FEWEST_RUNS:
            self._levels.append(_Level(counts, runs, _RUNS, _FREEDOM_OF_RUNS, 1.0))

    def p(self, ratio: float) -> float:
        """Return the largest of the probabilities."""
        exact = ratios.exact_rate_ratio_p(self._strata, ratio)
        return max([exact, *(level.p(ratio) for level in self._levels)])


class _Level:
    """Clusters of states, whose shares are beta variables.

    The gain in likelihood is no more than that of binomial counts over their dispersion, which holds where shares
    differ in ways that no beta variable does.
    """

    def __init__(
        self, counts: Matched, cluster: np.ndarray, concentrations: np.ndarray, freedom: int, dispersion: float
    ) -> None:
        self._both = counts.events + counts.others  # (s,)
        self._odds = counts.exposures / counts.other_exposures
        self._cluster, self._concentrations = cluster, concentrations[:, None]
        self._sums = [np.bincount(cluster, weights=each) for each in (counts.events, counts.others)]
        self._dispersion = np.array([1.0, dispersion])
        self._highest = self._highest_likelihoods()
        self._freedom = max(len(self._sums[0]) - 1, freedom)

    def p(self, ratio: float) -> float:
        gain = ((self._highest - self._likelihoods(ratio)) / self._dispersion).min()
        return float(2 * scipy.special.stdtr(self._freedom, -np.sqrt(2 * max(gain, 0.0))))

    def _highest_likelihoods(self) -> np.ndarray:
        """Return the highest of `_likelihoods` over all ratios: on a coarse grid, then about its best places."""
        places = np.arange(-_FAR, _FAR + 1, 2)
        coarse = np.array([self._likelihoods(np.exp(log)) for log in places])  # (g, 2)
        near = places[coarse.argmax(axis=0)]
        fine = [self._highest_near(place, i) for i, place in enumerate(near)]
        return np.maximum(coarse.max(axis=0), fine)

    def _highest_near(self, log_ratio: float, i: int) -> float:
        found = scipy.optimize.minimize_scalar(
            lambda log: -self._likelihoods(np.exp(log))[i],
            bounds=(log_ratio - 2, log_ratio + 2),
            options={"xatol": 1e-3},
        )
        return -float(found.fun)

    def _likelihoods(self, ratio: float) -> np.ndarray:
        """Return the highest log likelihood of a ratio over all concentrations, and that of the highest one."""
        expected = np.bincount(self._cluster, weights=self._both * ratio * self._odds / (1 + ratio * self._odds))
        events, others = self._sums
        share = np.clip(expected / (events + others), 1e-9, 1 - 1e-9)  # (c,)
        a, b = self._concentrations * share, self._concentrations * (1 - share)  # (k, c)
        found = (scipy.special.betaln(a + events, b + others) - scipy.special.betaln(a, b)).sum(axis=1)  # (k,)
        return np.array([found.max(), found[-1]])


def _dispersion(counts: Matched, ratio: float) -> float:
    """Return Pearson's chi squared of the states' counts over its freedom, weighted by their variances; at least 1."""
    odds, both = ratio * counts.exposures / counts.other_exposures, counts.events + counts.others
    share = odds / (1 + odds) if np.isfinite(ratio) else np.ones(len(both))
    variance = (both * share * (1 - share)).sum()
    if not variance or len(both) < 2:
        return 1.0
    return max(1.0, float(((counts.events - both * share) ** 2).sum() / variance * len(both) / (len(both) - 1)))


def _strata(counts: Matched) -> ratios.Strata:
    columns = (counts.events, counts.exposures, counts.others, counts.other_exposures)
    return [
        (Counts(np.array([e]), np.array([t])), Counts(np.array([o]), np.array([u])))
        for e, t, o, u in zip(*columns, strict=True)
    ]


def exact_intervals(
    events: np.ndarray, exposures: np.ndarray, others: np.ndarray, other_exposures: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of the ratios of two Poisson rates, pair by pair, exact given the events of each pair.

    Those of Clopper and Pearson (1934, Biometrika 26, 404) for the share of the events, as odds.

    Parameters
    ----------
    events, exposures, others, other_exposures : (n,) array

    Returns
    -------
    low, high : (n,) float64 array
        0 and infinity without any event; NaN where an exposure is 0.
    """
    events, others = np.asarray(events, float), np.asarray(others, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        low = np.where(events > 0, scipy.special.betaincinv(events, others + 1, ALPHA / 2), 0.0)
        high = np.where(others > 0, scipy.special.betaincinv(events + 1, others, 1 - ALPHA / 2), 1.0)
        odds = np.asarray(other_exposures, float) / np.asarray(exposures, float)
        known = (np.asarray(exposures) > 0) & (np.asarray(other_exposures) > 0)
        return np.where(known, low / (1 - low) * odds, np.nan), np.where(known, high / (1 - high) * odds, np.nan)
