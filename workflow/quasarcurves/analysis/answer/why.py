"""Why does the loss spike?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.answer.replies import (
    CANNOT_SAY,
    FEWER,
    NO,
    YES,
    Found,
    Reply,
    Study,
    bounds,
    count,
    listed,
    rate_of,
    removal,
    sentence,
)
from quasarcurves.analysis.causes.hypotheses import AMSGRAD_RULE, CONTRADICTED, NOT_MEASURED, NOT_SETTLED, SUPPORTED
from quasarcurves.analysis.causes.precursors import FEWEST_SPIKES
from quasarcurves.analysis.spikes import SETTLED_EPOCH, SHORTEST
from quasarcurves.analysis.wording import interval, number

_NAMED = 3
"""Optimizers, sizes or causes that a sentence names; the others are counted."""


def answer(study: Study) -> Reply:
    """Return how often the loss of each optimizer spikes, and what the tests of causes say of the one with most.

    The answer is `yes` if an intervention shows that the size of the step permits the spikes, or a published cause is
    supported; `no` if steps were searched and no spike was found; else `cannot say`. The estimate is the rate per 1,000
    steps of the optimizer with most spikes.
    """
    found = {name: study.found(name) for name in study.optimizers}
    if not any(each.steps for each in found.values()):
        text = f"No step was searched for spikes: no run has as many as {SHORTEST} steps."
        return Reply("", CANNOT_SAY, text, "No step was searched for spikes.", needs="longer trainings")
    worst = max(found, key=lambda name: found[name].spikes)
    if not found[worst].spikes:
        return _without_spikes(study, found)
    supported = _published(study, worst).query("verdict == @SUPPORTED")
    sentences = [f"{_spikes(study, worst, found[worst])}; {_others(found, worst)}.", *_too_short(study, worst)]
    sentences += _locked(study, worst)
    shown = list(_step_size(study, worst))
    sentences += [*shown, _causes(study, worst), *_unsearched_epochs(study)]
    short = f"The loss of {worst} has {count(found[worst].spikes, 'sustained spike')}; {_others(found, worst)}."
    verdict = YES if shown or len(supported) else CANNOT_SAY
    needs = "" if verdict == YES else _needs(study, worst, found[worst].spikes)
    return Reply(worst, verdict, " ".join(sentences), short, *found[worst].rate, needs=needs)


def _without_spikes(study: Study, found: dict[str, Found]) -> Reply:
    total = study.found()
    unsearched = [name for name, each in found.items() if not each.steps]
    but = f"; the runs of {_names(unsearched)} were not searched" if unsearched else ""
    text = f"The loss has no sustained spike in {count(total.steps, 'step')}, so {rate_of(total)}{but}."
    short = f"No sustained spike was found in {count(total.steps, 'step')}{but}."
    text = " ".join([text, *_unsearched_epochs(study)])
    return Reply("", NO, text, short, *total.rate, needs="longer trainings, or larger training sets")


def _spikes(study: Study, name: str, found: Found) -> str:
    at = {n: study.found(name, n).spikes for n in study.sizes(name)}
    some = sorted((n for n in at if at[n]), key=lambda n: -at[n])
    places = [f"{at[n]:,} at {n:,.0f} {study.examples}" for n in some[:_NAMED]]
    if rest := sum(at[n] for n in some[_NAMED:]):
        places.append(f"{rest:,} at {count(len(some) - _NAMED, 'other size')}")
    return (
        f"The loss of {name} has {count(found.spikes, 'sustained spike')} in {count(found.steps, 'step')}, "
        f"{rate_of(found)}: {listed(places)}"
    )


def _others(found: dict[str, Found], name: str) -> str:
    others = {other: each for other, each in found.items() if other != name}
    if not others:
        return "no other optimizer was trained"
    named = [f"that of {other} has {_amount(each)}" for other, each in list(others.items())[:_NAMED]]
    if rest := list(others.values())[_NAMED:]:
        spikes = sum(each.spikes for each in rest)
        named.append(f"{count(len(rest), 'other optimizer has', 'other optimizers have')} {spikes:,} in all")
    return ", ".join(named)


def _amount(found: Found) -> str:
    if not found.steps:
        return "not been searched"
    return (
        f"{found.spikes:,} in {count(found.steps, 'step')}" if found.spikes else f"none in {count(found.steps, 'step')}"
    )


def _step_size(study: Study, name: str) -> Iterator[str]:
    """Say which optimizers spike less for no other reason than a smaller step: it was held at that of another."""
    table = study.cures_overall
    for row in tables.records(table[table["reference"] == name]):
        held = str(row["optimizer"])
        if held in study.held and removal(row) in (YES, FEWER):
            yield (
                f"The size of the step permits them: {held}, whose step is held at that of {study.held[held]}, has "
                f"{row['spikes_sustained']:,.0f} against {row['spikes_reference']:,.0f} of {name}, "
                f"{interval(row, 'rate_ratio')} times the rate."
            )


def _too_short(study: Study, name: str) -> Iterator[str]:
    """Say which sizes stop before the step at which the first spike of the others came."""
    spikes = study.of(study.spikes, name)
    onsets = spikes[(spikes["scale"] == "step") & (spikes["kind"] == "sustained")]["onset"]
    if onsets.empty:
        return
    statistics = study.of(study.spike_statistics, name)
    longest = statistics[statistics["scale"] == "step"].groupby("n_train")["steps"].max()
    short = [n for n in study.sizes(name) if longest.get(n, 0) <= onsets.min() and not study.found(name, n).spikes]
    if short:
        yield (
            f"The runs of {_sizes(study, short)} stop before step {onsets.min():,.0f}, where the first spike began: "
            "that they have none means nothing."
        )


_FOLLOWS = {
    "steps": "they follow steps: a rate fixed per epoch is refused (p = {epochs}), one per step is not ({steps})",
    "epochs": "they follow epochs: a rate fixed per step is refused (p = {steps}), one per epoch is not ({epochs})",
    "neither": "they follow neither steps nor epochs: both are refused (p = {steps} and {epochs})",
}


def _locked(study: Study, name: str) -> Iterator[str]:
    """Say whether spikes come at a rate fixed per step or per epoch, or why that cannot be told."""
    rows = study.of(study.spike_trends, name)
    for trend in tables.records(rows[rows["scale"] == "step"].head(1)):
        if trend["verdict"] in _FOLLOWS:
            values = {unit: number(trend[f"{unit}_p"]) for unit in ("steps", "epochs")}
            yield sentence(f"{_FOLLOWS[str(trend['verdict'])].format(**values)}.")
        else:
            yield f"Whether they follow steps or epochs cannot be told: {trend['reason']}."


def _sizes(study: Study, sizes: list[float]) -> str:
    if len(sizes) > _NAMED:
        return f"{len(sizes)} sizes up to {max(sizes):,.0f} {study.examples}"
    return f"{listed(f'{n:,.0f}' for n in sorted(sizes, reverse=True))} {study.examples}"


def _published(study: Study, name: str) -> pd.DataFrame:
    """Return what was found of the published causes."""
    rows = study.of(study.hypotheses, name)
    return rows[rows["hypothesis"] != AMSGRAD_RULE]


def _causes(study: Study, name: str) -> str:
    rows = _published(study, name)
    if rows.empty:
        return "No published cause was tested."
    counts = rows["verdict"].value_counts()
    open_ones = [
        f"{counts[verdict]} {'is' if counts[verdict] == 1 else 'are'} {verdict}"
        for verdict in (CONTRADICTED, NOT_SETTLED, NOT_MEASURED)
        if counts.get(verdict)
    ]
    supported = rows[rows["verdict"] == SUPPORTED]
    if supported.empty:
        return f"Of {count(len(rows), 'published cause')} none is supported; {listed(open_ones)}."
    some = [_cause(row) for _, row in supported.head(_NAMED).iterrows()]
    verb = "is" if len(supported) == 1 else "are"
    rest = f"; {listed(open_ones)}" if open_ones else ""
    named = ", ".join(some) + (f" and {len(supported) - _NAMED} more" if len(supported) > _NAMED else "")
    return f"Of {count(len(rows), 'published cause')} {len(supported)} {verb} supported ({named}){rest}."


def _cause(row: pd.Series) -> str:
    known = np.isfinite(row["estimate"])
    return (
        f"{row['hypothesis']}: {number(row['estimate'])} {bounds(row['low'], row['high'])}"
        if known
        else str(row["hypothesis"])
    )


def _unsearched_epochs(study: Study) -> Iterator[str]:
    short = int((study.runs["epochs"] <= SETTLED_EPOCH).sum())
    if short:
        of = "any run" if short == len(study.runs) else f"{short} of {count(len(study.runs), 'run')}"
        yield f"No epoch of {of} was searched for tall spikes: that search begins after epoch {SETTLED_EPOCH}."


def _needs(study: Study, name: str, spikes: int) -> str:
    """Say how many replicates more have enough spikes for a test of a cause, at the rate seen."""
    replicates = study.replicates(name)
    more = max(int(np.ceil(replicates * (FEWEST_SPIKES / spikes - 1))), 2)
    return f"{count(more, 'more replicate')} of {name} for the cause{study.minutes_of_replicates(more, [name])}"


def _names(names: list[str]) -> str:
    return listed(names) if len(names) <= _NAMED else f"{len(names)} optimizers"
