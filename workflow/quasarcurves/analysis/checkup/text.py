"""A checkup of loss curves in words: the answer first, then each curve, what to try, and what is not told."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from quasarcurves.analysis.answer.replies import Reply, count
from quasarcurves.analysis.checkup import advice, joint, replies
from quasarcurves.analysis.checkup.measures import Measured
from quasarcurves.analysis.wording import number

WIDTH = 100
_IN_FULL = 4
"""Curves that are told of in full; of more than these a line each."""

_LINES = 40


def written(
    curves: Sequence[Measured],
    own: Sequence[Mapping[str, Reply]],
    together: Mapping[str, Reply],
    to_try: Sequence[str],
    untold: Sequence[str],
    width: int = WIDTH,
) -> str:
    """Return the text of a checkup."""
    lines = [*_summary(curves, own, together, width), ""]
    if len(curves) <= _IN_FULL:
        for found, said in zip(curves, own, strict=True):
            lines += [*_curve(found, said, width), ""]
    for name, reply in together.items():
        lines += [*_answer(joint.QUESTIONS[name], reply.sentence, width), ""]
    if to_try:
        lines += [*_filled(f"What to try first. {advice.SCOPE}", width, ""), *_listed(to_try, width), ""]
    lines += ["What these curves cannot tell:", *_listed(untold, width)]
    return "\n".join(lines)


def _summary(
    curves: Sequence[Measured], own: Sequence[Mapping[str, Reply]], together: Mapping[str, Reply], width: int
) -> Iterator[str]:
    """Yield the answer: a line per curve, and what they tell together."""
    for found, said in list(zip(curves, own, strict=True))[:_LINES]:
        yield from _filled(f"{found.curve.label}: {headline(said)}.", width, "", "  ")
    if len(curves) > _LINES:
        yield f"... and {count(len(curves) - _LINES, 'more curve')}"
    if together:
        yield from _filled(f"Together: {'; '.join(reply.short for reply in together.values())}.", width, "", "  ")


def headline(said: Mapping[str, Reply]) -> str:
    """Return what is said of a curve in one line."""
    return "; ".join(dict.fromkeys(reply.short for reply in said.values()))


def _curve(found: Measured, said: Mapping[str, Reply], width: int) -> Iterator[str]:
    yield from _filled(f"{found.curve.label}: {described(found)}", width, "", "  ")
    for note in found.curve.notes:
        yield from _filled(f"({note})", width, "  ", "   ")
    for name, reply in said.items():
        yield from _answer(replies.QUESTIONS[name], reply.sentence, width)


def described(found: Measured) -> str:
    """Return what a curve consists of, in words."""
    curve = found.curve
    loss = curve.loss[np.isfinite(curve.loss)]
    parts = [count(len(curve.loss), f"{curve.per}") if curve.stride == 1 else _strided(found)]
    if len(loss):
        parts.append(f"loss {number(float(loss[0]))} to {number(float(loss[-1]))}, lowest {number(float(loss.min()))}")
    if missing := len(curve.loss) - len(loss):
        parts.append(f"{missing:,} without a number")
    if len(curve.val_loss):
        parts.append(count(len(curve.val_loss), "validation loss", "validation losses"))
    parts += [f"{name.replace('_', ' ')} {value:,.10g}" for name, value in curve.known.items()]
    return "; ".join(parts)


def _strided(found: Measured) -> str:
    curve = found.curve
    return f"{count(len(curve.loss), 'value')}, one every {curve.stride:,.4g} {curve.per}s"


def _answer(question: str, sentence: str, width: int) -> list[str]:
    return [f"  {question}", *_filled(sentence, width, "    ")]


def _listed(items: Sequence[str], width: int) -> list[str]:
    return [line for item in items for line in _filled(item, width, "  - ", "    ")]


def _filled(text: str, width: int, first: str, rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=first if rest is None else rest, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
