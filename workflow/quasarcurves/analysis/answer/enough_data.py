"""How much training data is enough?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quasarcurves.analysis import tables
from quasarcurves.analysis.answer.replies import CANNOT_SAY, NO, Reply, Study, bounds, count, takes
from quasarcurves.analysis.learning_curve import FAMILIES
from quasarcurves.analysis.wording import number

FEWEST_SIZES = min(family.parameters for family in FAMILIES.values()) + 2
"""Sizes from which on a number of examples can be told."""


def answers(study: Study) -> list[Reply]:
    """Return for each optimizer and metric how many examples are enough, or what each doubling takes off the error.

    A number if the target's can be told; `no` if each doubling surely lowers the error; else `cannot say`. The estimate
    is that number, or the gain per doubling as a share of the error.
    """
    rows = {(row["optimizer"], row["metric"]): row for row in tables.records(study.learning_curve)}
    metrics = study.description.with_curves(study.learning_curve["metric"])
    known = [
        _of(study, rows[name, metric]) for name in study.optimizers for metric in metrics if (name, metric) in rows
    ]
    text = "How much data is enough cannot be said: no learning curve was fitted."
    return known or [Reply("", CANNOT_SAY, text, text, needs=f"{FEWEST_SIZES} sizes")]


def _of(study: Study, row: Mapping[str, Any]) -> Reply:
    name, metric = str(row["optimizer"]), str(row["metric"])
    if row["answered"] and np.isfinite(row["target"]) and np.isfinite(row["n_required"]):
        return _number(study, row)
    error = study.description.metric(metric).words_of_error
    gain, low, high = (row.get(f"gain_per_doubling{end}", np.nan) for end in ("", "_low", "_high"))
    why = _why_not(study, row)
    sizes = f"{count(row['sizes'], 'size')} of {_largest(study, row)}"
    if not np.isfinite(gain):
        text = f"{name}: how much data is enough cannot be said: {why}."
        return Reply(name, CANNOT_SAY, text, text, needs=_needs(study, row), metric=metric)
    value = f"{number(100 * gain)} % {bounds(low, high, 100, ' %')}"
    if low > 0:
        claim = f"{name}: no, each doubling still takes {value} off {error}, over {sizes}"
        short = f"{name}: more data still help, each doubling takes {number(100 * gain)} % off {error}."
        do, answer = f"label more {study.examples}", NO
    else:
        change = f"a doubling changes {error} by {_change(gain, low, high)}, over {sizes}"
        claim = f"{name}: it is not certain that more data help: {change}"
        short, do, answer = f"{name}: it is not certain that more data help.", "", CANNOT_SAY
    text = f"{claim}; how many are enough cannot be said: {why}.{_training(row)}"
    return Reply(name, answer, text, short, gain, low, high, do, _needs(study, row), metric)


def _change(gain: float, low: float, high: float) -> str:
    return f"{number(-100 * gain)} % {bounds(-high, -low, 100, ' %')}"


def _number(study: Study, row: Mapping[str, Any]) -> Reply:
    name, metric, n = str(row["optimizer"]), str(row["metric"]), row["n_required"]
    given = row.get("target_given", np.nan)
    target = number(given if np.isfinite(given) else row["target"])
    aim = f"{study.description.metric(metric).words_of_target} of {target}"
    interval = f"({_how_many(row['n_required_low'])} to {_how_many(row['n_required_high'])})"
    text = (
        f"{name}: {_how_many(n)} {study.examples} {interval} are enough for {aim}; the largest set has "
        f"{_how_many(row['n_largest'])}.{_training(row)}"
    )
    short = f"{name}: {_how_many(n)} {study.examples} are enough for {aim}."
    label = row.get("label_next", np.nan)
    chance = row.get("chance_of_missing", np.nan)
    do = ""
    if np.isfinite(label) and label > 0:
        risk = f" (chance of missing the target {number(100 * chance)} %)" if np.isfinite(chance) else ""
        do = f"label {_how_many(label)} {study.examples} next{risk}"
    numbers = (n, row["n_required_low"], row["n_required_high"])
    return Reply(name, float(n), text, short, *numbers, do=do, metric=metric)


def _why_not(study: Study, row: Mapping[str, Any]) -> str:
    reasons = row["reasons"]
    if isinstance(reasons, str) and reasons:
        return reasons
    reaches = f"no finite number of {study.examples} reaches the target"
    return reaches if np.isfinite(row["target"]) else "no target is set"


def _training(row: Mapping[str, Any]) -> str:
    still = row.get("still_training", False)
    return " Some runs still train, so these numbers may move." if still is True or still == "True" else ""


def _needs(study: Study, row: Mapping[str, Any]) -> str:
    name, sizes = str(row["optimizer"]), row["sizes"]
    if not row["answered"] and sizes < FEWEST_SIZES:
        more = int(FEWEST_SIZES - sizes)
        runs = study.of(study.runs, name)
        seconds = runs[runs["n_train"] == runs["n_train"].min()]["seconds"].sum(min_count=1)
        return f"{count(more, 'more and smaller size')} for {name}{takes(more * seconds)}"
    if not np.isfinite(row["target"]):
        metric = study.description.metric(str(row["metric"]))
        return f"a target for {metric.words_of_error.removeprefix('1 - ')} (learning_curve.targets)"
    return f"larger training sets or more replicates for {name}"


def _largest(study: Study, row: Mapping[str, Any]) -> str:
    if not np.isfinite(row["n_largest"]):
        return f"no {study.examples}"
    if row["n_smallest"] == row["n_largest"]:
        return f"{_how_many(row['n_largest'])} {study.examples}"
    return f"{_how_many(row['n_smallest'])} to {_how_many(row['n_largest'])} {study.examples}"


def _how_many(n: float) -> str:
    if np.isnan(n):
        return "an unknown number of"
    return f"{n:,.0f}" if np.isfinite(n) else "unboundedly many"
