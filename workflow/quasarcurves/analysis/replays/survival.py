"""How long replays go on without a spike: Kaplan-Meier curves of each arm."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis.replays import GRID, GROUP
from quasarcurves.analysis.replays.outcomes import Outcomes
from quasarcurves.analysis.stats import LEVEL

COLUMNS = [*GROUP, "arm", "steps", "survival", "low", "high", "at_risk"]


def kaplan_meier(steps: np.ndarray, spiked: np.ndarray) -> pd.DataFrame:
    """Share of replays without a spike after each number of steps (Kaplan & Meier 1958, J. Am. Stat. Assoc. 53, 457).

    The band is Greenwood's (1926) on the scale of log(-log survival), point by point. It takes replays for independent:
    where states decide, it is too narrow.

    Parameters
    ----------
    steps : (n,) array
        Until the first spike, or the end of the replay.
    spiked : (n,) bool array

    Returns
    -------
    DataFrame
        Rows by steps, from 0: steps, survival, low, high, at_risk. Survival is that after the step. Where it is 0 or 1
        the band has no width of its own: it goes from 0 to the band before, or from 1 to 1.
    """
    steps, spiked = np.asarray(steps, float), np.asarray(spiked, bool)
    found = scipy.stats.ecdf(scipy.stats.CensoredData(uncensored=steps[spiked], right=steps[~spiked])).sf
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", RuntimeWarning
        )  # it has no band where survival is 0 or 1, which is seen to below
        band: Any = found.confidence_interval(LEVEL, method="log-log")
    table = pd.DataFrame({"steps": found.quantiles, "survival": found.probabilities})
    table["low"], table["high"] = (each.probabilities for each in (band.low, band.high))
    ended, whole = table["survival"] <= 0, table["survival"] >= 1
    table.loc[whole, ["low", "high"]] = 1.0
    table.loc[ended, "low"], table.loc[ended, "high"] = 0.0, np.nan
    table["high"] = table["high"].ffill()
    table["at_risk"] = (steps[:, None] >= table["steps"].to_numpy()).sum(axis=0)
    start = pd.DataFrame({"steps": [0.0], "survival": 1.0, "low": 1.0, "high": 1.0, "at_risk": len(steps)})
    return pd.concat([start, table], ignore_index=True).drop_duplicates("steps", keep="last")


def curves(outcomes: Outcomes) -> pd.DataFrame:
    """Return the curve of every arm over the forks of the grid, with `COLUMNS`."""
    parts = []
    for keys, group in outcomes.groups():
        at_grid = group.at(GRID)
        for arm in at_grid.arms:
            rows = at_grid.replays[(at_grid.replays["arm"] == arm) & (at_grid.replays["replay"] >= 0)]
            if len(rows):
                curve = kaplan_meier(rows["steps"].to_numpy(), rows["spiked"].to_numpy() == 1)
                parts.append(curve.assign(**keys, arm=arm)[COLUMNS])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
