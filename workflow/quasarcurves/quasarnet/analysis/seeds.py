"""Failed seeds: replicates whose crossing point lies far below that of the others. They are listed, never left out."""

from __future__ import annotations

from functools import cache

import numpy as np

from quasarcurves.analysis.stats import MAD_TO_SIGMA

SIGMAS = 5.0
"""A failed replicate is further below the median than this many robust standard deviations of the replicates."""

FEWEST = 4
"""Fewest replicates for a judgement."""

FALSE_ALARM = 0.01
"""Largest chance that one of several equally good replicates is called failed."""

_TRIALS = 100_000


def find_failed(crossing: np.ndarray, quasars: int) -> tuple[np.ndarray, list[str]]:
    """Find the failed ones among replicates of one fraction and optimizer.

    The robust standard deviation is 1.4826 times the median absolute deviation. It is at least the effect of one quasar
    of the test set: where most replicates agree to the last quasar it would be 0. Few replicates estimate it badly, so
    their limit is wider (`limit`). A replicate without a crossing point has failed if enough others have one.

    Parameters
    ----------
    crossing : (r,) array
        Value of purity and completeness where they are equal; NaN where they never are.
    quasars : int
        In the test set.

    Returns
    -------
    failed : (r,) bool array
    note : list of str
        Of each replicate: why it is failed, or why that cannot be said; else empty.
    """
    crossing = np.asarray(crossing, np.float64)
    known = np.isfinite(crossing)
    count = int(known.sum())
    if count < FEWEST:
        note = f"cannot say: {count} replicate{'s' * (count != 1)} with a crossing point, {FEWEST} needed"
        return np.zeros(len(crossing), bool), [note] * len(crossing)
    centre = np.median(crossing[known])
    sigma = MAD_TO_SIGMA * np.median(np.abs(crossing[known] - centre))
    allowed = max(limit(count) * sigma, SIGMAS / max(quasars, 1))
    failed = ~known | (centre - crossing > allowed)
    notes = [
        ""
        if not each
        else f"{centre - value:.4f} below the others, limit {allowed:.4f}"
        if found
        else "no crossing point"
        for each, value, found in zip(failed, crossing, known, strict=True)
    ]
    return failed, notes


@cache
def limit(replicates: int) -> float:
    """Robust standard deviations that the lowest of some Gaussian replicates is below their median in 1 % of cases.

    At least 5. Simulated, from a fixed seed: the median absolute deviation of a few values is often far too small.
    """
    values = np.random.default_rng([5, replicates]).standard_normal((_TRIALS, replicates))
    centre = np.median(values, axis=1, keepdims=True)
    sigma = MAD_TO_SIGMA * np.median(np.abs(values - centre), axis=1)
    below = (centre[:, 0] - values.min(axis=1)) / sigma
    return max(SIGMAS, float(np.quantile(below, 1 - FALSE_ALARM)))
