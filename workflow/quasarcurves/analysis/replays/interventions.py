"""What each arm does to the hazard, over all forks and runs: ratios, and verdicts adjusted for the number of arms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis.replays import AS_IT_IS, GRID, GROUP
from quasarcurves.analysis.replays.hazards import level
from quasarcurves.analysis.replays.outcomes import Outcomes
from quasarcurves.analysis.replays.prices import price
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.comparisons import holm
from quasarcurves.analysis.stats.matched import matched_ratio

LOWERS, RAISES, NOT_SHOWN, ABSENT, REFERENCE = "lowers", "raises", "no difference shown", "cannot be had", "reference"

COLUMNS = [
    *GROUP, "arm", "runs", "forks", "replays", "events", "exposure", "events_as_it_is", "exposure_as_it_is",
    "grid_forks", "grid_events", "grid_exposure", "hazard", "hazard_low", "hazard_high",
    "ratio", "ratio_low", "ratio_high", "p", "p_holm", "verdict", "loss_ratio", "loss_ratio_low", "loss_ratio_high",
]  # fmt: skip


def compare(outcomes: Outcomes) -> pd.DataFrame:
    """Return a row per optimizer, n_train, learning_rate and arm, with `COLUMNS`.

    - runs, forks, replays, events, exposure: of the arm, over forks of all kinds
    - events_as_it_is, exposure_as_it_is: at the same forks
    - grid_forks, grid_events, grid_exposure: at forks of the grid alone, which were not chosen by the outcome
    - hazard, hazard_low, hazard_high: per 1,000 steps at those (`hazards.level`)
    - ratio, ratio_low, ratio_high, p: over the hazard of `as_it_is` at the same forks of all kinds (`matched_ratio`):
      what a state's own hazard is does not enter, nor do runs' hazards. One run speaks for itself alone.
    - p_holm: p adjusted for the number of arms of the group
    - verdict: lowers, raises, no difference shown, cannot be had (and why), or reference
    - loss_ratio, loss_ratio_low, loss_ratio_high: price of the arm, the training loss that it ends at (`prices.price`)
    """
    rows: list[dict[str, Any]] = []
    for keys, group in outcomes.groups():
        rows += _of_group(keys, group)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _of_group(keys: dict[str, Any], group: Outcomes) -> list[dict[str, Any]]:
    counts, grid = group.counts(), group.at(GRID).counts()
    rows = [keys | _row(group, arm, *(table[table["arm"] == arm] for table in (counts, grid))) for arm in group.arms]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
        row["verdict"] = row.get("verdict") or _verdict(row["ratio"], p)
    return rows


def _row(group: Outcomes, arm: str, counts: pd.DataFrame, grid: pd.DataFrame) -> dict[str, Any]:
    """Return the facts on one arm; its verdict where no comparison is needed for it."""
    made, on_grid = counts[counts["n"] > 0], grid[grid["n"] > 0]
    row: dict[str, Any] = {"arm": arm, "runs": made["run"].nunique(), "forks": len(made), "replays": made["n"].sum()}
    row |= {"events": made["events"].sum(), "exposure": made["exposure"].sum(), "p": np.nan}
    row |= {
        "grid_forks": len(on_grid),
        "grid_events": on_grid["events"].sum(),
        "grid_exposure": on_grid["exposure"].sum(),
    }
    row |= dict(zip(("hazard", "hazard_low", "hazard_high"), level(on_grid), strict=True))
    if not len(made):
        return row | {"verdict": f"{ABSENT}: {group.note(arm)}"}
    if arm == AS_IT_IS:
        return row | {"verdict": REFERENCE}
    both = group.matched(arm)
    row |= {"events_as_it_is": both.others.sum(), "exposure_as_it_is": both.other_exposures.sum()}
    found = matched_ratio(both)
    row |= dict(zip(("loss_ratio", "loss_ratio_low", "loss_ratio_high"), price(group, arm), strict=True))
    return row | {"ratio": found.value, "ratio_low": found.low, "ratio_high": found.high, "p": found.p}


def _verdict(ratio: float, p: float) -> str:
    if not p < ALPHA:
        return NOT_SHOWN
    return LOWERS if ratio < 1 else RAISES
