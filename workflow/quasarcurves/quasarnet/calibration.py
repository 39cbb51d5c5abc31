"""Do confidences mean probabilities? Reliability of a classifier's confidences, and how far they are off.

The expected calibration error (Naeini et al. 2015, AAAI 29, 2901) is the mean distance between confidence and the share
of quasars, over bins. It is never 0 for finitely many spectra, even if each confidence is the probability. So it comes
with what it would be then: labels are drawn by the confidences themselves.

Confidences are made probabilities by two numbers, fitted on spectra that the network has not been trained on: a slope
and an offset of their logits (Platt 1999; a slope alone is one over the temperature of Guo et al. 2017,
arXiv:1706.04599). The order of spectra stays, and with it purity against completeness.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy

BINS = 10
"""Bins of equally many spectra."""

FEWEST = 10
"""Quasars, and others, that a scaling is fitted on at least."""

_END = 1e-7

DRAWS, _AT_A_TIME = 199, 1_000_000
LEVEL = 0.95
_SEED = 1
"""Of the draws, the same for all networks."""


@dataclass(frozen=True)
class Reliability:
    """Confidence against the share of quasars, in bins of equally many spectra.

    Parameters
    ----------
    n : (b,) int array
        Spectra.
    confidence, share : (b,) float64 arrays
        Mean confidence, and share of quasars.
    low, high : (b,) float64 arrays
        95 % interval of the share (Wilson).
    """

    n: np.ndarray
    confidence: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Scaling:
    """From confidence to probability: p = 1 / (1 + exp(-(slope logit(c) + offset))).

    Parameters
    ----------
    slope, offset : float
        The slope is not below 0; 1 and 0 change nothing.
    n, quasars : int
        Spectra that it was fitted on, and quasars among them.
    """

    slope: float
    offset: float
    n: int
    quasars: int

    def apply(self, confidence: np.ndarray) -> np.ndarray:
        """Return probabilities (n,) float64 of confidences (n,); NaN where these are not finite."""
        return scipy.special.expit(self.slope * _logit(confidence) + self.offset)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Scaling:
        """Return the scaling that `to_json` wrote.

        Raises
        ------
        ValueError
            If it is something else.
        """
        try:
            found = cls(float(values["slope"]), float(values["offset"]), int(values["n"]), int(values["quasars"]))
        except (TypeError, KeyError, ValueError, OverflowError):
            found = None
        if found is None or not (np.isfinite([found.slope, found.offset]).all() and found.slope >= 0):
            raise ValueError(
                f"expected slope (0 or more), offset, n and quasars of a scaling, found {str(values)[:80]}"
            )
        return found


@dataclass(frozen=True)
class Calibration:
    """How far confidences are from probabilities.

    Parameters
    ----------
    error, low, high : float
        Expected calibration error with its 95 % interval over objects; NaN without spectra.
    perfect, perfect_high : float
        What it would be if each confidence were the probability: mean and 95th percentile.
    n : int
        Spectra.
    """

    error: float
    low: float
    high: float
    perfect: float
    perfect_high: float
    n: int

    @property
    def is_off(self) -> bool:
        """Whether confidences are surely no probabilities."""
        return self.error > self.perfect_high


def reliability(confidence: np.ndarray, is_quasar: np.ndarray, bins: int = BINS) -> Reliability:
    """Return the reliability curve.

    Parameters
    ----------
    confidence : (n,) array
        0 to 1.
    is_quasar : (n,) bool array
    bins : int
        At most; fewer for fewer spectra.
    """
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, max(len(order), 1)))
    n = np.array([len(part) for part in parts])
    mean, share = (
        np.array([values[part].mean() if len(part) else np.nan for part in parts])
        for values in (np.asarray(confidence, np.float64), np.asarray(is_quasar, np.float64))
    )
    bounds = [_wilson(round(s * k) if k else 0, int(k)) for s, k in zip(share, n, strict=True)]
    low, high = np.array(bounds).T
    return Reliability(n, mean, share, low, high)


def expected_error(
    confidence: np.ndarray, is_quasar: np.ndarray, target_id: np.ndarray, bins: int = BINS
) -> Calibration:
    """Return the expected calibration error with its interval, and what chance alone gives.

    Parameters
    ----------
    confidence : (n,) array
        0 to 1; spectra whose confidence is not finite are left out.
    is_quasar : (n,) bool array
    target_id : (n,) array
        Objects are drawn with all their spectra.
    bins : int
    """
    known = np.isfinite(confidence)
    confidence, label = np.asarray(confidence, np.float64)[known], np.asarray(is_quasar, np.float64)[known]
    n = len(confidence)
    if not n:
        return Calibration(np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    order = np.argsort(confidence, kind="stable")
    confidence, label, owner = confidence[order], label[order], np.asarray(target_id)[known][order]
    rng = np.random.default_rng(_SEED)
    ones = np.ones(n)
    error = float(_errors(confidence, label, ones, bins))
    objects, index = np.unique(owner, return_inverse=True)
    # one draw per object: its spectra are of one class, so that repeats tell no more than one
    by_chance = np.concatenate(
        [
            _errors(confidence, rng.random((draws, len(objects)))[:, index] < confidence, ones, bins)
            for draws in _parts(n)
        ]
    )
    drawn = np.concatenate(
        [_errors(confidence, label, _times_drawn(draws, len(objects), rng)[:, index], bins) for draws in _parts(n)]
    )
    # a drawn set scatters about the one it is drawn from as that does about the truth, and adds as much to the error
    reach = np.quantile(drawn - drawn.mean(), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = np.clip(error + reach, 0, 1)
    return Calibration(
        error, float(low), float(high), float(np.mean(by_chance)), float(np.quantile(by_chance, LEVEL)), n
    )


def fit(confidence: np.ndarray, is_quasar: np.ndarray) -> Scaling | None:
    """Fit slope and offset by maximum likelihood.

    Labels are drawn a little towards each other (Platt 1999, section 2.2): the slope of a network that makes no mistake
    on these spectra would have no end.

    Parameters
    ----------
    confidence : (n,) array
        0 to 1; spectra whose confidence is not finite are left out.
    is_quasar : (n,) bool array

    Returns
    -------
    Scaling or None
        None where there are fewer than `FEWEST` quasars, or others.
    """
    known = np.isfinite(confidence)
    label, logit = np.asarray(is_quasar, bool)[known], _logit(np.asarray(confidence)[known])
    quasars, others = int(label.sum()), int((~label).sum())
    if min(quasars, others) < FEWEST:
        return None
    target = np.where(label, (quasars + 1) / (quasars + 2), 1 / (others + 2))

    def cost(at: np.ndarray) -> tuple[float, np.ndarray]:
        score = at[0] * logit + at[1]
        off = scipy.special.expit(score) - target
        # log(1 + exp(score)) - target score is the negative log likelihood
        return float(np.mean(np.logaddexp(0, score) - target * score)), np.array([np.mean(off * logit), np.mean(off)])

    found = scipy.optimize.minimize(cost, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)])
    return Scaling(float(found.x[0]), float(found.x[1]), len(label), quasars)


def _logit(confidence: np.ndarray) -> np.ndarray:
    """Logit of confidences, which float32 rounds to 0 and 1 at the ends."""
    return scipy.special.logit(np.clip(np.asarray(confidence, np.float64), _END, 1 - _END))


def _errors(confidence: np.ndarray, label: np.ndarray, weights: np.ndarray, bins: int) -> np.ndarray:
    """Return expected calibration errors (...) of n spectra in the order of their confidence.

    Parameters
    ----------
    confidence : (n,) array
    label, weights : (n,) or (draws, n) arrays
    bins : int
    """
    starts = np.linspace(0, len(confidence), min(bins, len(confidence)) + 1).astype(int)[:-1]
    sums = np.add.reduceat(weights * (label - confidence), starts, axis=-1)
    return np.abs(sums).sum(axis=-1) / weights.sum(axis=-1)


def _parts(n: int) -> Iterator[int]:
    """Yield numbers of draws that are made at a time, `DRAWS` in all, so that the memory stays small."""
    most = max(1, _AT_A_TIME // n)
    for start in range(0, DRAWS, most):
        yield min(most, DRAWS - start)


def _times_drawn(draws: int, objects: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each of some objects is drawn, (draws, objects)."""
    chosen = rng.integers(objects, size=(draws, objects)) + objects * np.arange(draws)[:, None]
    return np.bincount(chosen.ravel(), minlength=draws * objects).reshape(draws, objects)


def _wilson(k: int, n: int) -> tuple[float, float]:
    if not n:
        return np.nan, np.nan
    found = scipy.stats.binomtest(k, n).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)
