"""The hazard of a spike: of each state, and over the states of the grid."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quasarcurves.analysis.replays import AS_IT_IS, PER
from quasarcurves.analysis.replays.outcomes import FORK, Outcomes
from quasarcurves.analysis.stats import matched
from quasarcurves.analysis.stats.rates import Counts, poisson_interval, rate

COLUMNS = [
    "run", "fork_step", "arm", "n", "events", "exposure", "hazard", "low", "high", "ratio", "ratio_low", "ratio_high",
]  # fmt: skip


def per_fork(outcomes: Outcomes) -> pd.DataFrame:
    """Return a row per run, fork and arm, with `COLUMNS`.

    - n: replays; 0 where the arm cannot be had, and then no hazard
    - events, exposure: spikes, and steps until the first one or the end of the replay
    - hazard, low, high: events per 1,000 steps, with the exact Poisson interval (Garwood 1936)
    - ratio, ratio_low, ratio_high: over the hazard of `as_it_is` at the same fork, with the interval that is exact
      given the events of both. It holds for this state alone, and for orders that are drawn anew.
    """
    counts = outcomes.counts()
    own = counts[counts["arm"] == AS_IT_IS].drop(columns="arm")
    table = counts.merge(own, on=FORK, how="left", suffixes=("", "_own"))
    e, t, o, u = (table[name].to_numpy(float) for name in ("events", "exposure", "events_own", "exposure_own"))
    o, u = np.nan_to_num(o), np.nan_to_num(u)
    with np.errstate(invalid="ignore", divide="ignore"):
        table["hazard"] = PER * e / t
        table["ratio"] = (e / t) / (o / u)
    bounds = [poisson_interval(k, at / PER) if at > 0 else (np.nan, np.nan) for k, at in zip(e, t, strict=True)]
    table["low"], table["high"] = np.reshape(bounds, (-1, 2)).T
    table["ratio_low"], table["ratio_high"] = matched.exact_intervals(e, t, o, u)
    itself = ["ratio", "ratio_low", "ratio_high"]
    table.loc[table["arm"] == AS_IT_IS, itself] = np.nan
    return table.sort_values(FORK, kind="stable", ignore_index=True)[COLUMNS]


def level(counts: pd.DataFrame) -> tuple[float, float, float]:
    """Hazard per 1,000 steps over forks, with its 95 % interval.

    The interval is Garwood's for counts that are divided, as is the exposure, by their dispersion over forks: replays
    of a fork share its state. Where there are several runs it is no narrower than that over runs (`rates.rate`). With
    one run it holds for the states of that run.

    Parameters
    ----------
    counts : DataFrame
        A row per fork: run, events, exposure.

    Returns
    -------
    hazard, low, high : float
        NaN without exposure.
    """
    counts = counts[counts["exposure"] > 0]
    events, exposure = counts["events"].to_numpy(float), counts["exposure"].to_numpy(float) / PER
    if not len(events):
        return np.nan, np.nan, np.nan
    value = events.sum() / exposure.sum()
    spread = _dispersion(events, value * exposure)
    low, high = poisson_interval(events.sum() / spread, exposure.sum() / spread)
    by_run = counts.groupby("run")[["events", "exposure"]].sum()
    if len(by_run) > 1:
        _, least, most = rate(Counts(by_run["events"].to_numpy(float), by_run["exposure"].to_numpy(float) / PER))
        low, high = min(low, least), max(high, most)
    return value, low, high


def _dispersion(events: np.ndarray, expected: np.ndarray) -> float:
    """Return the variance of counts over their mean, from their squared distances; at least 1."""
    if not events.sum() or len(events) < 2:
        return 1.0
    squares = ((events - expected) ** 2).sum() * len(events) / (len(events) - 1)
    return max(1.0, float(squares / events.sum()))
