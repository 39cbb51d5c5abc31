"""The page and the JSON of all answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

import numpy as np

from quasarcurves.analysis.answer import converged, cures, enough_data, replays, why
from quasarcurves.analysis.answer.converged import judged
from quasarcurves.analysis.answer.replies import (
    CANNOT_SAY,
    FEWER,
    NO,
    YES,
    Reply,
    Study,
    bounds,
    count,
    listed,
    sentence,
)
from quasarcurves.analysis.learning_curve import CURVE_LEVEL
from quasarcurves.analysis.metrics.description import Metric
from quasarcurves.analysis.questions import QUESTIONS
from quasarcurves.analysis.stats import LEVEL
from quasarcurves.analysis.wording import number, percent

MOST_LINES = 60

_SHOWN = 4
"""Optimizers that a question speaks of on the page; all are in the JSON."""


def answers(study: Study) -> dict[str, list[Reply]]:
    """Return the replies to each question of `QUESTIONS`."""
    return {
        "why": [why.answer(study)],
        "cures": cures.answers(study),
        "converged": converged.answers(study),
        "enough_data": enough_data.answers(study),
    }


def as_json(replies: Mapping[str, Sequence[Reply]]) -> dict[str, Any]:
    """Return what answer.json holds.

    `why` is one mapping, the others are lists of them, one per optimizer (and metric). Each has `optimizer`, `metric`
    (both null where there is none), `answer` (yes, no, cannot say, or a number), `sentence`, `estimate`, `low`, `high`,
    `needs` (what would settle it) and `do`. What is not known or not finite is null.
    """
    known = {question: [_plain(reply) for reply in some] for question, some in replies.items()}
    return {**known, "why": known["why"][0]}


def _plain(reply: Reply) -> dict[str, Any]:
    values = asdict(reply)
    values["optimizer"] = values.pop("about")
    del values["short"]
    return {name: _or_null(value) for name, value in values.items()}


def _or_null(value: Any) -> Any:
    if isinstance(value, str):
        return value or None
    return float(value) if np.isfinite(value) else None


def as_page(study: Study, replies: Mapping[str, Sequence[Reply]]) -> str:
    """Return answer.md, of at most `MOST_LINES` lines: headline, answers, what to do, what would settle it, tables."""
    lines = ["# Answer", "", " ".join(_headline(study, replies)), ""]
    for question, title in QUESTIONS.items():
        lines += [f"**{title}** {' '.join(_shown(replies[question]))}", ""]
    if found := replays.sentence(study):
        lines += [f"**What do replays show?** {found}", ""]
    everything = list(_in_turn(replies))
    lines += [f"**Do this:** {_joined(_to_do(everything), 'nothing that these runs show')}.", ""]
    lines += [f"**What would settle it:** {_joined((each.needs for each in everything), 'nothing is open')}.", ""]
    lines += [_FOOT, ""]
    return "\n".join([*lines, *_tables(study, MOST_LINES - len(lines))]).rstrip("\n") + "\n"


_FOOT = (
    f"Brackets hold {percent(LEVEL)} intervals, those of learning curves {percent(CURVE_LEVEL)} ones. Minutes are of "
    "one training after the other, as these runs took."
)


def _main(replies: Iterable[Reply]) -> list[Reply]:
    """Return the first reply on each optimizer: its others are by further metrics."""
    return list({reply.about: reply for reply in reversed(list(replies))}.values())[::-1]


def _in_turn(replies: Mapping[str, Sequence[Reply]]) -> Iterator[Reply]:
    """Yield the first reply to each question, then the second to each, and so on."""
    for some in zip_longest(*map(_main, replies.values())):
        yield from (reply for reply in some if reply is not None)


def _to_do(replies: Iterable[Reply]) -> Iterator[str]:
    """Yield what to do, each with the optimizers that it is told of."""
    told: dict[str, list[str]] = {}
    for reply in replies:
        if reply.do:
            told.setdefault(reply.do, []).append(reply.about)
    yield from (f"{do} ({listed(names)})" for do, names in told.items())


def _shown(replies: Sequence[Reply]) -> Iterator[str]:
    main = _main(replies)
    yield from (reply.sentence for reply in main[:_SHOWN])
    if rest := main[_SHOWN:]:
        yield f"Of {count(len(rest), 'further optimizer')}: {_tally(rest)} (answer.json)."


def _tally(replies: Sequence[Reply]) -> str:
    numbers = sum(not isinstance(reply.answer, str) for reply in replies)
    parts = [
        f"{word} for {k}" for word in (YES, FEWER, NO, CANNOT_SAY) if (k := sum(r.answer == word for r in replies))
    ]
    return listed([*parts, *([f"a number for {numbers}"] if numbers else [])])


def _headline(study: Study, replies: Mapping[str, Sequence[Reply]]) -> Iterator[str]:
    """Yield three sentences: on spikes, on convergence, on data."""
    yield replies["why"][0].short
    yield sentence(f"{judged(study.convergence)}.") if len(study.convergence) else "No run was judged."
    yield replies["enough_data"][0].short


def _joined(texts: Iterable[str], nothing: str) -> str:
    return "; ".join([text for text in dict.fromkeys(texts) if text][:_SHOWN]) or nothing


_COLUMNS = ("runs", "diverged", "sustained spikes", "per 1,000 steps", "steps searched", "converged")


def _listed(study: Study) -> list[Metric]:
    """Return the test metrics that the tables have a column of."""
    metrics = map(study.description.metric, study.description.lists(study.description.listed or study.compared))
    return [metric for metric in metrics if metric.name in study.cures]


def _tables(study: Study, room: int) -> Iterator[str]:
    """Yield a table per optimizer, whole ones, as far as there is room; say which have none."""
    left_out = []
    columns = [study.examples, *_COLUMNS, *(metric.column for metric in _listed(study))]
    header = "| " + " | ".join(columns) + " |", "|" + "---:|" * len(columns)
    for name in study.optimizers:
        sizes = study.sizes(name)
        lines = [f"## {name}", "", *header, *(_row(study, name, n) for n in sizes), ""]
        if len(lines) > room - 1:  # the last line may have to say what is left out
            left_out.append(name)
            continue
        room -= len(lines)
        yield from lines
    if left_out:
        of = f"{count(len(left_out), 'optimizer')} ({listed(left_out)})"
        yield f"No room is left here for {of}: see cures.csv."


def _row(study: Study, name: str, n_train: float) -> str:
    runs = study.of(study.runs, name).query("n_train == @n_train")
    judged = study.of(study.convergence, name).query("n_train == @n_train")
    table = study.cures
    tested = table[(table["optimizer"] == name) & (table["n_train"] == n_train)].head(1)
    found = study.found(name, n_train)
    value, low, high = found.rate
    cells = [
        f"{n_train:,.0f}",
        str(len(runs)),
        str(int(runs["diverged"].astype(bool).sum())),
        f"{found.spikes:,}" if found.steps else "not searched",
        f"{number(value)} {bounds(low, high)}" if found.steps else "-",
        f"{found.steps:,}",
        f"{int((judged['convergence'] == 'converged').sum())} of {len(judged)}",
        *(_metric(tested[metric.name]) for metric in _listed(study)),
    ]
    return "| " + " | ".join(cells) + " |"


def _metric(values: Any) -> str:
    return number(float(values.iloc[0])) if len(values) and np.isfinite(values.iloc[0]) else "-"
