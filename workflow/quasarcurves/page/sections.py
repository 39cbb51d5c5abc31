"""The sections of the page: a question each, with its replies, figures and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quasarcurves.analysis.questions import QUESTIONS
from quasarcurves.page.pictures import Picture
from quasarcurves.page.places import FIGURES, OTHERS, TABLES

_SHOWN = 4
"""Optimizers that a card of the first screen speaks of."""

_SAID = {
    "why": {"yes": "a cause is shown", "no": "no spike found", "cannot say": "cannot say"},
}
"""What yes and no mean to a question that they do not answer by themselves."""


@dataclass(frozen=True)
class Reply:
    """An answer as answer.json has it.

    Parameters
    ----------
    about : str
        The optimizer; empty where there is none.
    label : str
        The optimizer and the metric.
    answer : str
        Yes, no, cannot say, or a number, in words for the reader.
    kind : str
        Which of the four it is.
    sentence, do, needs : str
        The answer in full, what to do, and what would settle it; empty where there is none.
    """

    about: str
    label: str
    answer: str
    kind: str
    sentence: str
    do: str
    needs: str


@dataclass(frozen=True)
class Section:
    """A question with all that belongs to it.

    Parameters
    ----------
    name, title : str
        Of the question; both are those of the answer.
    replies : list of Reply
        To the question; none in the section of what belongs to no question.
    figures : dict of str to list of Picture
        By what they show; several are of several optimizers, say.
    tables : list of str
        Names of its tables.
    """

    name: str
    title: str
    replies: list[Reply]
    figures: dict[str, list[Picture]] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)

    @property
    def main(self) -> list[Reply]:
        """The first reply on each optimizer: its others are by further metrics."""
        first = {reply.about: reply for reply in reversed(self.replies)}
        return list(first.values())[::-1]

    @property
    def shown(self) -> list[Reply]:
        """The replies that the first screen shows."""
        return self.main[:_SHOWN]

    @property
    def further(self) -> int:
        """How many it does not show."""
        return len(self.main) - len(self.shown)

    @property
    def reason(self) -> str:
        """The first clause of the first sentence."""
        return clause(self.replies[0].sentence) if self.replies else "Nothing was asked of these runs."

    @property
    def do(self) -> list[str]:
        """What to do."""
        return list(dict.fromkeys(f"{reply.do} ({reply.label})" for reply in self.replies if reply.do))

    @property
    def needs(self) -> list[str]:
        """What would settle what is open."""
        return list(dict.fromkeys(reply.needs for reply in self.replies if reply.needs))


def clause(sentence: str) -> str:
    """Return the first clause of a text: up to a semicolon, or to the end of its first sentence."""
    ends = [place for mark in ("; ", ". ") if (place := sentence.find(mark)) > 0]
    return sentence[: min(ends)] + "." if ends else sentence


def read_answer(path: Path) -> dict[str, list[Reply]]:
    """Return the replies to each question, as answer.json has them.

    Raises
    ------
    ValueError
        If a question is missing, or it is no JSON.
    """
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, found something else ({error})") from error
    if missing := [name for name in QUESTIONS if name not in found]:
        raise ValueError(f"{path}: expected the keys {', '.join(QUESTIONS)}, found no {missing[0]}")
    return {name: [_reply(name, each) for each in _listed(found[name])] for name in QUESTIONS}


def _listed(replies: Any) -> Sequence[Mapping[str, Any]]:
    return replies if isinstance(replies, list) else [replies]


def _reply(question: str, values: Mapping[str, Any]) -> Reply:
    label = ", ".join(str(values[key]) for key in ("optimizer", "metric") if values.get(key))
    given = values.get("answer")
    number = isinstance(given, int | float)
    answer = f"{given:,.4g}" if number else str(given or "cannot say")
    said = _SAID.get(question, {}).get(answer, answer)
    return Reply(
        about=str(values.get("optimizer") or ""),
        label=label,
        answer=said,
        kind="number" if number else said.replace(" ", "-") if answer == "no" else answer.replace(" ", "-"),
        sentence=str(values.get("sentence") or ""),
        do=str(values.get("do") or ""),
        needs=str(values.get("needs") or ""),
    )


def compose(replies: Mapping[str, list[Reply]], figures: Iterable[Picture], tables: Iterable[str]) -> list[Section]:
    """Return a section per question, and one of what belongs to none if there is any."""
    sections = {name: Section(name, title, replies[name]) for name, title in QUESTIONS.items()}
    rest = Section("others", OTHERS, [])
    places = {category: sections[name] for name, some in FIGURES.items() for category in some}
    for picture in figures:
        places.get(picture.category, rest).figures.setdefault(picture.shows, []).append(picture)
    homes = {table: sections[name] for name, some in TABLES.items() for table in some}
    for table in tables:
        homes.get(table, rest).tables.append(table)
    for name, some in TABLES.items():
        sections[name].tables.sort(key=some.index)
    return [*sections.values(), *([rest] if rest.figures or rest.tables else [])]
