"""What an arm costs: the training loss at which its replays end, over that of the replays as they are."""

from __future__ import annotations

import numpy as np
import scipy

from quasarcurves.analysis.replays import AS_IT_IS
from quasarcurves.analysis.replays.outcomes import FORK, Outcomes
from quasarcurves.analysis.stats import ALPHA


def price(group: Outcomes, arm: str) -> tuple[float, float, float]:
    """Return the ratio of the last losses of an arm to those as it is, with its 95 % interval.

    Replays that spiked are left out on both sides, so it is the price where no spike comes. Logarithms are averaged
    over the replays of a fork, then over the forks of a run that have both arms. The interval is Student's over
    runs; with one run it is over its forks, and holds for that run.

    Parameters
    ----------
    group : Outcomes
        Of one optimizer, size and learning rate.
    arm : str

    Returns
    -------
    (float, float, float)
        NaN where no fork has both; limits of 0 and infinity where there is one fork alone.
    """
    rows = group.replays[group.replays["loss_after"] > 0]
    logs = np.log(rows["loss_after"]).groupby([rows[key] for key in (*FORK, "arm")]).mean().unstack("arm")
    if arm not in logs or AS_IT_IS not in logs:
        return np.nan, np.nan, np.nan
    of_forks = (logs[arm] - logs[AS_IT_IS]).dropna()
    of_runs = of_forks.groupby("run").mean()
    if of_runs.empty:
        return np.nan, np.nan, np.nan
    sample = of_runs if len(of_runs) > 1 else of_forks
    value, n = float(of_runs.mean()), len(sample)
    if n == 1:
        return float(np.exp(value)), 0.0, np.inf
    width = float(scipy.stats.t.isf(ALPHA / 2, n - 1) * sample.std() / np.sqrt(n))
    return float(np.exp(value)), float(np.exp(value - width)), float(np.exp(value + width))
