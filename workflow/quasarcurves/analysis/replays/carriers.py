"""Carriers of a spike: the examples whose own losses make up its rise."""

from __future__ import annotations

import numpy as np
import pandas as pd

HALF = 0.5
"""Share of the rise that the carriers make up together."""


def carriers(before: np.ndarray, peak: np.ndarray) -> pd.DataFrame:
    """Rank examples by what they add to the rise of the loss.

    Parameters
    ----------
    before, peak : (n,) array
        Loss of each example before the spike and at its peak.

    Returns
    -------
    DataFrame
        A row per example, that of the largest rise first:

        - place: of the example in `before`
        - rank: from 1
        - share: its rise over that of all together, which is negative for an example whose loss falls; NaN if the loss
          does not rise in all
        - cumulated: share of all examples up to this rank
        - n_half: the fewest examples that make up half of the rise, the same in each row; 0 if the loss does not rise

    Raises
    ------
    ValueError
        If the two differ in length.
    """
    before, peak = np.asarray(before, np.float64), np.asarray(peak, np.float64)
    if before.shape != peak.shape:
        raise ValueError(f"{len(before)} losses before a spike and {len(peak)} at its peak, expected as many")
    rise = peak - before
    place = np.argsort(-rise, kind="stable")
    total = rise.sum()
    share = rise[place] / total if total > 0 else np.full(len(rise), np.nan)
    cumulated = np.cumsum(share)
    # shares fall, so the first place where they make up half is the fewest; rounding must not ask for one more
    n_half = int(np.argmax(cumulated >= HALF * (1 - 1e-12))) + 1 if total > 0 else 0
    rank = np.arange(1, len(rise) + 1)
    return pd.DataFrame({"place": place, "rank": rank, "share": share, "cumulated": cumulated, "n_half": n_half})
