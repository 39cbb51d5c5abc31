"""Does the validation loss rise while the training loss falls?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quasarcurves.analysis.convergence import MATTERS, trend

FEWEST = 20
"""Validation losses below which nothing is said."""

_STRETCHES = 10


@dataclass(frozen=True)
class Rise:
    """How the validation loss changes from where it is lowest to its end.

    Parameters
    ----------
    ratio, low, high : float
        Factor by which it changes, along a straight line through its logarithm, with its 95 % interval; 1 where it is
        lowest in its last stretch, NaN where there are too few values.
    best : int
        Index of the middle of its lowest stretch.
    training : float
        Factor by which the training loss changes between the two.
    values : int
        Validation losses.
    """

    ratio: float
    low: float
    high: float
    best: int
    training: float
    values: int

    @property
    def verdict(self) -> str:
        """Return `yes`, `no`, `both rise` (the training loss does as well), or `cannot say`."""
        if self.low > 1 and self.ratio > MATTERS:
            return "yes" if self.training < 1 else "both rise"
        return "no" if self.high < MATTERS else "cannot say"


def rise(val_loss: np.ndarray, loss: np.ndarray) -> Rise | None:
    """Measure how the validation loss changes after the tenth of it in which it is lowest.

    The lowest of ten medians is lower than the others by chance. So the change is that after it, without it, by
    `convergence.trend`, whose interval honours autocorrelation. On losses that stay or fall, with noise of 3 to 30 %
    and autocorrelations of 0 to 0.5, it says yes in at most one case in twenty, from 20 losses on; with one of 0.9 in
    one of ten, where there are 20 to 40 losses (`tests/unit/analysis/checkup/test_overfitting.py`).

    Parameters
    ----------
    val_loss, loss : (epochs,) arrays
        NaN where not computed, and in sustained spikes and their wakes (`wakes.masked_epochs`): these hide a rise.

    Returns
    -------
    Rise or None
        None without a positive validation loss.
    """
    places = np.flatnonzero(np.isfinite(val_loss) & (val_loss > 0))
    if not len(places):
        return None
    if len(places) < FEWEST:
        return Rise(np.nan, np.nan, np.nan, int(places[0]), np.nan, len(places))
    parts = np.array_split(places, _STRETCHES)
    best = int(np.argmin([np.median(val_loss[part]) for part in parts]))
    after = val_loss[parts[best][-1] + 1 : places[-1] + 1]
    change = trend(after, len(after)) if len(after) else (1.0, 1.0, 1.0)
    before, end = (_median(loss[parts[k]]) for k in (best, -1))
    middle = int(parts[best][len(parts[best]) // 2])
    return Rise(*change, middle, end / before, len(places))


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if len(values) else np.nan
