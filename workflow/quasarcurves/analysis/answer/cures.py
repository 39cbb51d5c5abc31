"""Does anything cure the spikes?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from quasarcurves.analysis import tables
from quasarcurves.analysis.answer.replies import CANNOT_SAY, FEWER, NO, YES, Reply, Study, count, removal
from quasarcurves.analysis.metrics.description import Metric
from quasarcurves.analysis.wording import interval, number

_FEWEST_PAIRS = 3
"""Pairs of runs below which no optimizer is said to remove spikes."""

_SHOWN = 2
"""Test metrics that the price is told in, at most."""


def answers(study: Study) -> list[Reply]:
    """Return whether each optimizer removes the spikes of the reference, over all sizes, and at what price.

    The estimate is the ratio of the rates.
    """
    table = study.cures_overall
    rows = tables.records(table[(table["reference"] == study.reference) & (table["optimizer"] != study.reference)])
    if not rows:
        text = f"No other optimizer was compared with {study.reference}, so nothing can be said of cures."
        return [Reply("", CANNOT_SAY, text, "Nothing was tried as a cure.", needs="a second optimizer")]
    return [_of(study, row) for row in rows]


def _of(study: Study, row: Mapping[str, Any]) -> Reply:
    name, reference = str(row["optimizer"]), study.reference
    if not (study.found(name).steps and study.found(reference).steps):
        text = f"Whether {name} removes spikes cannot be said: no step was searched for them in runs of both."
        return Reply(name, CANNOT_SAY, text, text, needs="longer trainings")
    if not row["spikes_reference"]:
        text = f"There is nothing for {name} to remove: {reference} has no sustained spike where both were trained."
        return Reply(name, CANNOT_SAY, f"{text} {_price(study, row)}", text, needs=f"runs of {reference} that spike")
    verdict = removal(row)
    claim = {
        YES: f"{name} removes the spikes of {reference}",
        FEWER: f"{name} has fewer spikes than {reference}",
        NO: f"{name} does not remove the spikes of {reference}",
    }.get(verdict, f"Whether {name} removes the spikes of {reference} cannot be said")
    spikes = f"{row['spikes_sustained']:,.0f} against {count(row['spikes_reference'], 'sustained spike')}"
    where = f"over {count(row['strata'], 'size')}{_chance(row)}"
    text = f"{claim}: {spikes} {where}, {interval(row, 'rate_ratio')} times the rate."
    text += " Whether it leaves less than half of them cannot be said." if verdict == FEWER else ""
    numbers = (row["rate_ratio"], row["rate_ratio_low"], row["rate_ratio_high"])
    do = f"train with {name} rather than {reference}" if verdict == YES and not _costly(study, row) else ""
    needs = _needs(study, name) if verdict in (CANNOT_SAY, FEWER) else ""
    return Reply(name, verdict, f"{text} {_price(study, row)}", f"{claim}.", *numbers, do=do, needs=needs)


def _chance(row: Mapping[str, Any]) -> str:
    chance = row.get("exact_p", np.nan)
    return f" (p = {number(chance)} for these runs alone)" if np.isfinite(chance) else ""


def _price(study: Study, row: Mapping[str, Any]) -> str:
    parts = list(_parts(study, row))
    return f"The price: {', '.join(parts)}." if parts else "Its price is not known."


def _judging(study: Study, row: Mapping[str, Any]) -> list[Metric]:
    """Return the test metrics that the price is told in."""
    metrics = map(study.description.metric, study.description.judges(study.compared))
    return [metric for metric in metrics if metric.comparison in row][:_SHOWN]


def _parts(study: Study, row: Mapping[str, Any]) -> Iterator[str]:
    for metric in _judging(study, row):
        if not np.isfinite(row[metric.comparison]):
            continue
        if metric.is_ratio:
            yield f"{metric.words} {interval(row, metric.comparison)} times that of {row['reference']}"
        else:
            yield f"{metric.words} changes by {interval(row, metric.comparison)}"
    if np.isfinite(row.get("price_train", np.nan)):
        yield f"final training loss {interval(row, 'price_train')} times that of {row['reference']}"


def _costly(study: Study, row: Mapping[str, Any]) -> bool:
    """Return whether the test set shows that the optimizer is worse by a metric that models are judged by."""
    return any(
        row.get(f"{metric.comparison}_low", np.nan) > 1
        if metric.is_ratio
        else row.get(f"{metric.comparison}_high", np.nan) < 0
        for metric in _judging(study, row)
    )


def _needs(study: Study, name: str) -> str:
    pair = (name, study.reference)
    replicates = min(map(study.replicates, pair))
    more = _FEWEST_PAIRS - replicates if replicates < _FEWEST_PAIRS else replicates
    return f"{count(more, 'more replicate')} of {name} and {study.reference}{study.minutes_of_replicates(more, pair)}"
