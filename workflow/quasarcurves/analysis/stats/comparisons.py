"""Verdicts on ratios, alone or as one of several comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quasarcurves.analysis.stats import ALPHA


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust the probabilities of several comparisons by Holm's method (1979, Scand. J. Stat. 6, 65).

    `statsmodels.stats.multitest.multipletests` returns the same, but collects garbage in each call: 0.1 s, for hundreds
    of calls in a study.

    Parameters
    ----------
    p : (k,) array
        NaN where there was no comparison.

    Returns
    -------
    (k,) float64 array
        Those below 0.05 are significant together: the chance that one or more of them are false is at most 5 %.
    """
    p = np.asarray(p, float)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN come last
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted


def removes(value: float, p: float, limit: float) -> str:
    """Judge whether a ratio of rates is below a limit: yes, no, or cannot say.

    Parameters
    ----------
    value : float
        The ratio.
    p : float
        `ratios.rate_ratio_p` at the limit, alone or adjusted for other comparisons.
    limit : float
    """
    if not p < ALPHA:
        return "cannot say"
    return "yes" if value < limit else "no"


def compare(value: float, low: float, high: float, p: float | None, margin: float) -> str:
    """Judge a ratio: same, lower, higher, or not settled.

    Parameters
    ----------
    value, low, high : float
        The ratio with its interval. It is `same` if the interval lies between 1/margin and margin.
    p : float or None
        Probability by chance if the true ratio is 1, alone or adjusted for other comparisons. If the ratio is not
        `same`, p settles whether it differs from 1. None: the interval settles that, by excluding 1.
    margin : float
    """
    if 1 / margin < low and high < margin:
        return "same"
    differs = low > 1 or high < 1 if p is None else p < ALPHA
    if not differs:
        return "not settled"
    return "lower" if value < 1 else "higher"
