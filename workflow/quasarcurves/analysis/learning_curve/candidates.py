"""Candidates for the true curve: thousands of every family, dense where they fit the data.

Residuals are those of the log error, so the best height of a given shape has a closed form: the mean difference. One
product of matrices compares thousands of curves with hundreds of data sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy

from quasarcurves.analysis.learning_curve.families import FAMILIES, Family

_CURVES = 1500
"""Curves of a family in each generation; twice as many in the first."""

_WITHIN = (300.0, 60.0, 25.0, 8.0)
"""Largest chi squared above the best of a curve with descendants, generation by generation."""

_KEPT = 25.0
_FEWEST_PARENTS = 40
_WITHOUT_FLOOR = 0.06
"""Share of descendants without a floor: random steps would never quite reach it."""

_STARTS = (0, _FEWEST_PARENTS)
"""Ranks of the curves from which the search for the best starts."""

_PRECISION = 1e-5
"""Relative, of a least sum of squares: smaller changes are far below the noise."""

ASSUMED_NOISE = 0.1
"""Standard deviation of log errors between runs that is assumed without replicates: otherwise a curve through every
point would look certain."""

_TOLD_FREEDOM = 30
"""Degrees of freedom of noise that a bootstrap over the test set tells: some 60 wrong objects (Satterthwaite)."""

_LEAST_FREEDOM = 3
_SMALLEST_NOISE = 1e-4
_MOST_PARAMETERS = max(family.parameters for family in FAMILIES.values())


@dataclass(frozen=True)
class Sizes:
    """Errors by training-set size.

    Parameters
    ----------
    n : (k,) array
        Sizes, growing.
    log_error : (k,) array
        Mean log error of each.
    replicates : (k,) array
        Number of errors in each mean.
    residuals : tuple of (replicates,) arrays
        Log errors about these means.
    told : (k,) array
        Standard deviation of the log error from the choice of test objects, which replicates share; 0 where nobody
        tells it, at all sizes.
    """

    n: np.ndarray
    log_error: np.ndarray
    replicates: np.ndarray
    residuals: tuple[np.ndarray, ...]
    told: np.ndarray

    @classmethod
    def of(cls, n: np.ndarray, error: np.ndarray, told: np.ndarray | None = None) -> Sizes:
        """Group errors (N,) and the noise told of each (N,), NaN where it is not, by size (N,)."""
        sizes, log = np.unique(n), np.log(error)
        groups = [np.sort(log[n == size]) for size in sizes]
        means = np.array([group.mean() for group in groups])
        residuals = tuple(group - mean for group, mean in zip(groups, means, strict=True))
        replicates = np.array([len(group) for group in groups], float)
        return cls(sizes.astype(float), means, replicates, residuals, _by_size(n, sizes, told))

    def __len__(self) -> int:
        return len(self.n)

    @property
    def x(self) -> np.ndarray:
        """Sizes over the largest."""
        return self.n / self.n[-1]

    @property
    def squares(self) -> float:
        """Sum of squares of the noise between replicates."""
        return float(sum((each**2).sum() for each in self.residuals))

    @property
    def squares_freedom(self) -> int:
        """Degrees of freedom of that noise."""
        return int((self.replicates - 1).sum())

    @property
    def is_told(self) -> bool:
        """Whether the noise from the test set is known."""
        return bool(self.told.any())

    @property
    def measured(self) -> bool:
        """Whether noise is measured at all, not assumed."""
        return self.is_told or self.squares_freedom > 0

    @property
    def between(self) -> float:
        """Variance of the log error between replicates; the assumed one without any."""
        return self.squares / self.squares_freedom if self.squares_freedom else ASSUMED_NOISE**2

    @property
    def run_variance(self) -> float:
        """Variance of the log error of one run of the largest size: between replicates and from the test set."""
        if not self.is_told:
            return self.within / self.freedom
        return self.between + float(self.told[-1]) ** 2 + _SMALLEST_NOISE**2

    @property
    def variances(self) -> np.ndarray:
        """Variance (k,) of the mean log errors; replicates do not lower that from the test set, which they share."""
        if not self.is_told:
            return self.run_variance / self.replicates
        return self.between / self.replicates + self.told**2 + _SMALLEST_NOISE**2

    @property
    def weights(self) -> np.ndarray:
        """How many runs of the largest size the mean of each is worth (k,)."""
        return self.run_variance / self.variances if self.is_told else self.replicates

    @property
    def assumed(self) -> int:
        """Degrees of freedom of the assumed noise, where too few replicates measure it."""
        return 0 if self.is_told else max(_LEAST_FREEDOM - self.squares_freedom, 0)

    @property
    def within(self) -> float:
        """Sum of squares of the noise, assumed noise included; no error is known to better than 1e-4."""
        if self.is_told:
            return self.run_variance * self.freedom
        return self.squares + self.assumed * ASSUMED_NOISE**2 + _SMALLEST_NOISE**2 * float(self.replicates.sum())

    @property
    def freedom(self) -> float:
        """Degrees of freedom of `within`; of two kinds of noise together by Satterthwaite (1946), Biometrics 2, 110."""
        if not self.is_told:
            return self.squares_freedom + self.assumed
        between = self.between**2 / (self.squares_freedom or _LEAST_FREEDOM)
        return self.run_variance**2 / (between + float(self.told[-1]) ** 4 / _TOLD_FREEDOM)

    @property
    def spare(self) -> int:
        """Sizes beyond the parameters of a curve."""
        return max(len(self) - _MOST_PARAMETERS, 0)

    def variance(self, misfit: float) -> float:
        """Variance of the noise, from replicates and from the misfit of a curve."""
        return (self.within + misfit) / (self.freedom + self.spare)

    def without_largest(self) -> Sizes:
        """Return all sizes but the largest."""
        return Sizes(self.n[:-1], self.log_error[:-1], self.replicates[:-1], self.residuals[:-1], self.told[:-1])


def _by_size(n: np.ndarray, sizes: np.ndarray, told: np.ndarray | None) -> np.ndarray:
    """Return the noise told at each size (k,): the root mean square of its runs, of all runs where it has none."""
    known = np.full(len(n), np.nan) if told is None else np.where(np.isfinite(told), told, np.nan)
    if np.isnan(known).all():
        return np.zeros(len(sizes))
    squares = [known[(n == size) & ~np.isnan(known)] ** 2 for size in sizes]
    everywhere = float(np.nanmean(known**2))
    return np.sqrt([square.mean() if len(square) else everywhere for square in squares])


def misfits(curves: np.ndarray, data: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compare curves of free height with data sets.

    Parameters
    ----------
    curves : (m, k) array
        Log errors relative to the largest size.
    data : (b, k) array
        Log errors.
    weights : (k,) array

    Returns
    -------
    misfit : (b, m) float64 array
        Weighted sum of squares at the best height.
    height : (b, m) float64 array
        That height: log error at the largest size.
    """
    share, root = weights / weights.sum(), np.sqrt(weights)
    mean_curve, mean_data = curves @ share, data @ share
    curves, data = (curves - mean_curve[:, None]) * root, (data - mean_data[:, None]) * root
    square = (data**2).sum(axis=1)[:, None] - 2 * data @ curves.T + (curves**2).sum(axis=1)
    return np.maximum(square, 0), mean_data[:, None] - mean_curve


def best(family: Family, data: Sizes, starts: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a family by least squares of the log errors, weighted by their noise, from several starts.

    The noise of an error is roughly proportional to it, so that of its logarithm is the same at every size.

    Parameters
    ----------
    family : Family
    data : Sizes
    starts : (m, 3) array

    Returns
    -------
    theta : (3,) array
    misfit : float
    """
    low, high = family.bounds
    free = high > low
    share, root = data.weights / data.weights.sum(), np.sqrt(data.weights)
    x, theta = data.x, low.copy()

    def residuals(values: np.ndarray) -> np.ndarray:
        theta[free] = values
        apart = data.log_error - family.log_curve(theta[None], x)[0]
        return root * (apart - apart @ share)

    inside = np.clip(starts[:, free], low[free] + 1e-4, high[free] - 1e-4)
    within = (low[free], high[free])
    fits = [
        scipy.optimize.least_squares(residuals, start, bounds=within, ftol=_PRECISION, xtol=_PRECISION, max_nfev=15)
        for start in inside
    ]
    fit = min(fits, key=lambda each: each.cost)
    theta[free] = fit.x
    if theta[2] < _PRECISION:  # bounds are never quite reached
        theta[2] = 0.0
    return theta, float(2 * fit.cost)


@dataclass(frozen=True)
class Library:
    """Curves of all families that fit the data well enough to matter.

    Parameters
    ----------
    theta : dict of str to (m, 3) array
        Curves by family, the best first.
    misfit : dict of str to (m,) array
        Sum of squares of each.
    """

    theta: Mapping[str, np.ndarray]
    misfit: Mapping[str, np.ndarray]

    @property
    def lowest(self) -> float:
        """Sum of squares of the best of all."""
        return min(float(each.min()) for each in self.misfit.values())


def search(
    data: Sizes, rng: np.random.Generator, within: tuple[float, ...] = _WITHIN, starts: tuple[int, ...] = _STARTS
) -> Library:
    """Find curves that fit, generation by generation.

    Parents are the curves near the best. A descendant is a parent plus a random multiple of the difference of two
    others (ter Braak 2006, Stat. Comput. 16, 239), so that long narrow valleys are followed. After the first generation
    the best of each family is found by least squares, that of pow4 also from the best of pow3.

    Parameters
    ----------
    data : Sizes
    rng : Generator
    within : tuple of float
        Chi squared above the best that parents have at most, a generation each.
    starts : tuple of int
        Ranks of the curves from which least squares start.

    Returns
    -------
    Library
    """
    theta = {name: _first(family, rng) for name, family in FAMILIES.items()}
    misfit = {name: _misfit(FAMILIES[name], curves, data) for name, curves in theta.items()}
    for generation, limit in enumerate(within):
        if generation == 1:
            _add_best(theta, misfit, data, starts)
        lowest = min(float(each.min()) for each in misfit.values())
        variance = data.variance(lowest)
        for name, family in FAMILIES.items():
            square = (misfit[name] - lowest) / variance
            limit_here = max(limit, np.partition(square, _FEWEST_PARENTS)[_FEWEST_PARENTS])
            new = _descendants(family, theta[name][square <= limit_here], rng)
            kept = _thinned(np.flatnonzero(square <= max(_KEPT, limit_here)), 2 * _CURVES, rng)
            theta[name] = np.vstack([theta[name][kept], new])
            misfit[name] = np.append(misfit[name][kept], _misfit(family, new, data))
    # add the constant: random steps might miss it
    constant = np.array([[0.0, 0.0, 1.0]])
    theta["pow3"] = np.vstack([theta["pow3"], constant])
    misfit["pow3"] = np.append(misfit["pow3"], _misfit(FAMILIES["pow3"], constant, data))
    order = {name: np.argsort(square, kind="stable") for name, square in misfit.items()}
    return Library(
        {name: theta[name][places] for name, places in order.items()},
        {name: misfit[name][places] for name, places in order.items()},
    )


def _first(family: Family, rng: np.random.Generator) -> np.ndarray:
    low, high = family.bounds
    theta = low + (high - low) * rng.random((2 * _CURVES, 3))
    theta[: _CURVES // 5, 2] = 0.0
    return theta


def _misfit(family: Family, theta: np.ndarray, data: Sizes) -> np.ndarray:
    return misfits(family.log_curve(theta, data.x), data.log_error[None], data.weights)[0][0]


def _add_best(theta: dict[str, np.ndarray], misfit: dict[str, np.ndarray], data: Sizes, ranks: tuple[int, ...]) -> None:
    """Put the best curve of every family first."""
    for name, family in FAMILIES.items():
        order = np.argsort(misfit[name])[list(ranks)]
        starts = theta[name][order]
        if name == "pow4":
            starts = np.vstack([starts, theta["pow3"][0]])
        found, square = best(family, data, starts)
        theta[name] = np.vstack([found, theta[name]])
        misfit[name] = np.append(square, misfit[name])


def _descendants(family: Family, parents: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    one, other, another = parents[rng.integers(0, len(parents), (3, _CURVES))]
    new = np.clip(one + rng.normal(0, 0.6, (_CURVES, 1)) * (other - another), *family.bounds)
    new[rng.random(_CURVES) < _WITHOUT_FLOOR, 2] = 0.0
    return new


def _thinned(places: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Keep the first, which is the best, and some of the others."""
    if len(places) <= most:
        return places
    return np.append(places[:1], rng.choice(places[1:], most - 1, replace=False))
