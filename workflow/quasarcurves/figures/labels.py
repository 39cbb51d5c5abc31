"""Names beside points, where they cover neither each other nor the points.

adjustText pushes names apart step by step: of 18 optimizers some names still overlap after 2,000 steps, which take
longer. Here each name tries 240 places and takes the cheapest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation

_RADII = (7, 11, 16, 22, 29, 37, 46, 56, 67, 79)
_ANGLES = np.radians(np.arange(0, 360, 15))
_NEAR = 11
"""Farthest distance, in points, of a name without a line."""

_FONT_SIZE = 7
_PAD = 1.5
_POINT = 3.5
_COST_OF_CROSSING = 12.0
"""Points by which a name is moved further away rather than placed across an error bar."""


def place(axes: Axes, x: np.ndarray, y: np.ndarray, names: Sequence[str], bars: np.ndarray) -> list[Annotation]:
    """Write a name beside each point, as near as there is room; a line joins a distant name to its point.

    The layout of the figure must be final: room is counted in points of the page.

    Parameters
    ----------
    axes : Axes
    x, y : (n,) array
        Data coordinates.
    names : (n,) sequence of str
    bars : (m, 4) array
        Error bars, as boxes x0, y0, x1, y1 in data coordinates; they may be crossed where there is no other room.

    Returns
    -------
    list of Annotation
    """
    scale = 72 / axes.figure.dpi
    frame = np.array(axes.get_window_extent().extents) * scale
    points = axes.transData.transform(np.column_stack([x, y])) * scale
    taken = [np.concatenate([point - _POINT, point + _POINT]) for point in points]
    crossed = axes.transData.transform(np.reshape(bars, (-1, 2))).reshape(-1, 4) * scale
    placed = []
    # the most crowded first: they have the least choice
    for i in np.argsort(_distance_to_next(points)):
        distance, box = _best(points[i], _size(axes, names[i]) * scale, np.array(taken), crossed, frame)
        taken.append(box)
        crossed = np.vstack([crossed, *_along(points[i], (box[:2] + box[2:])[None] / 2)])
        placed.append(_write(axes, names[i], (x[i], y[i]), (box[:2] + box[2:]) / 2 - points[i], distance > _NEAR))
    return placed


def _size(axes: Axes, name: str) -> np.ndarray:
    """Width and height of a name in pixels."""
    text = axes.text(0, 0, name, fontsize=_FONT_SIZE)
    extent = text.get_window_extent()
    text.remove()
    return np.array([extent.width, extent.height])


def _write(axes: Axes, name: str, point: tuple[float, float], offset: np.ndarray, joined: bool) -> Annotation:
    line = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.4", "shrinkA": 0, "shrinkB": 2} if joined else None
    note = axes.annotate(
        name, point, xytext=(offset[0], offset[1]), textcoords="offset points", fontsize=_FONT_SIZE, ha="center",
        va="center", arrowprops=line,
    )  # fmt: skip
    note.set_in_layout(False)
    return note


def _distance_to_next(points: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=1)


def _best(
    point: np.ndarray, size: np.ndarray, taken: np.ndarray, bars: np.ndarray, frame: np.ndarray
) -> tuple[float, np.ndarray]:
    """Find the cheapest place for a text of that size; return its distance and its box."""
    radius, angle = (grid.ravel() for grid in np.meshgrid(_RADII, _ANGLES, indexing="ij"))
    towards = np.column_stack([np.cos(angle), np.sin(angle)])
    # the edge of the text, not its middle, is at that distance
    centres = point + towards * (radius[:, None] - 3 + size / 2 * np.abs(towards))
    half = size / 2 + _PAD
    boxes = np.hstack([centres - half, centres + half])
    outside = ((boxes[:, :2] < frame[:2]) | (boxes[:, 2:] > frame[2:])).any(axis=1)
    hidden = _overlaps(boxes, taken).sum(axis=1)
    lines = _along(point, centres)
    struck = _overlaps(lines.reshape(-1, 4), taken).reshape(len(boxes), -1).sum(axis=1)
    cost = radius + _COST_OF_CROSSING * (_overlaps(boxes, bars).sum(axis=1) + struck) + 1e3 * hidden + 1e4 * outside
    best = int(np.argmin(cost))
    return float(radius[best]), boxes[best]


def _along(point: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Points on the lines from a point to each end (n, 2), without those near the point, as (n, k, 4) boxes."""
    share = np.linspace(0.4, 0.9, 6)[:, None]
    places = point + share * (ends[:, None] - point)
    return np.concatenate([places, places], axis=2)


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which boxes (n, 4) overlap which others (m, 4), as (n, m) bool array."""
    apart = (boxes[:, None, :2] > others[None, :, 2:]) | (boxes[:, None, 2:] < others[None, :, :2])
    return np.logical_not(apart.any(axis=2))
