"""The losses of a column in the order of training: parts that a resumed run repeats are left out, gaps are filled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_FULLEST_GRID = 2.0
"""A grid of the places that has more than so many times the values is none: losses are taken as evenly spaced."""


@dataclass(frozen=True)
class Series:
    """Losses in order.

    Parameters
    ----------
    at, values : (n,) arrays
        Places as the file counts them, rising, and losses.
    notes : tuple of str
        What was left out.
    """

    at: np.ndarray
    values: np.ndarray
    notes: tuple[str, ...] = ()


def in_order(at: np.ndarray, values: np.ndarray, unit: str, goes_on: bool = False, repeats: bool = False) -> Series:
    """Return losses in the order of training; of places that come twice the later ones count.

    A training that was resumed from epoch 5 has recorded the epochs from 5 on twice. All that stands before the second
    record and is of these epochs was given up.

    Parameters
    ----------
    at, values : (n,) arrays
        As recorded.
    unit : str
        `epoch` or `step`, for the notes.
    goes_on : bool
        Whether places that begin anew go on from those before.
    repeats : bool
        Whether the same place may come many times in a row, as the epoch of steps does.
    """
    known = np.isfinite(at)
    at, values = np.asarray(at, float)[known], np.asarray(values, float)[known]
    back = np.diff(at) < 0 if repeats else np.diff(at) <= 0
    if not back.any():
        return Series(at, values)
    starts = np.concatenate([[0], np.flatnonzero(back) + 1])
    part = np.cumsum(np.concatenate([[0], back]))
    begins = at[starts]
    if goes_on:
        ends = at[np.concatenate([starts[1:] - 1, [len(at) - 1]])]
        shift = np.concatenate([[0], np.cumsum(ends[:-1] + 1 - begins[1:])])
        return Series(at + shift[part], values, (f"{unit}s begin anew {_times(len(starts) - 1)}; taken as going on",))
    bound = np.concatenate([np.minimum.accumulate(begins[::-1])[::-1][1:], [np.inf]])  # of all later parts
    kept = at < bound[part]
    return Series(at[kept], values[kept], (_left_out(at, kept, begins, unit),))


def _left_out(at: np.ndarray, kept: np.ndarray, begins: np.ndarray, unit: str) -> str:
    lost = at[~kept]
    what = f"{len(lost):,} {'value' if len(lost) == 1 else 'values'}, of {unit}s {lost.min():g} to {lost.max():g}"
    if begins[1:].min() <= begins[0]:
        return (
            f"{unit}s begin anew at {begins[1:].min():g}: what stands before is left out ({what}); if the training "
            "went on, say so by --goes-on"
        )
    return f"a resumed run recorded some {unit}s again: the later ones count, the earlier are left out ({what})"


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def on_grid(series: Series, unit: str) -> tuple[np.ndarray, float, float, tuple[str, ...]]:
    """Return losses (t,) evenly spaced with NaN in gaps, the first place, the distance, and what is to be noted."""
    at, values = series.at, series.values
    if len(at) < 2:
        return values, float(at[0]) if len(at) else 0.0, 1.0, ()
    apart = np.diff(at)
    stride = float(np.median(apart))
    if (np.abs(apart - stride) < 1e-9 * max(stride, 1)).all():
        return values, float(at[0]), stride, ()
    shortest = float(apart.min())
    stride = stride if _multiples(apart, stride) else shortest
    length = round((at[-1] - at[0]) / stride) + 1
    if not _multiples(apart, stride) or length > _FULLEST_GRID * len(at) + 10:
        note = f"values stand {apart.min():g} to {apart.max():g} {unit}s apart; they are taken as evenly spaced"
        return values, float(at[0]), float(np.mean(apart)), (note,)
    grid = np.full(length, np.nan)
    grid[np.round((at - at[0]) / stride).astype(int)] = values
    first = int(np.argmax(apart > 1.5 * stride))
    missing = length - len(at)
    return grid, float(at[0]), stride, (f"{missing:,} {unit}s are missing, the first after {at[first]:g}",)


def _multiples(apart: np.ndarray, stride: float) -> bool:
    ratio = apart / stride
    return bool(stride > 0 and (np.round(ratio) >= 1).all() and (np.abs(ratio - np.round(ratio)) < 1e-6).all())
