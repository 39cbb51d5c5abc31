"""What loss curves tell, as one page that holds all that it shows and asks nobody for anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import plotly.offline

import quasarcurves
from quasarcurves.analysis.answer.replies import CANNOT_SAY, NO, YES, Reply, sentence
from quasarcurves.analysis.checkup import Checkup, advice, joint, replies
from quasarcurves.analysis.checkup.measures import Measured
from quasarcurves.analysis.checkup.text import described, headline
from quasarcurves.analysis.curves import EPOCH
from quasarcurves.figures import style
from quasarcurves.files import whole_file
from quasarcurves.page import templates
from quasarcurves.page.packing import packed

_MOST_POINTS = 60_000
"""Points of all curves together."""

_MOST_CURVES = 4
"""Curves that a card of the first screen speaks of."""

_GOOD = {"spikes": NO, "converged": YES, "overfitting": NO, "last": NO, "data": YES}
"""The answer to each question that is no reason to act."""


@dataclass(frozen=True)
class _Section:
    name: str
    title: str
    replies: list[tuple[str, Reply]]


def write(found: Checkup, sources: Iterable[Path], page: Path) -> None:
    """Write the page of a checkup.

    Parameters
    ----------
    found : Checkup
    sources : iterable of Path
        The files that were read; their hashes stand on the page.
    page : Path
        The file written.
    """
    kinds = all(each.kinds for each in found.curves)
    content = {
        "title": _title(found),
        "headline": sentence("; ".join([headline(found.replies[0])] if len(found.curves) == 1 else _counts(found)))
        + ".",
        "sections": list(_sections(found)),
        "curves": [_named(each) for each in found.curves],
        "marks": ("sustained spikes", "single hard batches") if kinds else ("tall rises", "low ones"),
        "advice": found.advice,
        "scope": advice.SCOPE,
        "untold": found.untold,
        "files": [(str(path), _hash(path)) for path in sources],
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": quasarcurves.__version__,
        "most": _MOST_CURVES,
        "kind": _kind,
        "data": packed(json.dumps(_data(found), allow_nan=False, separators=(",", ":"))),
        "chart_library": packed(plotly.offline.get_plotlyjs()),
        "style": templates.text("index.css"),
        "script": templates.text("checkup.js"),
    }
    with whole_file(page) as temporary:
        filled = templates.environment().get_template("checkup.html").render(content)
        temporary.write_text(filled, encoding="utf-8")


def _title(found: Checkup) -> str:
    labels = [each.curve.label for each in found.curves]
    return labels[0] if len(labels) == 1 else f"{len(labels)} loss curves"


def _counts(found: Checkup) -> list[str]:
    """Say of several curves how many spike, fall, and overfit; and what they tell together."""
    n = len(found.curves)
    said = {"spikes": "spike", "converged": "have converged", "overfitting": "overfit"}
    counts = [f"{sum(own[name].answer == YES for own in found.replies)} {words}" for name, words in said.items()]
    return [f"Of {n} curves {', '.join(counts)}", *(reply.short for reply in found.together.values())]


def _sections(found: Checkup) -> Iterator[_Section]:
    labels = [each.curve.label for each in found.curves]
    for name, title in replies.QUESTIONS.items():
        yield _Section(name, title, [(label, own[name]) for label, own in zip(labels, found.replies, strict=True)])
    for name, reply in found.together.items():
        yield _Section(name, joint.QUESTIONS[name], [("", reply)])


def _kind(question: str, reply: Reply) -> str:
    """Return the class of an answer's colour: of one that is no reason to act, of one that is, or of an open one."""
    if reply.answer == CANNOT_SAY:
        return "cannot-say"
    if question not in _GOOD:
        return "number"
    return "yes" if reply.answer == _GOOD[question] else "no"


def _named(found: Measured) -> dict[str, Any]:
    return {"label": found.curve.label, "described": described(found), "notes": found.curve.notes}


def _hash(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    with path.open("rb") as file:
        return f"SHA-256 {hashlib.file_digest(file, 'sha256').hexdigest()}"


def _data(found: Checkup) -> dict[str, Any]:
    """Return what the page's script draws."""
    points = max(_MOST_POINTS // max(len(found.curves), 1), 500)
    curves = [_drawn(each, points, number) for number, each in enumerate(found.curves)]
    units = {each.curve.per for each in found.curves}
    finite = [value for curve in curves for value in curve["losses"]["y"] if value is not None]
    unit = "epoch" if units == {EPOCH} else "optimizer step" if len(units) == 1 else "epoch or optimizer step"
    return {"curves": curves, "unit": unit, "log": bool(finite) and min(finite) > 0}


def _drawn(found: Measured, points: int, number: int) -> dict[str, Any]:
    curve = found.curve
    shown = style.seen(np.asarray(curve.loss, np.float32), points // 2)
    held = np.arange(len(curve.val_loss))
    held = style.seen(np.asarray(curve.val_loss, np.float32), points // 2) if len(held) else held
    return {
        "label": curve.label,
        "colour": style.OKABE_ITO[number % len(style.OKABE_ITO)],
        "losses": _points(curve.places(shown), curve.loss[shown]),
        "validation": _points(curve.places(curve.val_at[held]), curve.val_loss[held]),
        "tall": _marks(found, found.tall.to_dict("list")),
        "small": _marks(found, found.small.to_dict("list")),
    }


def _points(x: np.ndarray, y: np.ndarray) -> dict[str, list[float | None]]:
    values = [float(f"{value:.6g}") if np.isfinite(value) else None for value in y]
    return {"x": x.tolist(), "y": values}


def _marks(found: Measured, spikes: Mapping[Any, list[Any]]) -> dict[str, list[Any]]:
    peaks = np.array(spikes.get("peak", []), int)
    heights = spikes.get("height_ratio", [])
    text = [f"{found.curve.label}: {height:.3g} times the course" for height in heights]
    return {**_points(found.curve.places(peaks), found.curve.loss[peaks]), "text": text}
