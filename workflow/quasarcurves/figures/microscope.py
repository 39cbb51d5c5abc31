"""Sustained spikes step by step, from before their rise to after it.

Caption
-------
The tallest sustained spikes of each training that is replayed, at every step from 100 before the onset, where growth
begins, to 20 after: a thin line per spike, the thick one their median. The loss is relative to its median 100 to 51
steps before the onset. Batch sharpness (over 8 fixed batches) and the curvature of a step's own batch along the update
really made are in units of the threshold of small batches, 2/lr for Adam, above which the optimizer diverges; a
weight's g^2/v above 5000 counts as a spike of its gradient. The cosine is that of the update and the direction of
descent of a probe of up to 256 examples: below 0 the step goes uphill. The last panel is the share of the probe's boxes
beyond the clip of the loss, which get no gradient. The examples that carry the spikes are in ``spike_spectra.csv``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quasarcurves.analysis import tables
from quasarcurves.figures import style

_PANEL_HEIGHT = 1.0
_RUN_UP = -50
"""The batch sharpness before a spike is its median from this offset to the onset."""

_LEVEL_BEFORE = -50
"""The loss is relative to its median before this offset."""

_IN_UNITS = ("batch_sharpness", "update_curvature")
"""Measures that are drawn in units of `batch_threshold`."""

_SPIKE = ["run", "onset"]
"""What tells spikes apart."""


class _Panel(NamedTuple):
    """A measure: the label of its axis, its threshold, and whether it is drawn on a logarithmic scale."""

    label: str
    threshold: float | None
    logarithmic: bool


_PANELS = {
    "relative_loss": _Panel("loss /\nloss before", None, True),
    "batch_sharpness_over_threshold": _Panel("batch sharp-\nness / (2/lr)", 1.0, True),
    "update_curvature_over_threshold": _Panel("curvature along\nupdate / (2/lr)", 1.0, False),
    "square_over_past": _Panel("largest\n$g^2/v$", 5000.0, True),
    "descent_cosine": _Panel("cosine of update\nand descent", 0.0, False),
    "clipped_share": _Panel("boxes beyond\nthe clip", None, False),
}
"""Measures drawn, those that the table has, in this order."""


def draw(table: pd.DataFrame) -> Figure:
    """Draw what the steps of spikes are like, a panel per measure.

    Parameters
    ----------
    table : DataFrame
        The study's `microscope.csv`: a row per run, spike and step.

    Returns
    -------
    Figure
        Panels share the axis of steps from the onset. A colour per optimizer; measures that no optimizer of the table
        has are left out.
    """
    if table.empty:
        return style.say_only("no sustained spike in the replayed trainings:\nthere is none to look at step by step")
    table = _with_ratios(table)
    panels = {name: panel for name, panel in _PANELS.items() if table[name].notna().any()}
    optimizers = sorted(table["optimizer"].unique())
    lines = dict(zip(optimizers, style.categorical(len(optimizers)), strict=True))
    figure = style.new_figure(style.COLUMN_WIDTH, _PANEL_HEIGHT * len(panels) + 0.9)
    with style.house_style():
        column = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for (name, panel), axes in zip(panels.items(), column, strict=True):
            for optimizer, (color, dashes) in lines.items():
                _draw_spikes(axes, table[table["optimizer"] == optimizer], name, color, dashes)
            _finish(axes, table[name], panel)
        figure.align_ylabels(column)
        column[-1].set_xlabel("optimizer steps from the onset")
        handles = [_handle(name, table, *line) for name, line in lines.items()]
        style.titled_legend(figure, [*handles, *_marks()], _finding(table), ncols=2)
    return figure


def _with_ratios(table: pd.DataFrame) -> pd.DataFrame:
    early = table["loss"].where(table["offset"] < _LEVEL_BEFORE)
    level = early.groupby([table[key] for key in _SPIKE]).transform("median")
    # a spike at the very beginning has no step so early
    level = level.fillna(table.groupby(_SPIKE)["loss"].transform("first"))
    over = {f"{name}_over_threshold": table[name] / table["batch_threshold"] for name in _IN_UNITS}
    return table.assign(relative_loss=table["loss"] / level, **over)


def _finding(table: pd.DataFrame) -> str:
    """Return what the loss does, and in how many spikes the batch sharpness is beyond its threshold before."""
    last = table["offset"].max()
    rise = table.loc[table["offset"] == last, "relative_loss"].median()
    finding = f"{last} steps after the onset, the loss is {rise:.3g} times that before"
    run_up = table[(table["offset"] >= _RUN_UP) & (table["offset"] < 0)]
    sharpness = run_up.groupby(_SPIKE)["batch_sharpness_over_threshold"].median().dropna()
    if len(sharpness):
        above = int((sharpness > 1).sum())
        finding += (
            f"; in the {-_RUN_UP} steps before it, batch sharpness is above 2/lr in {above} of {len(sharpness)} spikes"
        )
    return finding


def _draw_spikes(axes: Axes, table: pd.DataFrame, name: str, color: str, dashes: str) -> None:
    spikes = table.groupby(_SPIKE)
    faint = max(0.15, min(0.55, 3 / max(spikes.ngroups, 1)))
    for _, spike in spikes:
        axes.plot(spike["offset"], spike[name], color=color, linewidth=0.5, alpha=faint)
    if spikes.ngroups > 1:
        median = table.groupby("offset")[name].median()
        # above the spikes of all optimizers
        axes.plot(median.index, median, color=color, linestyle=dashes, linewidth=1.6, zorder=3)


def _finish(axes: Axes, values: pd.Series, panel: _Panel) -> None:
    axes.axvline(0, color="black", linewidth=0.6, linestyle=":")
    if panel.threshold is not None:
        axes.axhline(panel.threshold, color="black", linewidth=0.6, linestyle="--")
    if panel.logarithmic and (values[np.isfinite(values)] > 0).all():
        axes.set_yscale("log")
        style.decades(axes.yaxis)
    axes.set_ylabel(panel.label)


def _handle(name: str, table: pd.DataFrame, color: str, dashes: str) -> Line2D:
    n = table[table["optimizer"] == name].groupby(_SPIKE).ngroups
    return Line2D([], [], color=color, linestyle=dashes, label=f"{name}: {n} spike{'s' if n > 1 else ''}")


def _marks() -> list[Line2D]:
    threshold = Line2D([], [], color="black", linewidth=0.6, linestyle="--", label="threshold, or 0")
    return [Line2D([], [], color="black", linewidth=0.6, linestyle=":", label="onset"), threshold]


def plot(*, microscope: Path) -> Figure:
    """Return what the steps of all spikes looked at are like."""
    return draw(tables.read(microscope))
