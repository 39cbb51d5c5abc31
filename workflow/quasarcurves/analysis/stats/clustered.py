"""Shares and means of observations that come in clusters: what several models say of one object is alike.

An observation counts as less than one where its cluster has others that tend to agree with it. Shares have Wilson's
interval of as many observations as would be worth the same, were they independent (Rao & Scott 1992, Biometrics 48,
577; Korn & Graubard 1998, Survey Methodology 24, 193). Bins of a table have few errors each, so that how alike clusters
are is taken from all bins together. A bootstrap over the clusters is no better: where nothing is wrong every draw is
the same. With one right and one wrong cluster added (`metrics.bootstrap`) intervals of bins of 20 objects and a share
of 98 % were up to 2.5 times as wide as these, and held the truth in 96 to 99 % of cases, these in 94 to 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.resampling import ratio


@dataclass(frozen=True)
class Shares:
    """Shares in k bins.

    Parameters
    ----------
    n, clusters : (k,) int arrays
        Observations, and clusters that they are of.
    part : (k,) int array
        Observations that count.
    effective : (k,) float array
        Independent observations that are worth as much as the n.
    """

    n: np.ndarray
    clusters: np.ndarray
    part: np.ndarray
    effective: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """(k,) float64; NaN in an empty bin."""
        return ratio(self.part, self.n)

    @property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the 95 % intervals, (k,) each; NaN in an empty bin."""
        return wilson(self.share, self.effective)

    def differs(self) -> np.ndarray:
        """Return the probability (k,) that a share is so far from that of all other bins by chance; NaN if empty.

        Fisher's exact test of the effective counts, rounded.
        """
        worth = self.effective
        right = np.where(worth > 0, worth * np.nan_to_num(self.share), 0.0)
        found = np.full(len(worth), np.nan)
        for i in np.flatnonzero(worth > 0):
            own, others = np.rint(right[i]), np.rint(right.sum() - right[i])
            wrong = np.rint(worth[i]) - own, np.rint(worth.sum() - worth[i]) - others
            table = np.maximum([[own, wrong[0]], [others, wrong[1]]], 0).astype(int)
            found[i] = scipy.stats.fisher_exact(table).pvalue if table.sum(axis=1).all() else np.nan
        return found


def shares(cluster: np.ndarray, place: np.ndarray, part: np.ndarray, bins: int) -> Shares:
    """Return the shares of observations that count, in every bin.

    Parameters
    ----------
    cluster : (n,) int array
        The cluster of each observation, 0 or above.
    place : (n,) int array
        Its bin, 0 to `bins` - 1.
    part : (n,) bool array
        Whether it counts.
    bins : int
    """
    # what a cluster has in a bin: so many of its observations, so many of which count
    pair, own = np.unique(np.asarray(cluster, np.int64) * bins + place, return_inverse=True)
    size, counted, at = np.bincount(own, minlength=len(pair)), np.bincount(own, part, len(pair)), pair % bins
    n, clusters = np.bincount(at, size, bins), np.bincount(at, minlength=bins)
    share = ratio(np.bincount(at, counted, bins), n)
    off = np.bincount(at, (counted - size * share[at]) ** 2, bins) * ratio(clusters, clusters - 1)
    alone = n * share * (1 - share)
    useful = clusters > 1
    mean_size = ratio(np.bincount(at, size.astype(float) ** 2, bins), n)
    alike = _alike(off[useful].sum(), alone[useful].sum(), np.sum((n * mean_size)[useful]) / max(n[useful].sum(), 1))
    effective = ratio(n, 1 + (mean_size - 1) * alike)
    counts = np.bincount(at, counted, bins)
    return Shares(n.astype(int), clusters, counts.astype(int), np.nan_to_num(effective))


def _alike(off: float, alone: float, size: float) -> float:
    """Return how alike the observations of a cluster are, 0 to 1: the intraclass correlation.

    Parameters
    ----------
    off, alone : float
        Variance of the sums of clusters, and what it would be of independent observations.
    size : float
        Observations of a cluster.
    """
    if alone <= 0:
        return 1.0  # where all are right, nothing says that one cluster is more than one observation
    return float(np.clip((off / alone - 1) / (size - 1), 0, 1)) if size > 1 else 0.0


def wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of Wilson's 95 % intervals (1927, J. Am. Stat. Assoc. 22, 209) of shares (k,) of n (k,) observations each.

    NaN where n is 0. n need not be whole.
    """
    z = scipy.stats.norm.isf(ALPHA / 2)
    n = np.where(np.asarray(n, float) > 0, n, np.nan)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # rounding leaves 1e-17 where the end is 0
    low, high = np.where(share > 0, centre - reach, 0 * n), np.where(share < 1, centre + reach, 1 + 0 * n)
    return np.maximum(low, 0), np.minimum(high, 1)


@dataclass(frozen=True)
class Means:
    """Means in k bins.

    Parameters
    ----------
    n, clusters : (k,) int arrays
        Observations, and clusters that they are of.
    mean, median : (k,) float64 arrays
        NaN in an empty bin.
    low, high : (k,) float64 arrays
        95 % interval of the mean; NaN for fewer than two clusters.
    """

    n: np.ndarray
    clusters: np.ndarray
    mean: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray


def means(cluster: np.ndarray, place: np.ndarray, value: np.ndarray, bins: int) -> Means:
    """Return the means of observations in every bin, with Student's intervals of as many values as there are clusters.

    Parameters
    ----------
    cluster, place : (n,) int arrays
        As of `shares`.
    value : (n,) float array
    bins : int
    """
    pair, own = np.unique(np.asarray(cluster, np.int64) * bins + place, return_inverse=True)
    size, total, at = np.bincount(own, minlength=len(pair)), np.bincount(own, value, len(pair)), pair % bins
    n, clusters = np.bincount(at, size, bins), np.bincount(at, minlength=bins)
    mean = ratio(np.bincount(at, total, bins), n)
    off = np.bincount(at, (total - size * mean[at]) ** 2, bins)
    error = np.sqrt(off * ratio(clusters, clusters - 1)) / np.maximum(n, 1)
    reach = scipy.stats.t.isf(ALPHA / 2, np.maximum(clusters - 1, 1)) * error
    median = np.array([np.median(value[place == i]) if n[i] else np.nan for i in range(bins)])
    return Means(n.astype(int), clusters, mean, median, mean - reach, mean + reach)


@dataclass(frozen=True)
class Wave:
    """A wave over places from 0 to 1 that goes on from 1 at 0.

    Parameters
    ----------
    amplitude : float
        Of a sine with as much power: the root of two times its mean square. NaN where there are too few clusters.
    by_chance : float
        The amplitude that chance alone exceeds in 5 % of cases.
    p : float
        Probability of such a wave by chance.
    """

    amplitude: float
    by_chance: float
    p: float


_HARMONICS = 2
"""Sines of a wave: of one period, and of two. A bias at both ends of a box needs the second."""


def wave(cluster: np.ndarray, place: np.ndarray, trend: np.ndarray, value: np.ndarray, fewest: int) -> Wave:
    """Fit a wave, beside a parabola in `trend`, by least squares; errors are those of clusters.

    Parameters
    ----------
    cluster : (n,) int array
    place : (n,) array
        0 to 1.
    trend : (n,) array
        What else the values may depend on smoothly.
    value : (n,) array
    fewest : int
        Clusters that a fit takes at least.
    """
    clusters, own = np.unique(cluster, return_inverse=True)
    if len(clusters) < fewest or np.ptp(trend) == 0:
        return Wave(np.nan, np.nan, np.nan)
    t = (trend - trend.min()) / np.ptp(trend) - 0.5
    phases = 2 * np.pi * place[:, None] * np.arange(1, _HARMONICS + 1)
    x = np.column_stack([np.cos(phases), np.sin(phases), np.ones_like(t), t, t**2])
    inverse, free, freedom = np.linalg.pinv(x.T @ x), 2 * _HARMONICS, len(clusters) - x.shape[1]
    found = inverse @ (x.T @ value)
    # (clusters, 7): what each pulls at the coefficients
    scores = np.column_stack([np.bincount(own, column) for column in (x * (value - x @ found)[:, None]).T])
    covariance = (len(clusters) / freedom * inverse @ scores.T @ scores @ inverse)[:free, :free]
    statistic = float(found[:free] @ np.linalg.pinv(covariance) @ found[:free]) / free
    by_chance = np.sqrt(np.trace(covariance) * scipy.stats.f.isf(ALPHA, free, freedom))
    return Wave(
        float(np.linalg.norm(found[:free])), float(by_chance), float(scipy.stats.f.sf(statistic, free, freedom))
    )
