"""Which epochs lie in sustained spikes and their wakes, and so say nothing of the course of a loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables

SUSTAINED = "sustained"

_COLUMNS = [*tables.RUN_KEYS, "scale", "kind", "onset", "peak", "end"]


def read_sustained(spikes: Path) -> pd.DataFrame:
    """Read the sustained spikes of spikes.csv, of both scales.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    table = tables.read(spikes)
    if missing := [name for name in _COLUMNS if name not in table]:
        raise ValueError(f"{spikes}: expected the columns {', '.join(_COLUMNS)}, found no {', '.join(missing)}")
    return table.loc[table["kind"] == SUSTAINED, _COLUMNS]


def spike_length(spikes: pd.DataFrame, values: int, per_value: float) -> float:
    """Return how many values of a loss a spike lasts, as a random time in spikes has it; at least 1.

    Parameters
    ----------
    spikes : DataFrame
        `onset` and `end`, NaN where a spike lasts to the end of the run.
    values : int
        Of the loss.
    per_value : float
        Units of `onset` and `end` in a value.
    """
    if spikes.empty:
        return 1.0
    lasted = (spikes["end"].fillna(values * per_value) - spikes["onset"]).to_numpy(float) / per_value
    return float(max((lasted**2).sum() / lasted.sum(), 1.0)) if lasted.sum() > 0 else 1.0


def masked_epochs(spikes: pd.DataFrame, epochs: int, steps_per_epoch: int) -> np.ndarray:
    """Mark the epochs of a run of which a part lies in a sustained spike or in its wake.

    A spike ends where spikes.csv says: back within 10 % of its course. What is left falls on; the wake lasts for as
    long again as the loss took from the peak to that end. A loss that never came back is masked to the end of the run.
    Both scales count: a loss of steps touches its course, which has followed it, sooner than a loss of epochs.

    Parameters
    ----------
    spikes : DataFrame
        Of the run, as `read_sustained` returns them.
    epochs, steps_per_epoch : int

    Returns
    -------
    (epochs,) bool array
    """
    masked = np.zeros(epochs, bool)
    per_epoch = np.where(spikes["scale"] == "step", steps_per_epoch, 1)
    wake_over = 2 * spikes["end"] - spikes["peak"]
    first = np.asarray(spikes["onset"] // per_epoch, int)
    last = np.asarray((wake_over // per_epoch).fillna(epochs), int)
    for start, stop in zip(first, last, strict=True):
        masked[start : stop + 1] = True
    return masked
