"""Does the validation loss rise while the training loss falls?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from quasarcurves.analysis.convergence import MATTERS, effective_size
from quasarcurves.analysis.stats import ALPHA

FEWEST = 20
"""Validation losses below which nothing is said."""

_BLOCKS = 10
_MEDIAN = 1.2533
"""Standard error of a median over that of a mean, of Gaussian values."""


@dataclass(frozen=True)
class Rise:
    """How the validation loss changes from its lowest stretch to its last.

    Parameters
    ----------
    ratio, low, high : float
        Median of the last tenth over that of the lowest, with its 95 % interval; NaN where there are too few values.
    best : int
        Index of the middle of the lowest stretch.
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
    """Compare the last tenth of the validation losses with the tenth in which they are lowest.

    The lowest of ten medians is lower than the others by chance: the interval is at 95 % over all nine comparisons
    (Bonferroni), with the effective number of values that the autocorrelation about the medians leaves.

    Parameters
    ----------
    val_loss, loss : (epochs,) arrays
        NaN where not computed.

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
    logs = np.log(val_loss[places])
    parts = np.array_split(np.arange(len(places)), _BLOCKS)
    medians = np.array([np.median(logs[part]) for part in parts])
    middles = np.array([part.mean() for part in parts])
    rest = logs - np.interp(np.arange(len(logs)), middles, medians)
    independent = max(effective_size(rest) / _BLOCKS, 1.0)
    spread = float(np.sqrt(np.sum(rest**2) / max(len(rest) - _BLOCKS, 1)))
    error = _MEDIAN * spread * np.sqrt(2 / independent)
    reach = error * scipy.stats.t.isf(ALPHA / 2 / (_BLOCKS - 1), max(_BLOCKS * (independent - 1), 3))
    best = int(np.argmin(medians))
    change = float(medians[-1] - medians[best])
    low, high = (0.0, 0.0) if best == _BLOCKS - 1 else (change - reach, change + reach)
    ends = [_median(loss[places[parts[k]]]) for k in (best, _BLOCKS - 1)]
    ratio, low, high = np.exp(np.clip([change, low, high], -700, 700)).tolist()
    return Rise(
        ratio,
        low,
        high,
        best=int(places[parts[best][len(parts[best]) // 2]]),
        training=float(ends[1] / ends[0]),
        values=len(places),
    )


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if len(values) else np.nan
