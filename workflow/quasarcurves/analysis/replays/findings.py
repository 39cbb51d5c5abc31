"""Decision rules: what sets the hazard, by thresholds that were fixed before any replay was made.

Each rule is built of conditions on the ratio of an arm's hazard to that of another arm: as it is, or a control. A
condition holds where the whole 95 % interval is on the right side of its threshold, and fails where the whole of it is
on the other; else nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis.replays import AS_IT_IS, BEFORE, CANNOT_SAY, GRID, GROUP, NO, TWICE, YES, sizes
from quasarcurves.analysis.replays.outcomes import Outcomes
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.comparisons import removes
from quasarcurves.analysis.stats.matched import matched_p, matched_ratio
from quasarcurves.analysis.stats.ratios import Ratio
from quasarcurves.analysis.wording import number, percent

COLUMNS = [*GROUP, "rule", "asked", "answer", "estimate", "low", "high", "sentence"]

A_FIFTH, A_HALF = 0.2, 0.5

LATE = (30.0, 100.0)
"""Steps before a spike at which it is asked whether other orders of batches spike too."""


@dataclass(frozen=True)
class Condition:
    """What the ratio of the hazards of two arms must be.

    Parameters
    ----------
    arm, other : str
    below, above : float
        Thresholds of the ratio: it must be below the one or above the other.
    """

    arm: str
    other: str = AS_IT_IS
    below: float = 0.0
    above: float = np.inf


@dataclass(frozen=True)
class Rule:
    """A rule: every one of its alternatives must have a condition that holds.

    Parameters
    ----------
    name, asked : str
        As all texts, with {examples} where the task says what they are called.
    claims : (str, str)
        What is said if it holds, and if it fails.
    alternatives : sequence of sequences of Condition
        One of each sequence is enough. Of several that were replayed, each has to hold, or fail, at a level that many
        times stricter.
    """

    name: str
    asked: str
    claims: tuple[str, str]
    alternatives: Sequence[Sequence[Condition]]


RULES = (
    Rule(
        "the step's size permits it",
        "do step_x0.5 and v_x4 both lower the hazard to under a fifth?",
        ("the size of the step permits the spikes", "the step halved does not lower the hazard to under a fifth"),
        [[Condition("step_x0.5", below=A_FIFTH)], [Condition("v_x4", below=A_FIFTH)]],
    ),
    Rule(
        "noise drives it",
        "does a larger batch lower the hazard to under a fifth, and a smaller one raise it?",
        ("the noise of batches drives the spikes", "larger and smaller batches do not change the hazard that much"),
        [
            [Condition(arm, below=A_FIFTH) for arm in ("batch_x2", "batch_x4", "batch_all")],
            [Condition("batch_x0.5", above=1.0)],
        ],
    ),
    Rule(
        "momentum matters",
        "does m_0 change the hazard by a factor of 2?",
        ("momentum matters", "m_0 does not change the hazard by a factor of 2"),
        [[Condition("m_0", below=A_HALF, above=TWICE)]],
    ),
    Rule(
        "few {examples} carry it",
        "does leaving out the 10 worst {examples} lower the hazard to under a half of that without 10 random ones?",
        ("a few {examples} carry the spikes", "leaving out the worst {examples} does not halve the hazard"),
        [[Condition("worst_out", "random_out", below=A_HALF)]],
    ),
    Rule(
        "numerical",
        "does the loss from logits, or float64, lower the hazard to under a fifth?",
        ("the cause is numerical", "neither logits nor float64 lowers the hazard to under a fifth"),
        [[Condition(arm, below=A_FIFTH) for arm in ("logits", "float64")]],
    ),
)

ORDER = "the order of batches decides"


def judge(outcomes: Outcomes, examples: str = "examples") -> pd.DataFrame:
    """Return a row per optimizer, n_train, learning_rate and rule, with `COLUMNS`; `examples` is what they are called.

    - rule, asked, answer: yes, no or cannot say
    - estimate, low, high: of the condition that decides: the ratio of hazards with its 95 % interval; for `ORDER` the
      share that the state decides (`order`)
    - sentence: the answer in words

    Sizes below the largest also have a row on that (`sizes`).
    """
    rows, groups = [], list(outcomes.groups())
    for keys, group in groups:
        rows += [keys | row for row in (*(_judged(rule, group, examples) for rule in RULES), order(group))]
        if beside := sizes.largest_beside(keys, groups):
            rows.append(keys | sizes.compare(keys["n_train"], group, *beside, examples))
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


@dataclass(frozen=True)
class _Found:
    condition: Condition
    ratio: Ratio
    answer: str

    @property
    def text(self) -> str:
        what, ratio = self.condition, self.ratio
        if np.isnan(ratio.value):
            return f"no replay of {what.arm} or {what.other} spiked"
        times = "times the hazard" if what.other == AS_IT_IS else f"times that of {what.other}"
        return f"{what.arm} has {number(ratio.value)} {times} ({number(ratio.low)} to {number(ratio.high)})"


def _judged(rule: Rule, group: Outcomes, examples: str) -> dict[str, Any]:
    """Return the row of a rule; arms that were not replayed say nothing."""
    replayed = {arm for arm in group.arms if not group.note(arm)}
    found, missing = [], []
    for some in rule.alternatives:
        had = [each for each in some if {each.arm, each.other} <= replayed]
        missing += [] if had else [each.arm for each in some]
        found.append([_try(each, group, len(had)) for each in had])
    parts = [_any([each.answer for each in some]) if some else CANNOT_SAY for some in found]
    answer = _all(parts)
    texts = [each.text for some in found for each in some]
    texts += [f"there are no replays with {' or '.join(missing)}"] if missing else []
    yes, no = rule.claims
    says = {YES: f"Yes, {yes}", NO: f"No, {no}", CANNOT_SAY: f"Whether {yes} is not settled"}[answer]
    # the part on which the answer hangs: the first that has that answer itself
    decides = next((_telling(some) for some, part in zip(found, parts, strict=True) if some and part == answer), None)
    ratio = decides.ratio if decides else Ratio(np.nan, np.nan, np.nan, np.nan, 0)
    row = {"rule": rule.name, "asked": rule.asked, "sentence": f"{says}: {'; '.join(texts)}."}
    row = {name: text.format(examples=examples) for name, text in row.items()} | {"answer": answer}
    return row | {"estimate": ratio.value, "low": ratio.low, "high": ratio.high}


def _try(condition: Condition, group: Outcomes, tries: int) -> _Found:
    """Return what the replays say of a condition, which is one of several that would do."""
    counts = group.matched(condition.arm, condition.other)
    ratio = matched_ratio(counts)
    limits = {limit for limit in (condition.below, condition.above) if 0 < limit < np.inf}
    verdicts = [_side(condition, limit, ratio.value, min(1.0, tries * matched_p(counts, limit))) for limit in limits]
    return _Found(condition, ratio, _any(verdicts))


def _side(condition: Condition, limit: float, value: float, p: float) -> str:
    below = removes(value, p, limit)
    return below if limit == condition.below else {YES: NO, NO: YES}.get(below, CANNOT_SAY)


def _any(answers: Sequence[str]) -> str:
    if YES in answers:
        return YES
    return NO if all(answer == NO for answer in answers) else CANNOT_SAY


def _all(answers: Sequence[str]) -> str:
    if NO in answers:
        return NO
    return YES if all(answer == YES for answer in answers) else CANNOT_SAY


def _telling(found: Sequence[_Found]) -> _Found:
    """Return the condition that decides of several that would do; that which is nearest to holding if none does."""
    ranks = {YES: 0, CANNOT_SAY: 1, NO: 2}
    return min(found, key=lambda each: (ranks[each.answer], np.nan_to_num(each.ratio.value, nan=np.inf)))


def order(group: Outcomes) -> dict[str, Any]:
    """Judge whether the order of batches alone decides that a spike comes, or the state shortly before it.

    At forks 30 and 100 steps before a spike, a share of the replays as it is spikes, s. If the order alone decided, it
    would be that at forks of the grid, g; if the state did, all. The estimate is the state's part, (s - g) / (1 - g).
    The order decides if its interval lies below a half, the state if above.
    """
    late, grid = (_shares(group.at(kind, distances=at)) for kind, at in ((BEFORE, LATE), (GRID, ())))
    (s, s_low, s_high, s_forks), (g, g_low, g_high, g_forks) = late, grid
    row = {"rule": ORDER, "asked": "would other orders have had no spike, shortly before one?"}
    if not s_forks or not g_forks:
        missing = "before spikes" if not s_forks else "on a grid"
        text = f"Whether {ORDER} cannot be said: there are no forks {missing}."
        return row | {"answer": CANNOT_SAY, "estimate": np.nan, "low": np.nan, "high": np.nan, "sentence": text}
    value, low, high = _part(s, g), _part(s_low, g_high), _part(s_high, g_low)
    answer = YES if high < A_HALF else NO if low > A_HALF else CANNOT_SAY
    says = {YES: f"Yes, {ORDER}", NO: "No, the state shortly before a spike decides"}
    there = [at for at in LATE if len(group.at(BEFORE, distances=(at,)).counts())]
    claim, places = says.get(answer, f"Whether {ORDER} is not settled"), " and ".join(f"{at:g}" for at in there)
    text = (
        f"{claim}: of other orders from {places} steps before a spike {percent(s)} ({percent(s_low)} to "
        f"{percent(s_high)}) spike, of those from the grid {percent(g)} ({percent(g_low)} to {percent(g_high)})."
    )
    return row | {"answer": answer, "estimate": value, "low": low, "high": high, "sentence": text}


def _part(share: float, base: float) -> float:
    return float(np.clip((share - base) / (1 - base), -1, 1)) if base < 1 else 0.0


def _shares(chosen: Outcomes) -> tuple[float, float, float, int]:
    """Return the share of replays as it is that spike, with its 95 % interval, and the number of forks.

    Clopper's and Pearson's interval for as many replays as are worth that many independent ones: fewer where those of
    a fork are alike (Korn & Graubard 1998, Survey Methodology 24, 193). Where all agree, a fork counts as one.
    """
    counts = chosen.counts()
    counts = counts[(counts["arm"] == AS_IT_IS) & (counts["n"] > 0)]
    events, n = counts["events"].to_numpy(float), counts["n"].to_numpy(float)
    forks = len(counts)
    if not forks:
        return np.nan, np.nan, np.nan, 0
    share, total = events.sum() / n.sum(), n.sum()
    worth = float(forks)
    if 0 < share < 1 and forks > 1:
        variance = ((events - share * n) ** 2).sum() * forks / (forks - 1) / total**2
        few = (scipy.stats.norm.isf(ALPHA / 2) / scipy.stats.t.isf(ALPHA / 2, forks - 1)) ** 2
        worth = float(np.clip(share * (1 - share) / max(variance, 1e-12), 0, total) * few)
    x = share * worth
    low = scipy.stats.beta.ppf(ALPHA / 2, x, worth - x + 1) if share > 0 else 0.0
    high = scipy.stats.beta.isf(ALPHA / 2, x + 1, worth - x) if share < 1 else 1.0
    return share, float(low), float(high), forks
