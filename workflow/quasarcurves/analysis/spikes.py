"""How far a loss jumps out of its own course."""

from __future__ import annotations

import numpy as np
import pandas as pd

EPOCH_WINDOW = 51
"""Epochs of the running median."""

SETTLED_EPOCH = 50
"""Jumps are counted after this epoch: before it the loss falls so fast that its own median lags behind."""

HIGH_RATIO = 3.0
"""A jump of the epoch loss to more than this many times its running median is counted."""


def height_ratio(loss: np.ndarray, window: int = EPOCH_WINDOW) -> np.ndarray:
    """Loss over its centred running median; the window is cut short at both ends.

    A median over a window much longer than a spike does not see the spike itself.

    Parameters
    ----------
    loss : (t,) array
        Positive; what is not finite is left out of the median.
    window : int
        Odd.

    Returns
    -------
    (t,) float64 array
    """
    series = pd.Series(np.asarray(loss, np.float64)).replace([np.inf, -np.inf], np.nan)
    return np.asarray(loss / series.rolling(window, center=True, min_periods=1).median())


def count_excursions(ratio: np.ndarray, threshold: float = HIGH_RATIO) -> int:
    """Count the stretches of consecutive values above a threshold."""
    above = np.concatenate([[False], np.asarray(ratio) > threshold])
    return int((above[1:] & ~above[:-1]).sum())
