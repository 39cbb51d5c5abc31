"""Whether spikes are rarer, or more frequent, with fewer training examples: replays of two sizes, held together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis.replays import AS_IT_IS, CANNOT_SAY, GRID, NO, TWICE, YES
from quasarcurves.analysis.replays.outcomes import Outcomes
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.rates import Counts
from quasarcurves.analysis.stats.ratios import Ratio, rate_ratio
from quasarcurves.analysis.wording import number

RULE = "fewer {examples} change it"


def largest_beside(
    keys: Mapping[str, Any], groups: Sequence[tuple[Mapping[str, Any], Outcomes]]
) -> tuple[float, Outcomes] | None:
    """Return the largest size of the same optimizer and learning rate, and its outcomes; None if `keys` has it.

    Parameters
    ----------
    keys : mapping
        Of one of the groups.
    groups : sequence of (mapping, Outcomes)
        All of a study, as `Outcomes.groups` yields them.
    """
    # text tells learning rates that are not known from others, but not from each other
    alike = [each for each in groups if str({**each[0], "n_train": 0}) == str({**keys, "n_train": 0})]
    of, outcomes = max(alike, key=lambda each: each[0]["n_train"])
    return (of["n_train"], outcomes) if of["n_train"] > keys["n_train"] else None


def compare(n: float, group: Outcomes, n_largest: float, largest: Outcomes, examples: str) -> dict[str, Any]:
    """Return the row of `RULE` for a size: its hazard as it is over that of the largest one, at forks of the grid.

    Runs are compared as wholes: forks of a run share its history, so that many replays of few runs tell little.

    Parameters
    ----------
    n, n_largest : float
        The sizes.
    group, largest : Outcomes
    examples : str
        What they are called.
    """
    ratio = _ratio(_as_it_is(group), _as_it_is(largest))
    answer = CANNOT_SAY
    if ratio.p < ALPHA:
        answer = YES
    elif ratio.low > 1 / TWICE and ratio.high < TWICE:
        answer = NO
    says = {
        YES: f"Yes, fewer {examples} change the hazard",
        NO: f"No, fewer {examples} do not change the hazard by a factor of 2",
        CANNOT_SAY: f"Whether fewer {examples} change the hazard is not settled",
    }[answer]
    found = f"with {n:,.0f} and {n_largest:,.0f} no replay as it is spiked"
    if not np.isnan(ratio.value):
        interval = f"{number(ratio.low)} to {number(ratio.high)}"
        found = f"with {n:,.0f} there is {number(ratio.value)} times the hazard with {n_largest:,.0f} ({interval})"
    return {
        "rule": RULE.format(examples=examples),
        "asked": f"is the hazard another than that with {n_largest:,.0f} {examples}?",
        "answer": answer,
        "estimate": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "sentence": f"{says}: {found}.",
    }


def _ratio(counts: pd.DataFrame, others: pd.DataFrame) -> Ratio:
    """Return the ratio of two hazards, from events and exposure of forks."""
    spread = _spread(pd.concat([counts, others]))
    of_runs = [each.groupby("run")[["events", "exposure"]].sum() for each in (counts, others)]
    sides = [
        Counts(np.round(each["events"].to_numpy() / spread), each["exposure"].to_numpy() / spread) for each in of_runs
    ]
    found = rate_ratio([(sides[0], sides[1])])
    e, t, o, u = (each[name].sum() for each in of_runs for name in ("events", "exposure"))
    if not e + o:
        return found
    value = (e / t) / (o / u) if o else np.inf
    return replace(found, value=value, low=min(found.low, value), high=max(found.high, value))


def _spread(counts: pd.DataFrame) -> float:
    """Return the variance of forks' events over their mean, about the hazard of their run; at least 1.

    Replays of a fork share its state: of as many events, so many times fewer are independent.
    """
    by_run = counts.groupby("run")[["events", "exposure"]].transform("sum")
    expected = by_run["events"] / by_run["exposure"] * counts["exposure"]
    freedom = max(len(counts) - counts["run"].nunique(), 1)
    squares = ((counts["events"] - expected) ** 2).sum() * len(counts) / freedom
    return max(1.0, float(squares / max(counts["events"].sum(), 1)))


def _as_it_is(outcomes: Outcomes) -> pd.DataFrame:
    """Return run, events and exposure of the forks of the grid, of replays as it is."""
    counts = outcomes.at(GRID).counts()
    return counts[(counts["arm"] == AS_IT_IS) & (counts["exposure"] > 0)]
