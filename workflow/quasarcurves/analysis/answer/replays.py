"""What do the replays show?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quasarcurves.analysis import tables
from quasarcurves.analysis.answer.replies import CANNOT_SAY, Study, count, listed
from quasarcurves.analysis.replays import AS_IT_IS, GROUP
from quasarcurves.analysis.replays.interventions import LOWERS, NOT_SHOWN, RAISES
from quasarcurves.analysis.wording import interval, number

A_TENTH = 0.1
"""Share of the hazard under which a change is one to advise."""


def _sentence_of(rows: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> str:
    """Say in one sentence what the replays of one optimizer, size and learning rate show.

    Parameters
    ----------
    rows, found : sequence of mapping
        Of interventions.csv and replay_findings.csv.
    """
    own = next((row for row in rows if row["arm"] == AS_IT_IS), None)
    if own is None or not own["events"]:
        return f"of {count(own['replays'] if own else 0, 'replay')} as it is none spiked"
    parts = [_level(own)]
    lowering = sorted((row for row in rows if row["verdict"] == LOWERS), key=lambda row: row["ratio"])
    if lowering:
        best = lowering[0]
        parts.append(f"{best['arm']} lowers that most, to {interval(best, 'ratio')} times")
        parts += _of_own_level(lowering)
    raising = [row["arm"] for row in rows if row["verdict"] == RAISES]
    parts += [f"{listed(raising)} {'raises' if len(raising) == 1 else 'raise'} it"] if raising else []
    parts += [_cheapest(lowering)] if lowering else []
    if not lowering and not raising:
        open_ = sum(row["verdict"] == NOT_SHOWN for row in rows)
        parts.append(f"none of {count(open_, 'arm')} is shown to change that")
    rules = [f"{row['rule']}: {row['answer']}" for row in found if row["answer"] != CANNOT_SAY]
    unsettled = [row["rule"] for row in found if row["answer"] == CANNOT_SAY]
    parts += [", ".join(rules)] if rules else []
    parts += [f"not settled: {', '.join(unsettled)}"] if unsettled else []
    return "; ".join(parts)


def _of_own_level(lowering: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of which arms it is not shown that they also lower rises over a replay's own level."""
    rows = [row for row in lowering if row["own_verdict"] != LOWERS]
    if not rows:
        return []
    ratios = [f"{row['arm']} ({interval(row, 'own_ratio')} times)" for row in rows]
    return [f"that rises over a replay's own level are fewer is not shown for {listed(ratios)}"]


def _cheapest(lowering: Sequence[Mapping[str, Any]]) -> str:
    """Say which arm takes the hazard under a tenth for certain at the lowest training loss, and what that loss is."""
    enough = [row for row in lowering if row["ratio_high"] < A_TENTH]
    if not enough:
        return "none is shown to take it under a tenth"
    row = min(enough, key=lambda row: np.nan_to_num(row["loss_ratio"], nan=np.inf))
    cost = interval(row, "loss_ratio")
    return f"the cheapest that takes it under a tenth is {row['arm']}, which ends at {cost} times the training loss"


def _level(own: Mapping[str, Any]) -> str:
    where = f"{count(own['runs'], 'run')}, {count(own['forks'], 'fork')}"
    if np.isnan(own["hazard"]):
        return f"{count(own['events'], 'spike')} in {number(own['exposure'] / 1000)} thousand steps as it is ({where})"
    return f"with other orders of batches {interval(own, 'hazard')} spikes come in 1,000 steps ({where})"


def sentence(study: Study) -> str:
    """Return what the replays show, a sentence for each group of runs; empty where there were none."""
    table, found = study.interventions, study.replay_findings
    if table is None or found is None or table.empty:
        return ""
    parts = []
    for group, rows in table.groupby(GROUP, dropna=False):
        own = found.merge(rows[GROUP].drop_duplicates(), on=GROUP)  # pandas takes NaN for equal keys
        optimizer, n_train = group[:2]
        says = _sentence_of(tables.records(rows), tables.records(own))
        parts.append(f"{optimizer}, {n_train:,.0f} {study.examples}: {says}.")
    return " ".join(parts)
