"""A diagnosis of loss curves as people have them: what can be told from them, and what cannot.

`analysis.diagnosis` is another thing: it looks into the step records of a study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quasarcurves.analysis.answer.replies import Reply
from quasarcurves.analysis.checkup import advice, joint, replies, text
from quasarcurves.analysis.checkup.measures import Measured, measure
from quasarcurves.analysis.curves import Curve, Told, from_object, read

__all__ = ["Checkup", "diagnose", "diagnose_files"]


@dataclass(frozen=True)
class Checkup:
    """What loss curves tell; printed, it is the answer in words.

    Parameters
    ----------
    curves : list of Measured
        What was measured on each.
    replies : list of dict of str to Reply
        To each of `replies.QUESTIONS`, a dictionary per curve.
    together : dict of str to Reply
        To those of `joint.QUESTIONS` that can be asked.
    advice, untold : list of str
        What to try first, and what cannot be told.
    """

    curves: list[Measured]
    replies: list[dict[str, Reply]]
    together: dict[str, Reply]
    advice: list[str]
    untold: list[str]

    def __str__(self) -> str:
        return self.written()

    def written(self, width: int = text.WIDTH) -> str:
        """Return the answer in words, in lines of so many characters at most."""
        return text.written(self.curves, self.replies, self.together, self.advice, self.untold, width)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it; what is not known is None."""
        return {
            "curves": [_curve_dict(each, own) for each, own in zip(self.curves, self.replies, strict=True)],
            "together": {name: _reply_dict(reply) for name, reply in self.together.items()},
            "advice": self.advice,
            "untold": self.untold,
        }


def diagnose(
    loss: Any,
    val_loss: Any = None,
    *,
    per: str = "",
    examples: float | Sequence[float] | None = None,
    batch_size: float | Sequence[float] | None = None,
    steps_per_epoch: float | Sequence[float] | None = None,
    lowest: float = 0.0,
) -> Checkup:
    """Say what loss curves tell: spikes, convergence, overfitting, the end, more data; and what they cannot tell.

    Parameters
    ----------
    loss : array, list, mapping, DataFrame, History or path
        Losses (t,); what Keras's `fit` returned, or its `history`; curves by their labels; a table; a file, or several.
    val_loss : array, optional
        Validation losses beside an array of losses: (t,) with NaN where none was computed, or one every few epochs.
    per : str
        `epoch` or `step`: what a value is of; guessed if empty, and the guess is in the notes.
    examples, batch_size, steps_per_epoch : float or sequence of float, optional
        Of the training; one for all curves, or one each.
    lowest : float
        The lowest value that the loss can take; it is taken off. Needed for losses that may be negative.

    Returns
    -------
    Checkup
        Printed, it is the answer in words.

    Raises
    ------
    ValueError
        If there are no losses in what is given, or something told makes no sense.
    FileNotFoundError
        If a file is missing.
    """
    told = Told(
        per=_unit(per),
        examples=_numbers(examples),
        batch_size=_numbers(batch_size),
        steps_per_epoch=_numbers(steps_per_epoch),
        lowest=lowest,
    )
    return of_curves(from_object(loss, val_loss, told))


def diagnose_files(paths: Iterable[str | Path], told: Told) -> Checkup:
    """Diagnose the curves of files (`curves.read`)."""
    return of_curves(read(paths, told))


def of_curves(curves: Sequence[Curve]) -> Checkup:
    """Diagnose curves."""
    measured = [measure(curve) for curve in curves]
    return Checkup(
        measured,
        [replies.answers(each) for each in measured],
        joint.answers(measured),
        advice.advise(measured),
        advice.untold(measured),
    )


def _unit(per: str) -> str:
    if per not in ("", "epoch", "step"):
        raise ValueError(f"per: expected 'epoch' or 'step', found {per!r}")
    return per


def _numbers(value: float | Sequence[float] | None) -> tuple[float, ...]:
    return () if value is None else tuple(np.atleast_1d(np.asarray(value, float)).tolist())


def _curve_dict(found: Measured, own: Mapping[str, Reply]) -> dict[str, Any]:
    curve = found.curve
    spikes = found.spikes.replace({np.nan: None}).to_dict("records") if len(found.spikes) else []
    return {
        "label": curve.label,
        "per": curve.per,
        "values": len(curve.loss),
        "known": curve.known,
        "notes": list(curve.notes),
        "kinds_told": found.kinds,
        "spikes": spikes,
        "answers": {name: _reply_dict(reply) for name, reply in own.items()},
    }


def _reply_dict(reply: Reply) -> dict[str, Any]:
    kept = asdict(reply)
    return {name: kept[name] for name in ("answer", "sentence", "short", "needs")}
