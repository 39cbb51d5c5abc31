"""The hazard of a spike along the training, and how long replays go on without one.

Caption
-------
Left: hazard of a spike, per 1,000 steps, against the step that replays go on from with other orders of batches. Dots
are forks of the grid, a colour per run, with exact 95 % intervals, which may leave the panel; runs stand side by side.
Triangles are forks that come before spikes, and were chosen for that. The line is over all runs, in bins of steps on
the grid, its band the 95 % interval. Ticks at the top are the spikes of the trainings. Right: share of replays from
forks of the grid that go on without a spike (Kaplan-Meier), as it is and with the arms that differ most, with 95 %
bands that take replays for independent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import PLAIN, Description
from quasarcurves.analysis.replays import AS_IT_IS, BEFORE, GRID, GROUP
from quasarcurves.analysis.replays.hazards import level
from quasarcurves.analysis.replays.words import in_words
from quasarcurves.figures import style

_HEIGHT = 2.7
_BINS = 8
"""Most bins of steps on the grid."""

_ARMS = 4
_APART = 0.006
"""Of the width: between runs at one step."""

_TICKS = 0.15
"""Of the height: the spikes of all runs, of one run at most a fifth of it."""

_KEYS = ["run", "fork_step"]


def draw(hazards: pd.DataFrame, forks: pd.DataFrame, survival: pd.DataFrame, examples: str = "examples") -> Figure:
    """Draw a row per optimizer, size of the training set and learning rate.

    Parameters
    ----------
    hazards, forks, survival : DataFrame
        The tables of `hazards.per_fork` and `survival.curves`, and the joined forks.
    examples : str
        What several examples are called.
    """
    groups = list(forks.groupby(GROUP, dropna=False))
    if not groups or hazards.empty:
        return style.say_only("no replays")
    figure = style.new_figure(style.PAGE_WIDTH, _HEIGHT * len(groups))
    with style.house_style():
        rows = figure.subplots(len(groups), 2, squeeze=False, width_ratios=(3, 2))
        for (left, right), (values, own) in zip(rows, groups, strict=True):
            keys = dict(zip(GROUP, values, strict=True))
            table = hazards[hazards["arm"] == AS_IT_IS].merge(own.drop(columns="optimizer"), on=_KEYS)
            left.set_title(_title(keys, table[table["kind"] == GRID], examples))
            _draw_hazard(left, table)
            _draw_survival(right, _of_group(survival, keys), examples)
    return figure


def _title(keys: dict, grid: pd.DataFrame, examples: str) -> str:
    rate = "" if pd.isna(keys["learning_rate"]) else f", learning rate {keys['learning_rate']:g}"
    value, low, high = level(grid)
    found = (
        f"{value:.3g} ({low:.3g} to {high:.3g}) spikes per 1,000 steps" if np.isfinite(value) else "no forks on a grid"
    )
    return f"{keys['optimizer']}, {keys['n_train']:,.0f} {examples}{rate}:\n{found}"


def _of_group(table: pd.DataFrame, keys: dict) -> pd.DataFrame:
    for name, value in keys.items():
        table = table[table[name].isna() if pd.isna(value) else table[name] == value]
    return table


def _draw_hazard(axes: Axes, table: pd.DataFrame) -> None:
    grid = table[(table["kind"] == GRID) & (table["n"] > 0)]
    before = table[(table["kind"] == BEFORE) & (table["n"] > 0)]
    highest = np.nanmax([_draw_pooled(axes, grid), 1e-6, grid["hazard"].max(), before["hazard"].max()])
    runs = sorted(table["run"].unique())
    apart = _APART * np.ptp(table["fork_step"])
    apart_up = _TICKS / max(len(runs), 5)
    for i, run in enumerate(runs):
        own = table[table["run"] == run]
        shift = apart * (i - (len(runs) - 1) / 2)
        _draw_run(axes, grid[grid["run"] == run], before[before["run"] == run], i, shift)
        onsets = own.loc[own["kind"] == BEFORE, "onset"].dropna().unique()
        tops = np.full(len(onsets), 1 - apart_up * (i + 1))
        axes.plot(onsets, tops, "|", color=_color(i), markersize=5, transform=axes.get_xaxis_transform())
    axes.set_ylim(0, 1.4 * highest)
    axes.xaxis.set_major_formatter(style.thousands)
    axes.set(xlabel="step of the fork", ylabel="spikes per 1,000 steps")
    kinds = [Line2D([], [], color="black", label="all runs, grid")]
    kinds += [Line2D([], [], color="0.4", linestyle="none", marker="o", markersize=2.5, label="a fork of the grid")]
    if len(before):
        kinds += [_triangle("0.4", label="before a spike")]
    axes.legend(handles=kinds, loc="upper left", bbox_to_anchor=(0, 1 - apart_up * len(runs)))


def _color(i: int) -> str:
    return style.OKABE_ITO[i % len(style.OKABE_ITO)]


def _triangle(color: str, x: Any = (), y: Any = (), label: str = "") -> Line2D:
    return Line2D(
        x, y, color=color, linestyle="none", marker="^", markerfacecolor="none", markersize=3, label=label or None
    )


def _draw_run(axes: Axes, grid: pd.DataFrame, before: pd.DataFrame, i: int, shift: float) -> None:
    reach = [grid["hazard"] - grid["low"], grid["high"] - grid["hazard"]]
    axes.errorbar(
        grid["fork_step"] + shift, grid["hazard"], reach, fmt="o", color=_color(i), markersize=2.5, elinewidth=0.4
    )
    axes.add_line(_triangle(_color(i), before["fork_step"] + shift, before["hazard"]))


def _draw_pooled(axes: Axes, grid: pd.DataFrame) -> float:
    """Draw the hazard over all runs; return the highest end of its interval."""
    if grid.empty:
        return np.nan
    steps = np.sort(grid["fork_step"].unique())
    per_bin = -(-len(steps) // _BINS)  # as many in each: a bin of fewer has a wider interval
    place = np.searchsorted(steps, grid["fork_step"]) // per_bin
    found = [level(rows) for _, rows in grid.groupby(place)]
    value, low, high = np.transpose(found)
    middle = grid.groupby(place)["fork_step"].mean().to_numpy()
    axes.fill_between(middle, low, high, color="0.6", alpha=0.3, linewidth=0)
    axes.plot(middle, value, color="black", linewidth=1.2)
    return float(np.nanmax(high))


def _draw_survival(axes: Axes, table: pd.DataFrame, examples: str) -> None:
    if table.empty:
        style.say(axes, "no forks on a grid")
        return
    last = table.groupby("arm", sort=False)["survival"].last()
    far = (last - last.get(AS_IT_IS, 1.0)).abs().sort_values(ascending=False, kind="stable")
    shown = [AS_IT_IS, *far[far > 0].index[:_ARMS]]
    for i, arm in enumerate(arm for arm in shown if arm in last):
        own = table[table["arm"] == arm]
        color, dashes = ("black", "-") if arm == AS_IT_IS else (style.OKABE_ITO[i - 1], style.DASHES[i])
        axes.step(
            own["steps"], own["survival"], where="post", color=color, linestyle=dashes, label=in_words(arm, examples)
        )
        axes.fill_between(own["steps"], own["low"], own["high"], step="post", color=color, alpha=0.12, linewidth=0)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, None)
    axes.legend(loc="best")
    axes.set(xlabel="steps from the fork", ylabel="share without a spike")
    if AS_IT_IS in last:
        # replays with smaller batches take more steps
        steps = table.loc[table["arm"] == AS_IT_IS, "steps"].max()
        axes.set_title(f"as it is, {100 * last[AS_IT_IS]:.0f} % have no spike\nin {steps:,.0f} steps")


def plot(*, hazards: Path, all_forks: Path, survival: Path, description: Description = PLAIN) -> Figure:
    """Return the hazard along the training and the curves of survival."""
    return draw(tables.read(hazards), tables.read(all_forks), tables.read(survival), examples=description.examples)
