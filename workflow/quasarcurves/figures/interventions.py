"""What each arm does to the hazard of a spike.

Caption
-------
Hazard of a spike with each arm over that as it is, at the same forks, with 95 % intervals; arrows are ends beyond the
panel. The solid line is no change, dashed and dotted ones are a half and a fifth. Filled symbols differ from 1 after
adjustment for the number of arms. Small diamonds count rises over a replay's own level in place of rises over the loss
before the fork: for an arm that lowers the loss they are the fairer measure. Beside each arm stand its spikes and those
as it is. With one run or two, what is shown holds for these. Arms that cannot be had stand below.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import PLAIN, Description
from quasarcurves.analysis.replays import GROUP
from quasarcurves.analysis.replays.interventions import ABSENT, LOWERS, RAISES, REFERENCE
from quasarcurves.analysis.replays.words import in_words
from quasarcurves.figures import style

_ROW, _FRAME = 0.17, 1.25
"""Inches: of an arm, and of all else."""

_LEAST, _MOST = 0.02, 20.0
"""The panel's limits go no farther, but for ratios above the upper one, which are shown where they are."""

_DECADES = 2e3
"""Of a panel that spans less, ticks stand at 1, 2 and 5 too."""

_BESIDE = 1.02
"""Of the width: where numbers begin, clear of the arrows at the panel's end."""

_LOWER = 0.3
"""Of a row: how far below an arm's own symbol the small one stands."""

_COLORS = {LOWERS: style.OKABE_ITO[0], RAISES: style.OKABE_ITO[1]}


def draw(interventions: pd.DataFrame, examples: str = "examples") -> Figure:
    """Draw a panel per optimizer, size of the training set and learning rate.

    Parameters
    ----------
    interventions : DataFrame
        The table of `interventions.compare`.
    examples : str
        What several examples are called.
    """
    groups = [
        (dict(zip(GROUP, values, strict=True)), rows)
        for values, rows in interventions.groupby(GROUP, dropna=False)
        if (rows["verdict"] != REFERENCE).any()
    ]
    if not groups:
        return style.say_only("no arms to compare")
    heights = [_ROW * (len(rows) + 1) + _FRAME for _, rows in groups]
    # one range, so that panels can be compared
    limits = _limits(interventions[interventions["verdict"] != REFERENCE])
    figure = style.new_figure(style.PAGE_WIDTH * 0.75, sum(heights))
    with style.house_style():
        panels = figure.subplots(len(groups), squeeze=False, height_ratios=heights)
        for axes, (keys, rows) in zip(panels[:, 0], groups, strict=True):
            _draw_panel(axes, keys, rows, limits, examples)
    return figure


def _draw_panel(
    axes: Axes, keys: dict[str, Any], rows: pd.DataFrame, limits: tuple[float, float], examples: str
) -> None:
    absent = rows["verdict"].str.startswith(ABSENT)
    shown = rows[~absent & (rows["verdict"] != REFERENCE)].sort_values("ratio", ascending=False, na_position="first")
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    for limit, dashes in ((1, "-"), (0.5, "--"), (0.2, ":")):
        axes.axvline(limit, color="0.6", linewidth=0.7, linestyle=dashes, zorder=0)
    for y, row in enumerate(tables.records(shown)):
        _draw_arm(axes, y, row, *limits)
    axes.set_yticks(range(len(shown)), [in_words(arm, examples) for arm in shown["arm"]])
    axes.set_ylim(-0.7, len(shown) - 0.3 if len(shown) else 0.5)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if limits[1] < _DECADES * limits[0] else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title(_title(keys, rows, shown["verdict"], examples))
    axes.set_xlabel(
        "\n".join(
            [
                "hazard over that as it is (filled: differs from 1, given all arms;",
                "small diamonds: by rises over a replay's own level)",
                *_notes(rows[absent], examples),
            ]
        )
    )
    axes.text(
        _BESIDE, len(shown) - 0.3, "spikes / as it is", transform=axes.get_yaxis_transform(), fontsize=7, va="bottom"
    )


def _title(keys: dict[str, Any], rows: pd.DataFrame, verdicts: pd.Series, examples: str) -> str:
    runs = int(rows["runs"].max())
    rate = "" if pd.isna(keys["learning_rate"]) else f", learning rate {keys['learning_rate']:g}"
    lower, rise = (int((verdicts == each).sum()) for each in (LOWERS, RAISES))
    found = (
        f"of {len(verdicts)} arms, {lower} lower{'s' * (lower == 1)} the hazard and {rise} raise{'s' * (rise == 1)} it"
    )
    if len(verdicts) == 1:
        does = LOWERS if lower else RAISES if rise else "is not shown to change"
        found = f"this arm {does} the hazard"
    return f"{keys['optimizer']}, {keys['n_train']:,.0f} {examples}{rate}, {runs} run{'s' * (runs != 1)}:\n{found}\n"


def _limits(shown: pd.DataFrame) -> tuple[float, float]:
    ends = shown[["ratio", "ratio_low", "ratio_high"]].to_numpy(float)
    ends = ends[np.isfinite(ends) & (ends > 0)]
    low, high = np.min([*ends, 0.1]), np.max([*ends, 2.0])
    return max(float(low) / 1.3, _LEAST), min(float(high) * 1.3, max(_MOST, 2 * shown["ratio"].max()))


def _draw_arm(axes: Axes, y: int, row: dict[str, Any], low: float, high: float) -> None:
    color = _COLORS.get(row["verdict"], "0.35")
    label = f"{row['events']:,.0f} / {row['events_as_it_is']:,.0f}"
    axes.text(_BESIDE, y, label, transform=axes.get_yaxis_transform(), fontsize=7, va="center")
    if np.isnan(row["ratio"]):
        # on a ground of its own: a line of the panel may pass there
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(np.sqrt(low * high), y, "no spikes", fontsize=7, color=color, va="center", ha="center", bbox=ground)
        return
    _draw_ratio(axes, y, color, [row[f"ratio{end}"] for end in ("", "_low", "_high")], row["verdict"], "o", 4.5)
    if not np.isnan(row["own_ratio"]):
        own = [row[f"own_ratio{end}"] for end in ("", "_low", "_high")]
        _draw_ratio(axes, y - _LOWER, "0.45", own, row["own_verdict"], "D", 2.5)


def _draw_ratio(axes: Axes, y: float, color: str, values: list[float], verdict: str, marker: str, size: float) -> None:
    """Draw a ratio with the ends of its interval; arrows stand for ends beyond the panel."""
    value, *interval = values
    low, high = axes.get_xlim()
    axes.plot(np.clip(interval, low, high), [y, y], color=color, linewidth=0.2 * size)
    for beyond, at, arrow in ((interval[0] < low, low, "<"), (interval[1] > high, high, ">")):
        if beyond:
            axes.plot(at, y, arrow, color=color, markersize=0.9 * size, clip_on=False)
    if low <= value <= high:
        face = color if verdict in _COLORS else "white"
        axes.plot(value, y, marker, color=color, markerfacecolor=face, markersize=size)


def _notes(absent: pd.DataFrame, examples: str) -> list[str]:
    texts = (f"{in_words(row['arm'], examples)}: {row['verdict']}" for row in tables.records(absent))
    return [line for text in texts for line in textwrap.wrap(text, 80)]


def plot(*, interventions: Path, description: Description = PLAIN) -> Figure:
    """Return the ratios of all arms."""
    return draw(tables.read(interventions), examples=description.examples)
