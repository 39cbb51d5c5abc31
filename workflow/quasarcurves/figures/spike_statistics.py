"""How often the loss spikes, how high and for how long, against the size of the training set.

Caption
-------
Rate, median height and duration of sustained spikes against the size of the training set. A point is a run, with the
95 % interval of ``spike_statistics.csv``, which holds within that run; how far runs differ is seen between points.
Lines join medians over replicates at sizes where a run has a spike. Open symbols are runs without a spike: their bar is
the upper limit of the rate. Heights of fewer than 6 spikes have no interval. Runs of unequal length do not tell whether
spikes follow steps or epochs: see ``spike_trends.csv``, which compares what they share.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import PLAIN, Description
from quasarcurves.figures import style

_PANEL_HEIGHT = 1.5
_LINE_HEIGHT = 0.14
"""Inches of a line of a legend."""

_PER_COLUMN = 6
"""Optimizers drawn over each other; more are put side by side."""

_MARKERS = "osD^vP"
_MEASURES = {
    "per_1000_steps": "spikes per 1,000 steps",
    "per_epoch": "spikes per epoch",
    "height": "median height\n(loss / course)",
    "share_in_spike": "share of time in spike",
}
_SPREAD = 0.7
"""Width over which the runs of one size are spread; sizes are 1 apart."""


def draw(statistics: pd.DataFrame, scale: str = "step", examples: str = "examples") -> Figure:
    """Draw the statistics of the spikes of every run, with their 95 % intervals.

    Parameters
    ----------
    statistics : DataFrame
        The study's `spike_statistics.csv`.
    scale : str
        `step` or `epoch`: the losses in which the spikes were found.
    examples : str
        What several examples are called.

    Returns
    -------
    Figure
        A row per measure; sizes stand at equal distances, with a point per run and a line through the medians over
        replicates. Rates of runs without a spike are open symbols with the upper limit of their interval.

    Raises
    ------
    ValueError
        If there are no statistics on that scale.
    """
    runs = statistics[statistics["scale"] == scale]
    if runs.empty:
        raise ValueError(f"expected statistics on the scale {scale!r}, found {sorted(set(statistics['scale']))}")
    optimizers = sorted(runs["optimizer"].unique())
    columns = math.ceil(len(optimizers) / _PER_COLUMN)
    # groups of equal size: 8 are 4 and 4, not 6 and 2
    groups = np.array_split(optimizers, columns)
    legend_height = _LINE_HEIGHT * (len(groups[0]) + 1)
    heights = [legend_height, *[_PANEL_HEIGHT] * len(_MEASURES)]
    figure = style.new_figure(style.COLUMN_WIDTH if columns == 1 else style.PAGE_WIDTH, sum(heights) + 0.6)
    with style.house_style():
        panels = figure.subplots(
            len(heights), columns, sharex=True, sharey="row", squeeze=False, gridspec_kw={"height_ratios": heights}
        )
        for group, (top, *column) in zip(groups, panels.T, strict=True):
            of_group = runs.assign(place=_places(runs, group))[runs["optimizer"].isin(group)]
            for measure, axes in zip(_MEASURES, column, strict=True):
                _draw_panel(axes, of_group, measure)
            top.set_axis_off()
            legend = top.legend(*column[0].get_legend_handles_labels(), loc="center")
            legend.set_in_layout(False)  # its space is the panel's
        _set_axes(panels[1:], runs)
        figure.supxlabel(f"training {examples}", fontsize=8)
        figure.suptitle(_title(runs, scale), fontsize=8)
    return figure


def _title(runs: pd.DataFrame, scale: str) -> str:
    searched = runs[runs["per_1000_steps"].notna()]
    if searched.empty:
        return "No run is long enough to be searched for spikes"
    spiking = int((searched["spikes"] > 0).sum())
    found = f"Sustained spikes in the losses of {scale}s: {spiking or 'none'} of {len(searched)} runs"
    if len(searched) < len(runs):
        found += f"\n{len(runs) - len(searched)} more are too short to be searched"
    return f"{found}\nbars: 95 % intervals; open: no spike, bar to the upper limit"


def _places(runs: pd.DataFrame, optimizers: np.ndarray) -> pd.Series:
    """Return the place of every run on the x axis: by size, and within a size by optimizer, then replicate."""
    size = runs["fraction"].rank(method="dense") - 1
    among = runs["optimizer"].map({name: i for i, name in enumerate(optimizers)}) - (len(optimizers) - 1) / 2
    replicate = runs["replicate"].rank(method="dense")
    beside = (replicate - (replicate.max() + 1) / 2) / replicate.max()
    # a fifth of the space of an optimizer stays free
    return size + _SPREAD / len(optimizers) * (among + 0.8 * beside)


def _draw_panel(axes: Axes, runs: pd.DataFrame, measure: str) -> None:
    """Draw one measure of a group of optimizers."""
    by_optimizer = runs.groupby("optimizer", sort=True)
    for (name, group), (color, dash), marker in zip(
        by_optimizer, style.categorical(len(by_optimizer)), _MARKERS, strict=False
    ):
        x, y = group["place"], group[measure]
        line: dict[str, Any] = {"color": color, "linewidth": 0.6}
        low, high = (group[f"{measure}_{end}"].fillna(y) for end in ("low", "high"))
        axes.vlines(x, low, high, alpha=0.6, **line)
        # no line into an upper limit
        medians = group[_spiking(group)].groupby("fraction")[["place", measure]].median()
        axes.plot(medians["place"], medians[measure], linestyle=dash, **line)
        some = group["spikes"] > 0
        points: dict[str, Any] = {"color": color, "marker": marker, "markersize": 3, "linestyle": "none"}
        axes.plot(x[some], y[some], label=name, **points)
        if not some.all():  # an empty line without clipping would upset the layout
            axes.plot(x[~some], y[~some], markerfacecolor="white", clip_on=False, zorder=3, **points)


def _spiking(group: pd.DataFrame) -> pd.Series:
    """Return which rows are of a size at which any run has a spike."""
    return group.groupby("fraction")["spikes"].transform("max") > 0


def _set_axes(panels: np.ndarray, runs: pd.DataFrame) -> None:
    for (measure, label), row in zip(_MEASURES.items(), panels, strict=True):
        row[0].set_ylabel(label)
        if runs[measure].isna().all():
            row[0].set_yticks([])
            unknown = "not searched" if runs["per_1000_steps"].isna().all() else "no spike found"
            for axes in row:
                axes.text(0.5, 0.5, unknown, transform=axes.transAxes, ha="center", va="center")
        elif measure == "height":
            row[0].set_yscale("log")
            style.decades(row[0].yaxis)
        else:
            top = row[0].get_ylim()[1]
            row[0].set_ylim(0, min(top, 1.0) if measure == "share_in_spike" else top)
    sizes = runs.groupby("fraction")["n_train"].median().sort_index()
    upright = 90 if len(sizes) * panels.shape[1] > 8 else 0
    labels = [style.thousands(size) for size in sizes]
    panels[0, 0].set_xlim(-0.6, len(sizes) - 0.4)
    for axes in panels.flat:
        axes.set_xticks(range(len(sizes)), labels, rotation=upright)
    panels[0, 0].figure.align_ylabels(panels[:, 0])


def plot(*, spike_statistics: Path, style: dict, description: Description = PLAIN) -> Figure:
    """Return the statistics of the spikes of every run."""
    return draw(tables.read(spike_statistics), **style, examples=description.examples)
