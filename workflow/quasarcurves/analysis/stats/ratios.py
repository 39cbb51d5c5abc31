"""Ratios of two optimizers over replicates, with 95 % intervals: of rates of events, and of paired positive values.

Replicates are few. The intervals of ratios of rates hold what runs differ by; those of ratios of losses are Student's
over the pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from quasarcurves.analysis.stats import ALPHA, frailty
from quasarcurves.analysis.stats.rates import Counts

FEWEST_RUNS = 3
"""Runs a side without which a comparison of rates settles nothing: of two, one could be left out of each only by
comparing single runs."""

_FAR = 20.0
"""Log of a ratio that no interval reaches."""


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


Strata = Sequence[tuple[Counts, Counts]]
"""Per stratum, such as a size of the training set: counts of an optimizer and of the reference."""


def rate_ratio(strata: Strata) -> Ratio:
    """Ratio of two rates, which is the same in all strata, while the rates are not.

    The estimate is that of Mantel and Haenszel for rates (Rothman & Greenland 1998, Modern Epidemiology, chapter 15);
    in a single stratum it is the ratio of the rates seen. The interval has what `rate_ratio_p` does not refuse. Without
    any event it goes from 0 to infinity.
    """
    value = mantel_haenszel(strata)
    free = _free_likelihood(strata)
    low, high = interval(lambda ratio: _p(strata, ratio, free), value)
    return Ratio(value, low, high, _p(strata, 1.0, free), sum(len(counts.events) for counts, _ in strata))


def rate_ratio_p(strata: Strata, ratio: float) -> float:
    """Two-sided probability of the counts if their rates have a given ratio.

    Where runs have replicates or several strata, it is by the likelihood of runs that differ (`frailty`), but never
    below that of Poisson counts. Two single runs have the latter: it holds for these two, and says nothing about
    others.
    """
    return _p(strata, ratio, _free_likelihood(strata))


def _p(strata: Strata, ratio: float, free: float) -> float:
    runs, exact = sum(len(side.events) for pair in strata for side in pair), exact_rate_ratio_p(strata, ratio)
    if runs <= 2:
        return exact
    return max(exact, frailty.probability(free - _likelihood(strata, ratio), runs, 2 * len(strata)))


def exact_rate_ratio_p(strata: Strata, ratio: float) -> float:
    """The same for Poisson counts, exact given all events of each stratum: twice the smaller tail.

    A stratum's events are then binomial (Przyborowski & Wilenski 1940, Biometrika 31, 313), and so their sum over
    strata is a sum of such variables (Gart 1970, Biometrika 57, 471). It holds within the runs seen.
    """
    seen, chances = 0, np.ones(1)
    for counts, reference in strata:
        share = ratio * counts.exposure / (ratio * counts.exposure + reference.exposure)
        events = int(counts.total + reference.total)
        chances = np.convolve(chances, _binomial(events, share))
        seen += int(counts.total)
    return float(min(1, 2 * min(chances[: seen + 1].sum(), chances[seen:].sum())))


def _binomial(n: int, share: float) -> np.ndarray:
    """Return the probabilities (n + 1,) of 0 to n; `scipy.stats.binom.pmf` takes 10 times as long for so few."""
    k = np.arange(n + 1)
    ways = scipy.special.gammaln(n + 1) - scipy.special.gammaln(k + 1) - scipy.special.gammaln(n - k + 1)
    return np.asarray(np.exp(ways + scipy.special.xlogy(k, share) + scipy.special.xlog1py(n - k, -share)))


def rate_ratio_p_without_one_run(strata: Strata, ratio: float) -> float:
    """Largest of the probabilities that remain when any one run is left out; NaN for fewer than `FEWEST_RUNS` a side.

    Probabilities are those of `frailty` by the Gaussian in place of Student's t: whether so few runs would have settled
    it is not the question, but whether it hangs on one of them. Where one run turns the ratio to the other side of that
    given, it is 1.
    """
    if min(sum(len(pair[side].events) for pair in strata) for side in (0, 1)) < FEWEST_RUNS:
        return float("nan")
    below, worst = mantel_haenszel(strata) < ratio, 0.0
    for kept in _without_one(strata):
        left = mantel_haenszel(kept)
        turned = np.isnan(left) or (left < ratio) != below
        worst = max(worst, 1.0 if turned else _gaussian_p(kept, ratio))
    return worst


def _gaussian_p(strata: Strata, ratio: float) -> float:
    return float(scipy.special.chdtrc(1, 2 * max(_free_likelihood(strata) - _likelihood(strata, ratio), 0.0)))


def _without_one(strata: Strata) -> Iterator[Strata]:
    for i, pair in enumerate(strata):
        for side in (0, 1):
            for run in range(len(pair[side].events)):
                left = Counts(np.delete(pair[side].events, run), np.delete(pair[side].exposures, run))
                # a stratum that has one side left compares nothing
                rest = [(left, pair[1]) if side == 0 else (pair[0], left)] if len(left.events) else []
                yield [*strata[:i], *rest, *strata[i + 1 :]]


def _free_likelihood(strata: Strata) -> float:
    """Return the highest log likelihood over all ratios."""
    if len(strata) == 1:
        return float(np.sum([frailty.best(side.events, side.exposures) for side in strata[0]], axis=0).max())
    found = scipy.optimize.minimize_scalar(
        lambda log: -_likelihood(strata, np.exp(log)), bounds=(-_FAR, _FAR), options={"xatol": 1e-3}
    )
    return max(-float(found.fun), _likelihood(strata, np.exp(-_FAR)), _likelihood(strata, np.exp(_FAR)))


def _likelihood(strata: Strata, ratio: float) -> float:
    return float(
        np.sum(
            [
                frailty.best(
                    np.concatenate([counts.events, reference.events]),
                    np.concatenate([ratio * counts.exposures, reference.exposures]),
                )
                for counts, reference in strata
            ],
            axis=0,
        ).max()
    )


def mantel_haenszel(strata: Strata) -> float:
    """Return the estimate of `rate_ratio`: infinite without an event of the reference, NaN without any."""
    over = sum(c.total * r.exposure / (c.exposure + r.exposure) for c, r in strata)
    under = sum(r.total * c.exposure / (c.exposure + r.exposure) for c, r in strata)
    return float(over / under) if under else (float("inf") if over else float("nan"))


def interval(p: Callable[[float], float], value: float) -> tuple[float, float]:
    """Return the ratios about a value between which a probability is 0.05 or more; 0 to infinity about NaN."""

    def beyond(log_ratio: float) -> float:
        return p(float(np.exp(log_ratio))) - ALPHA

    if np.isnan(value):
        return 0.0, float("inf")
    middle = float(np.clip(np.log(value) if value else -_FAR, -_FAR, _FAR))
    if beyond(middle) < 0:  # the estimate does not maximise the likelihood, and may lie far off where strata disagree
        middle = float(scipy.optimize.minimize_scalar(lambda log: -beyond(log), bounds=(-_FAR, _FAR)).x)
    low = float(np.exp(scipy.optimize.brentq(beyond, -_FAR, middle, xtol=1e-6))) if beyond(-_FAR) < 0 else 0.0
    high = float(np.exp(scipy.optimize.brentq(beyond, middle, _FAR, xtol=1e-6))) if beyond(_FAR) < 0 else float("inf")
    return low, high


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
