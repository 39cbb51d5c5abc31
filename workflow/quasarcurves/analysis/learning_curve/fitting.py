"""How much training data is enough: the number of examples for a target, the floor, and the gain from doubling.

The curve is of the family that best predicts the largest size from the smaller ones. The intervals are over all
families: a value is inside if some curve with that value, of any family, fits the data about as well as the best one.
A bootstrap over sizes and replicates finds how much worse it may fit: data are made from the fitted curve, and their
true value has to be inside in 90 % of cases. A bootstrap of the fitted value itself would be too narrow: it ignores the
other families, and that fits are drawn to the edge of the possible curves (no floor).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy

from quasarcurves.analysis.learning_curve.candidates import ASSUMED_NOISE, Library, Sizes, misfits, search
from quasarcurves.analysis.learning_curve.families import BASELINE, FAMILIES
from quasarcurves.analysis.stats import MAD_TO_SIGMA

CURVE_LEVEL = 0.9
"""Level of all intervals of learning curves; other analyses use `stats.LEVEL`."""

FEWEST_SIZES = 4
FEWEST_DOUBLINGS = 3
"""Sizes from which on a gain per doubling is told; two sizes show a ratio."""

WIDEST = 10.0
"""Widest interval of a number of examples that is an answer: highest over lowest."""

SMALLEST_GAIN = 0.01
"""Smallest gain that counts."""

SURPRISE = 0.001
"""Noise explains what has at least this probability."""

FAILED = 5.0
"""A replicate has failed if it is further above the others than this many robust standard deviations."""

_DRAWS = 199
_COMPARED = 2500
"""Curves to which bootstrapped data are compared."""

_OWN_NOISE = 5
"""Fewest replicates of every size for noise of its own at each size."""

_FARTHEST = 1000.0
"""Times the largest size: targets beyond it are not reached."""

_GRID = 160


@dataclass(frozen=True)
class Plausible:
    """Curves that the data do not rule out.

    Parameters
    ----------
    theta : dict of str to (m, 3) array
        By family.
    height : dict of str to (m,) array
        Best log error at the largest size.
    reach : dict of str to (m,) array
        Largest distance of the log error from it.
    """

    theta: Mapping[str, np.ndarray]
    height: Mapping[str, np.ndarray]
    reach: Mapping[str, np.ndarray]

    def band(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest log error (k,) at sizes over the largest (k,); infinity is the floor."""
        low, high = np.full(len(x), np.inf), np.full(len(x), -np.inf)
        for name, theta in self.theta.items():
            if len(theta):
                curves = _log_curve(name, theta, x) + self.height[name][:, None]
                low = np.minimum(low, (curves - self.reach[name][:, None]).min(axis=0))
                high = np.maximum(high, (curves + self.reach[name][:, None]).max(axis=0))
        return low, high


@dataclass(frozen=True)
class LearningCurve:
    """A fitted learning curve and its answers; made by `fit`.

    Parameters
    ----------
    family : str
        Of the curve; `last1`, a constant, where there are too few sizes for any.
    parameters : dict of str to float
        Of the error, as published (see `families`).
    sizes : (k,) array
        Training-set sizes.
    target : float or None
    n_required : float
        Examples at which the curve reaches the target; infinite if it does not, NaN without a target.
    interval : tuple of float
        Its 90 % interval. 0 if the smallest size may do already; infinite if the target may never be reached.
    floor, floor_interval
        Error that the curve tends to.
    doubling_gain, doubling_gain_interval
        Share of the error at the largest size that doubling this size removes.
    noise : float
        Relative, of one run of the largest size: between replicates (10 % without any) and from the test set.
    ratio_seen, ratio_interval
        Error at the largest size over that at the smallest, without any curve; NaN with one size.
    gain_per_doubling, gain_per_doubling_interval
        Share of the error that each doubling has removed from the smallest to the largest size, without any curve; NaN
        with fewer than three sizes.
    required : (b,) array
        Bootstrap of `n_required`; empty without a target, and with too few sizes.
    left_out : dict of str to float
        By family (and `last1`): the error predicted for the largest size from the smaller ones, over that found.
    reasons : tuple of str
        Why the data cannot answer; empty if they can.
    failed : (N,) bool array
        Replicates that were left out.
    examples : str
        What reasons and the verdict call training examples.
    """

    family: str
    parameters: Mapping[str, float]
    sizes: np.ndarray
    target: float | None
    n_required: float
    interval: tuple[float, float]
    floor: float
    floor_interval: tuple[float, float]
    doubling_gain: float
    doubling_gain_interval: tuple[float, float]
    noise: float
    ratio_seen: float
    ratio_interval: tuple[float, float]
    gain_per_doubling: float
    gain_per_doubling_interval: tuple[float, float]
    required: np.ndarray
    left_out: Mapping[str, float]
    reasons: tuple[str, ...]
    failed: np.ndarray
    _theta: np.ndarray = field(repr=False)
    _height: float = field(repr=False)
    _plausible: Plausible | None = field(repr=False)
    examples: str = "examples"

    @property
    def certain_gain(self) -> bool:
        """Whether doubling the largest set surely lowers the error, by more than 1 %."""
        return bool(self.doubling_gain_interval[0] > SMALLEST_GAIN)

    @property
    def verdict(self) -> str:
        """The answer in a sentence."""
        if self.reasons:
            return f"These data cannot say: {'; '.join(self.reasons)}."
        low, high = self.interval
        if self.target is None:
            return f"No target is set; {self._gain}."
        if low == 0:
            return f"At most {_count(high)} {self.examples} are needed, fewer than were tried."
        return f"{_count(self.n_required)} {self.examples} are needed ({_count(low)} to {_count(high)})."

    @property
    def _gain(self) -> str:
        low, high = (f"{100 * value:.2g} %" for value in self.doubling_gain_interval)
        if not self.certain_gain:
            return f"whether more {self.examples} help is not certain, doubling the largest set gains {low} to {high}"
        return f"doubling the largest set gains {100 * self.doubling_gain:.2g} % ({low} to {high})"

    def predict(self, n: float | np.ndarray) -> np.ndarray:
        """Error at training-set sizes n, of the same shape."""
        x = np.asarray(n, float) / self.sizes[-1]
        if not (x > 0).all():
            raise ValueError(f"n: expected numbers of {self.examples} above 0, found {n!r}")
        return np.exp(_log_curve(self.family, self._theta[None], x.ravel())[0] + self._height).reshape(x.shape)

    def band(self, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """90 % interval (k,) and (k,) of the error at each size n (k,), infinity included; NaN for too few sizes."""
        n = np.asarray(n, float)
        if self._plausible is None:
            return np.full(len(n), np.nan), np.full(len(n), np.nan)
        low, high = self._plausible.band(n / self.sizes[-1])
        return np.exp(low), np.exp(high)


def fit(
    n: np.ndarray,
    error: np.ndarray,
    target: float | None = None,
    *,
    noise: np.ndarray | None = None,
    own: Callable[[float], float] = float,
    examples: str = "examples",
    seed: int = 0,
) -> LearningCurve:
    """Fit a learning curve to errors, and find how many examples a target takes.

    Fits are least squares of log errors, as the noise of an error is roughly proportional to it. Replicates that are
    not finite, or more than 5 robust standard deviations above the others of their size, are left out as failed.
    Noise is that between replicates, or 10 % without any, and that told of the test set.

    Parameters
    ----------
    n : (N,) array
        Training examples of each run.
    error : (N,) array
        Error of each run: smaller is better. Of a score that grows, 1 - score.
    target : float, optional
        Error to reach.
    noise : (N,) array, optional
        Standard deviation of the log error of each run from the choice of test objects; NaN where it is not known.
        All runs are taken to share the test set: more replicates do not lower it.
    own : callable
        From an error to the user's own terms, for reasons.
    examples : str
        What reasons call training examples.
    seed : int
        Of the search for curves and of the bootstrap.

    Returns
    -------
    LearningCurve

    Raises
    ------
    ValueError
        If the arrays do not match, no run is left, or a size, an error or the target is not above 0.
    """
    n, error = _checked(n, error, target)
    if noise is not None and np.shape(noise) != n.shape:
        raise ValueError(f"noise: expected a value per run, shape {n.shape}, found shape {np.shape(noise)}")
    failed = find_failed(n, error)
    if failed.all():
        raise ValueError(f"error: expected finite values, found none in {len(error)}")
    data = Sizes.of(n[~failed], error[~failed], None if noise is None else np.asarray(noise, float)[~failed])
    if len(data) < FEWEST_SIZES:
        return replace(_constant(data, target, failed), examples=examples)
    rng = np.random.default_rng(seed)
    library = search(data, rng)
    left_out = leave_largest_out(data, rng)
    family = _choose(library, data, left_out)
    curve, limit = _judged(data, target, failed, library, left_out, family, rng)
    return _with_reasons(replace(curve, examples=examples), data, library, limit, own)


def _checked(n: np.ndarray, error: np.ndarray, target: float | None) -> tuple[np.ndarray, np.ndarray]:
    n, error = np.asarray(n, float), np.asarray(error, float)
    if n.ndim != 1 or n.shape != error.shape:
        raise ValueError(f"expected n and error of one length, found shapes {n.shape} and {error.shape}")
    for name, values in (("n", n), ("error", error[np.isfinite(error)])):
        bad = values[~(np.isfinite(values) & (values > 0))]
        if len(bad):
            raise ValueError(f"{name}: expected values above 0, found {bad[0]:g}")
    if target is not None and not (np.isfinite(target) and target > 0):
        raise ValueError(f"target: expected an error above 0, found {target}")
    return n, error


def find_failed(n: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Find replicates that have failed: not finite, or far above the others of their size.

    Far is 5 standard deviations of the log error, robustly (1.4826 times the median deviation) from the others of the
    size, or from all deviations if these are larger. Fewer than three replicates have no failed one.

    Parameters
    ----------
    n, error : (N,) array

    Returns
    -------
    (N,) bool array
    """
    failed = ~np.isfinite(error)
    log = np.log(np.where(failed, 1.0, error))
    apart, spread = np.full(len(n), np.nan), np.full(len(n), np.nan)
    for i in np.flatnonzero(~failed):
        others = log[(n == n[i]) & ~failed & (np.arange(len(n)) != i)]
        if len(others) >= 2:
            apart[i] = log[i] - np.median(others)
            spread[i] = MAD_TO_SIGMA * np.median(np.abs(others - np.median(others)))
    if np.isnan(apart).all():
        return failed
    pooled = MAD_TO_SIGMA * np.nanmedian(np.abs(apart))
    return failed | (apart > FAILED * np.fmax(spread, pooled))


def _constant(data: Sizes, target: float | None, failed: np.ndarray) -> LearningCurve:
    """Return the constant that stands for too few sizes."""
    unknown = (float("nan"),) * 2
    reason = f"{len(data)} size{'s' if len(data) > 1 else ''} of training sets, at least {FEWEST_SIZES} are needed"
    height = float(data.log_error[-1])
    return LearningCurve(
        family=BASELINE,
        parameters={"a": float(np.exp(height))},
        sizes=data.n,
        target=target,
        n_required=np.nan,
        interval=unknown,
        floor=np.nan,
        floor_interval=unknown,
        doubling_gain=np.nan,
        doubling_gain_interval=unknown,
        required=np.empty(0),
        left_out={},
        reasons=(reason,),
        failed=failed,
        _theta=np.array([0.0, 0.0, 1.0]),
        _height=height,
        _plausible=None,
        **_seen(data),
    )


def _seen(data: Sizes) -> dict[str, Any]:
    """Return what the smallest and the largest size show without any curve, with t intervals, and the noise."""
    unknown = (float("nan"),) * 2
    ends = np.full(3, np.nan)
    if len(data) > 1:
        reach = scipy.stats.t.ppf((1 + CURVE_LEVEL) / 2, data.freedom) * np.sqrt(data.variances[[0, -1]].sum())
        ends = data.log_error[-1] - data.log_error[0] + reach * np.array([-1, 0, 1])
    seen: dict[str, Any] = {"noise": float(np.sqrt(data.run_variance)), "gain_per_doubling": np.nan}
    seen |= {"gain_per_doubling_interval": unknown, "ratio_seen": float(np.exp(ends[1]))}
    if len(data) >= FEWEST_DOUBLINGS:
        high, value, low = -np.expm1(ends / np.log2(data.n[-1] / data.n[0]))
        seen |= {"gain_per_doubling": float(value), "gain_per_doubling_interval": (float(low), float(high))}
    return seen | {"ratio_interval": (float(np.exp(ends[0])), float(np.exp(ends[2])))}


def leave_largest_out(data: Sizes, rng: np.random.Generator) -> dict[str, float]:
    """Predict the largest size from the smaller ones, by every family with fewer parameters than smaller sizes.

    Returns
    -------
    dict of str to float
        Error predicted over error found, by family and for `last1`, the error of the second-largest size.
    """
    smaller = data.without_largest()
    found, x = data.log_error[-1], data.n[-1:] / smaller.n[-1]
    ratios = {BASELINE: float(np.exp(smaller.log_error[-1] - found))}
    eligible = [family for family in FAMILIES.values() if len(smaller) > family.parameters]
    if eligible:
        library = search(smaller, rng, within=(300.0, 60.0), starts=(0,))
        for family in eligible:
            theta = library.theta[family.name][:1]
            _, height = misfits(family.log_curve(theta, smaller.x), smaller.log_error[None], smaller.weights)
            predicted = family.log_curve(theta, x)[0, 0] + height[0, 0]
            if np.isfinite(predicted):
                ratios[family.name] = float(np.exp(predicted - found))
    return ratios


def _choose(library: Library, data: Sizes, left_out: Mapping[str, float]) -> str:
    """Choose the family that predicts best among those that the data do not rule out; else the simplest of them."""
    limit = _usual_limit(data, library.lowest)
    fitting = [name for name in FAMILIES if library.misfit[name][0] <= limit]
    checked = [name for name in fitting if name in left_out]
    return min(checked, key=lambda name: abs(np.log(left_out[name]))) if checked else fitting[0]


def _usual_limit(data: Sizes, lowest: float) -> float:
    """Sum of squares up to which curves would be plausible if they were linear in their parameters (Fisher's F)."""
    freedom = data.freedom + data.spare
    return lowest + (data.within + lowest) * scipy.stats.f.ppf(CURVE_LEVEL, 1, freedom) / freedom


def _judged(
    data: Sizes,
    target: float | None,
    failed: np.ndarray,
    library: Library,
    left_out: Mapping[str, float],
    family: str,
    rng: np.random.Generator,
) -> tuple[LearningCurve, float]:
    """Collect the answers of the curves, and the sum of squares up to which curves are plausible."""
    theta = library.theta[family][0]
    height = _height(data, family, theta)
    n_required = np.nan if target is None else _reaches(data, family, theta, height, target)
    limit, required = _limit(data, library, (family, theta, height), n_required, target, rng)
    plausible = _plausible(data, library, limit)
    gains = np.concatenate([_log_gain(name, curves) for name, curves in plausible.theta.items()])
    floor = float(np.exp(height + np.log(theta[2]))) if theta[2] > 0 else 0.0
    floor_low, floor_high = (float(np.exp(bound[0])) for bound in plausible.band(np.array([np.inf])))
    first, second, above_floor = float(theta[0]), float(theta[1]), float(np.exp(height)) - floor
    parameters = FAMILIES[family].published(first, second, floor, above_floor, float(data.n[-1]))
    curve = LearningCurve(
        family=family,
        parameters={name: float(value) for name, value in parameters.items()},
        sizes=data.n,
        target=target,
        n_required=n_required,
        interval=(np.nan, np.nan) if target is None else _interval(data, plausible, target, n_required),
        required=required,
        floor=floor,
        floor_interval=(floor_low, floor_high),
        doubling_gain=float(-np.expm1(_log_gain(family, theta[None])[0])),
        doubling_gain_interval=(max(0.0, float(-np.expm1(gains.max()))), float(-np.expm1(gains.min()))),
        left_out=left_out,
        reasons=(),
        failed=failed,
        _theta=theta,
        _height=height,
        _plausible=plausible,
        **_seen(data),
    )
    return curve, limit


def _log_curve(name: str, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.zeros((len(theta), len(x))) if name == BASELINE else FAMILIES[name].log_curve(theta, x)


def _log_gain(name: str, theta: np.ndarray) -> np.ndarray:
    """Log error (m,) at twice the largest size, over that at the largest."""
    return _log_curve(name, theta, np.array([2.0]))[:, 0]


def _height(data: Sizes, family: str, theta: np.ndarray) -> float:
    curve = _log_curve(family, theta[None], data.x)
    return float(misfits(curve, data.log_error[None], data.weights)[1][0, 0])


def _nearest(data: Sizes) -> float:
    """Smallest size considered, over the largest."""
    return 0.1 * data.x[0]


def _reaches(data: Sizes, family: str, theta: np.ndarray, height: float, target: float) -> float:
    """Size at which a curve reaches the target."""

    def above(log_x: float) -> float:
        return float(_log_curve(family, theta[None], np.exp([log_x]))[0, 0]) + height - np.log(target)

    low, high = np.log(_nearest(data)), np.log(_FARTHEST)
    if above(low) <= 0:
        return 0.0
    return float(data.n[-1] * np.exp(scipy.optimize.brentq(above, low, high))) if above(high) < 0 else np.inf


def _limit(
    data: Sizes,
    library: Library,
    fitted: tuple[str, np.ndarray, float],
    n_required: float,
    target: float | None,
    rng: np.random.Generator,
) -> tuple[float, np.ndarray]:
    """Sum of squares up to which curves are plausible, and a bootstrap (b,) of the size at the target.

    Data are drawn from the fitted curve, and each is fitted with and without holding its gain, and its size at the
    target, at their true values. The ratio of the two sums of squares, replicates' noise included, is that of a
    likelihood ratio test; its 90 % quantile is the limit, but at least that of Fisher's F. The size at the target of
    the best curve of each drawing, of any family, is the bootstrap (Mahmood et al. 2022, arXiv:2210.01234).
    """
    family, theta, height = fitted
    curves = {name: _some(library.theta[name], rng) for name in FAMILIES}
    shapes = np.vstack([_log_curve(name, each, data.x) for name, each in curves.items()])
    noise, within = _noise(data, library.lowest, rng)
    drawn = _log_curve(family, theta[None], data.x) + height + noise
    square, heights = misfits(shapes, drawn, data.weights)
    gains = np.concatenate([_log_gain(name, each) for name, each in curves.items()])
    gain = _log_gain(family, theta[None])[0]
    below, above = (np.where(side, square, np.inf).min(axis=1) for side in (gains <= gain, gains >= gain))
    held, required = [np.maximum(below, above)], np.empty(0)
    if target is not None:
        x = np.clip([n_required / data.n[-1]], _nearest(data), _FARTHEST)
        value = _log_curve(family, theta[None], x)[0, 0] + height
        there = np.concatenate([_log_curve(name, each, x)[:, 0] for name, each in curves.items()])
        held.append((square + data.weights.sum() * (value - there - heights) ** 2).min(axis=1))
        required = _required(data, curves, square, heights, target)
    free = within + square.min(axis=1)
    ratio = max(float(np.quantile((within + each) / free, CURVE_LEVEL)) for each in held)
    limit = max((data.within + library.lowest) * ratio - data.within, _usual_limit(data, library.lowest))
    return limit, required


def _required(
    data: Sizes, curves: Mapping[str, np.ndarray], square: np.ndarray, heights: np.ndarray, target: float
) -> np.ndarray:
    """Sizes (b,) at which the best curve of each drawing reaches the target; 0 and infinity as `_crossing` has them."""
    log_x = np.linspace(np.log(_nearest(data)), np.log(_FARTHEST), _GRID)
    along = np.vstack([_log_curve(name, each, np.exp(log_x)) for name, each in curves.items()])
    best = square.argmin(axis=1)
    drawn = along[best] + heights[np.arange(len(best)), best][:, None]
    return data.n[-1] * np.array([_crossing(log_x, each, float(np.log(target))) for each in drawn])


def _some(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thin curves of a family out, but not the best."""
    most = _COMPARED // len(FAMILIES)
    if len(theta) <= most:
        return theta
    return np.vstack([theta[:1], theta[rng.choice(np.arange(1, len(theta)), most - 1, replace=False)]])


def _noise(data: Sizes, misfit: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the noise of mean log errors (b, k), and its sum of squares within sizes (b,).

    Replicates are drawn from those of the same size if every size has 5 or more, else from those of all sizes; without
    replicates, and where the test set tells it, the noise is Gaussian, of the size assumed or told. The variance that
    the means took up is restored, and the noise that misfits show is added.
    """
    sigma = np.sqrt(data.variance(misfit))
    if data.is_told:
        means = sigma / np.sqrt(data.weights) * rng.standard_normal((_DRAWS, len(data)))
        return means, sigma**2 * rng.chisquare(data.freedom, _DRAWS)
    known = [each * np.sqrt(len(each) / (len(each) - 1)) for each in data.residuals if len(each) > 1]
    pool = np.concatenate(known) if known else np.empty(0)
    root = np.sqrt(np.mean(pool**2)) if len(pool) >= 2 * _OWN_NOISE else 0.0
    own = root > 0 and data.replicates.min() >= _OWN_NOISE
    means, within = np.empty((_DRAWS, len(data))), np.full(_DRAWS, data.within - data.squares)
    if data.assumed:
        within = sigma**2 * rng.chisquare(data.assumed, _DRAWS)
    for i, count in enumerate(data.replicates.astype(int)):
        if root > 0:
            drawn = rng.choice(known[i] if own else pool, (_DRAWS, count)) * sigma / root
        else:
            drawn = rng.normal(0, sigma, (_DRAWS, count))
        means[:, i] = drawn.mean(axis=1)
        within += ((drawn - means[:, i : i + 1]) ** 2).sum(axis=1)
    return means, within


def _plausible(data: Sizes, library: Library, limit: float) -> Plausible:
    theta = {name: curves[library.misfit[name] <= limit] for name, curves in library.theta.items()}
    fits = {
        name: misfits(_log_curve(name, curves, data.x), data.log_error[None], data.weights)
        for name, curves in theta.items()
    }
    weight = data.weights.sum()
    reach = {name: np.sqrt(np.maximum(limit - square[0], 0) / weight) for name, (square, _) in fits.items()}
    return Plausible(theta, {name: height[0] for name, (_, height) in fits.items()}, reach)


def _interval(data: Sizes, plausible: Plausible, target: float, n_required: float) -> tuple[float, float]:
    """Sizes at which the band holds the target; the band is known on a grid, so the fitted size is put in."""
    log_x = np.linspace(np.log(_nearest(data)), np.log(_FARTHEST), _GRID)
    low, high = (_crossing(log_x, bound, np.log(target)) for bound in plausible.band(np.exp(log_x)))
    return min(float(data.n[-1] * low), n_required), max(float(data.n[-1] * high), n_required)


def _crossing(log_x: np.ndarray, falling: np.ndarray, value: float) -> float:
    """Where falling values reach a value: 0 if they begin below it, infinity if they end above it."""
    if falling[0] <= value:
        return 0.0
    if falling[-1] > value:
        return np.inf
    i = int(np.argmax(falling <= value))
    return float(np.exp(np.interp(value, falling[[i, i - 1]], log_x[[i, i - 1]])))


def _with_reasons(
    curve: LearningCurve, data: Sizes, library: Library, limit: float, own: Callable[[float], float]
) -> LearningCurve:
    """Add the reasons why the data cannot answer, if they cannot."""
    reasons = [reason for reason in (_rise(data, curve.examples), _misfit(data, library.lowest)) if reason]
    (low, high), largest = curve.interval, data.n[-1]
    if curve.target is None or not high <= largest:
        # a target within the sizes tried needs no extrapolation
        reasons += _unproven(curve, data, limit)
    if curve.target is not None:
        reasons += _too_wide(curve, curve.target, low, high, own)
    return replace(curve, reasons=tuple(reasons))


def _rise(data: Sizes, examples: str) -> str:
    """Name two sizes whose larger one has a higher error than noise explains."""
    freedom = data.freedom if data.is_told else data.squares_freedom
    variances = data.variances if data.measured else np.full(len(data), ASSUMED_NOISE**2)
    smaller, larger = np.triu_indices(len(data), 1)
    rise = data.log_error[larger] - data.log_error[smaller]
    apart = rise / np.sqrt(variances[larger] + variances[smaller])
    i = int(np.argmax(apart))
    if not apart[i] > scipy.stats.t.isf(SURPRISE / len(apart), freedom or np.inf):
        return ""
    sizes = f"from {_count(data.n[smaller[i]])} to {_count(data.n[larger[i]])} {examples}"
    return f"the error rises by a factor {np.exp(rise[i]):.2g} {sizes}, more than noise explains"


def _misfit(data: Sizes, lowest: float) -> str:
    """Report that no family fits, if the noise measured does not explain the misfit."""
    if not data.measured or not data.spare:
        return ""
    ratio = lowest / data.spare / (data.within / data.freedom)
    if scipy.stats.f.sf(ratio, data.spare, data.freedom) >= SURPRISE:
        return ""
    return f"no family of curves fits: misfits are {np.sqrt(ratio):.2g} times the noise"


def _unproven(curve: LearningCurve, data: Sizes, limit: float) -> list[str]:
    """Report if a constant fits or predicts as well as the curve."""
    mean = np.average(data.log_error, weights=data.weights)
    if data.weights @ (data.log_error - mean) ** 2 <= limit:
        return ["a constant fits as well as any curve"]
    if curve.family not in curve.left_out:
        return [
            f"{len(data)} sizes are too few to see whether a curve drawn through the smaller ones predicts the largest"
        ]
    miss = {name: abs(np.log(ratio)) for name, ratio in curve.left_out.items()}
    if miss[curve.family] >= miss[BASELINE]:
        return ["the error of the second-largest size predicts that of the largest as well as any curve"]
    return []


def _too_wide(curve: LearningCurve, target: float, low: float, high: float, own: Callable[[float], float]) -> list[str]:
    if target < curve.floor_interval[0]:
        low, high = sorted(map(own, curve.floor_interval))
        floor = f"{own(curve.floor):.3g} ({low:.3g} to {high:.3g})"
        return [f"the target {own(target):.3g} is out of reach: the curve tends to {floor}"]
    if np.isinf(high):
        return [f"the interval, from {_count(low)} {curve.examples}, has no upper end"]
    # an upper bound below all sizes tried is an answer
    if low > 0 and high > WIDEST * low:
        return [f"the interval, {_count(low)} to {_count(high)} {curve.examples}, is wider than a factor {WIDEST:g}"]
    return []


def _count(n: float) -> str:
    """Write a number of examples, unrounded."""
    return f"{n:,.0f}" if np.isfinite(n) else "infinitely many"
