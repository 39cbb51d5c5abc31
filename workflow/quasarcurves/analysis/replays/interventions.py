"""What each arm does to the hazard, over all forks and runs: ratios, and verdicts adjusted for the number of arms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis.replays import AS_IT_IS, GRID, GROUP
from quasarcurves.analysis.replays.hazards import level
from quasarcurves.analysis.replays.outcomes import Outcomes, matched_arms
from quasarcurves.analysis.replays.prices import price
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.comparisons import holm
from quasarcurves.analysis.stats.matched import Matched, matched_ratio

LOWERS, RAISES, NOT_SHOWN, ABSENT, REFERENCE = "lowers", "raises", "no difference shown", "cannot be had", "reference"

COLUMNS = [
    *GROUP, "arm", "runs", "forks", "replays", "events", "exposure", "events_as_it_is", "exposure_as_it_is",
    "grid_forks", "grid_events", "grid_exposure", "hazard", "hazard_low", "hazard_high",
    "ratio", "ratio_low", "ratio_high", "p", "p_holm", "verdict", "loss_ratio", "loss_ratio_low", "loss_ratio_high",
    "own_rises", "own_rises_as_it_is", "own_ratio", "own_ratio_low", "own_ratio_high", "own_p", "own_p_holm",
    "own_verdict",
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
    - own_rises, own_rises_as_it_is, own_ratio, ..., own_verdict: the same of rises over a replay's own level
      (`passages.rise_over_own_level`). The loss before the fork, over which a spike counts, is no measure of an arm
      that lowers the loss by itself.
    """
    rows: list[dict[str, Any]] = []
    for keys, group in outcomes.groups():
        rows += _of_group(keys, group)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _of_group(keys: dict[str, Any], group: Outcomes) -> list[dict[str, Any]]:
    counts, own = group.counts(), group.counts_over_own_level()
    grid = group.at(GRID).counts()
    rows = [keys | _row(group, arm, counts, own, grid) for arm in group.arms]
    for which in ("", "own_"):
        for row, p in zip(rows, holm([row[f"{which}p"] for row in rows]), strict=True):
            row[f"{which}p_holm"] = p
            row[f"{which}verdict"] = row["note"] or _verdict(row[f"{which}ratio"], p)
    return rows


def _row(group: Outcomes, arm: str, counts: pd.DataFrame, own: pd.DataFrame, grid: pd.DataFrame) -> dict[str, Any]:
    """Return the facts on one arm; in `note` its verdict, where no comparison is needed for it."""
    made, on_grid = (table[(table["arm"] == arm) & (table["n"] > 0)] for table in (counts, grid))
    row: dict[str, Any] = {"arm": arm, "runs": made["run"].nunique(), "forks": len(made), "replays": made["n"].sum()}
    row |= {"events": made["events"].sum(), "exposure": made["exposure"].sum()}
    row |= {f"grid_{name}": on_grid[name].sum() for name in ("events", "exposure")} | {"grid_forks": len(on_grid)}
    row |= dict(zip(("hazard", "hazard_low", "hazard_high"), level(on_grid), strict=True))
    row |= {"own_rises": own.loc[own["arm"] == arm, "events"].sum(), "p": np.nan, "own_p": np.nan, "note": ""}
    if not len(made):
        return row | {"note": f"{ABSENT}: {group.note(arm)}"}
    if arm == AS_IT_IS:
        return row | {"note": REFERENCE}
    both, over_own = (matched_arms(table, arm, AS_IT_IS) for table in (counts, own))
    row |= {"events_as_it_is": both.others.sum(), "exposure_as_it_is": both.other_exposures.sum()}
    row |= {"own_rises": over_own.events.sum(), "own_rises_as_it_is": over_own.others.sum()}
    row |= dict(zip(("loss_ratio", "loss_ratio_low", "loss_ratio_high"), price(group, arm), strict=True))
    return row | _ratio(both) | {f"own_{name}": value for name, value in _ratio(over_own).items()}


def _ratio(counts: Matched) -> dict[str, float]:
    found = matched_ratio(counts)
    return {"ratio": found.value, "ratio_low": found.low, "ratio_high": found.high, "p": found.p}


def _verdict(ratio: float, p: float) -> str:
    if not p < ALPHA:
        return NOT_SHOWN
    return LOWERS if ratio < 1 else RAISES
