"""What a departure of the loss from its course consists of: lasting rises, each a spike, and single hard batches.

A rise that begins in the tail of another one is a spike of its own. The loss rises anew where running medians of it,
over few steps or many, come up from a trough by more than their noise explains.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy

SUSTAINED, OUTLIER = "sustained", "outlier"
KINDS = (SUSTAINED, OUTLIER)

SUSTAINED_RATIO = 2.0
"""A spike is sustained if the running median of the loss rises above this many times the course."""

SUSTAINED_WINDOW = 31
"""Steps of that median: it does not see what lasts 15 steps or fewer."""

_WIDTHS = (5, 9, 15, 31)
"""Steps of the running medians in which rises are looked for: short ones stand out at once, in noise long ones."""

_NOISES = 6.0
"""Standard deviations of a running median that a rise exceeds; the fall before it exceeds half as many."""

_COURSE_NOISES = 1.25
"""Standard error of a median over n values of unit noise, times the root of n."""


class Part(NamedTuple):
    """A spike within a departure.

    Attributes
    ----------
    begin, end : int
        Steps of the loss, the end excluded.
    kind : str
        `SUSTAINED` or `OUTLIER`.
    """

    begin: int
    end: int
    kind: str


class _Level(NamedTuple):
    """A running median of a departure, and the rise in it that noise does not explain."""

    values: np.ndarray
    rise: float


def split(begin: int, end: int, excess: np.ndarray, sigma: np.ndarray, window: int, allowed: float) -> list[Part]:
    """Split a departure from the course into its spikes.

    The settings were chosen on planted pairs of spikes and kept (`tests/unit/analysis/spikes/test_splitting.py` has
    other seeds).

    Parameters
    ----------
    begin, end : int
        First step of the departure, and the first one after it.
    excess : (t,) array
        Log loss less its course.
    sigma : (t,) array
        Its noise.
    window : int
        Steps of the running median that tells sustained spikes from outliers, odd.
    allowed : float
        Log ratio to the course within which a loss is back.

    Returns
    -------
    list of Part
        One outlier if the running median does not rise above `SUSTAINED_RATIO`. Otherwise a part per rise, from where
        it begins to grow to where the next one does; and before the first, what led to it.
    """
    if not _lasts(excess[begin:end], window):
        return [Part(begin, end, OUTLIER)]
    first = max(begin - window, 0)
    piece = np.array(excess[first : end + window])
    # what comes before the departure is no trough to rise from
    piece[: begin - first] = np.minimum(piece[: begin - first], 0)
    noise = float(np.median(sigma[begin:end]))
    levels = [_level(piece, width, noise) for width in _WIDTHS if width <= window] or [_level(piece, 1, noise)]
    peaks = _peaks(levels, begin - first, end - first)
    # the second median is narrow enough to show where growth begins, and wide enough to pass over single batches
    growth = levels[min(1, len(levels) - 1)].values
    tolerance = max(allowed, _COURSE_NOISES * noise / 3)
    starts = [begin - first, *_starts(growth, begin - first, peaks, tolerance)]
    edges = np.unique([*starts, end - first]).tolist()
    return _joined(list(_parts(piece, growth, edges, first, window)))


def _level(piece: np.ndarray, width: int, noise: float) -> _Level:
    rise = max(np.log(SUSTAINED_RATIO), _NOISES * _COURSE_NOISES * noise / np.sqrt(width))
    return _Level(scipy.ndimage.median_filter(piece, width), rise)


def _peaks(levels: list[_Level], begin: int, end: int) -> list[int]:
    """Return where rises are highest, in order: peaks in any of the medians that a trough separates from the last."""
    found: set[int] = set()
    for values, rise in levels:
        # the course on both sides: a peak at the edge is one too
        inside = np.concatenate([[0.0], values[begin:end], [0.0]])
        places, _ = scipy.signal.find_peaks(inside, height=np.log(SUSTAINED_RATIO), prominence=rise / 2)
        found |= set((places - 1 + begin).tolist())
    widest = levels[-1].values
    if not found:
        return [begin + int(np.argmax(widest[begin:end]))]
    peaks: list[int] = []
    for place in sorted(found):
        if peaks and not any(_rises_anew(level, peaks[-1], place) for level in levels):
            peaks[-1] = max(peaks[-1], place, key=lambda at: levels[min(1, len(levels) - 1)].values[at])
        else:
            peaks.append(place)
    return peaks


def _rises_anew(level: _Level, before: int, place: int) -> bool:
    trough = level.values[before : place + 1].min()
    return level.values[place] - trough >= level.rise and level.values[before] - trough >= level.rise / 2


def _starts(growth: np.ndarray, begin: int, peaks: list[int], tolerance: float) -> Iterator[int]:
    """Yield where each rise begins to grow: after the last step at which it is on the course, or in its trough."""
    before = begin
    for number, peak in enumerate(peaks):
        stretch = growth[before : peak + 1]
        trough = stretch.min() if number else min(stretch.min(), 0.0)
        low = np.flatnonzero(stretch <= trough + tolerance)
        yield before + int(low[-1]) + 1 if len(low) else before
        before = peak


def _parts(piece: np.ndarray, growth: np.ndarray, edges: list[int], first: int, window: int) -> Iterator[Part]:
    for number, (begin, end) in enumerate(pairwise(edges)):
        # a later rise is measured from its trough
        trough = max(float(growth[begin - 1]), 0.0) if number > 1 else 0.0
        lasts = _lasts(piece[begin:end] - trough, window)
        yield Part(begin + first, end + first, SUSTAINED if lasts else OUTLIER)


def _joined(parts: list[Part]) -> list[Part]:
    """Join what led to the first sustained spike, however often it rose and fell."""
    first = next((number for number, part in enumerate(parts) if part.kind == SUSTAINED), len(parts))
    led = [Part(parts[0].begin, parts[first - 1].end, OUTLIER)] if first else []
    return led + parts[first:]


def _lasts(excess: np.ndarray, window: int) -> bool:
    """Tell whether the running median rises above `SUSTAINED_RATIO`, with nothing but the course on both sides.

    It does where more than half of a window do, which is counted in a fraction of the time of a median.
    """
    high = excess > np.log(SUSTAINED_RATIO)
    return len(high) > 0 and int(np.convolve(high, np.ones(window, int)).max()) > window // 2
