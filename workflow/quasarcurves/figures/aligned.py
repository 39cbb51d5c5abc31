"""The measures of steps around the onset of spikes, averaged over all spikes of an optimizer.

Caption
-------
What the measures of a step do around the onset of the spikes of ``{optimizer}``: the median over spikes and the band
between their quartiles, in grey over quiet windows of the same runs. Measures are relative to their own median 300 to
200 steps before the onset, curvatures to the stability threshold. What rises before lag 0 comes before the spike; at
lag 0 the loss is high by definition.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import PLAIN, Description
from quasarcurves.figures import style

_PANEL_HEIGHT = 1.05
_MEASURES = {
    "loss": "loss",
    "gradient_norm": "gradient\nnorm",
    "effective_step_q50": "effective\nstep, median",
    "rms_worst": "RMS of $g/\\sqrt{v}$,\nworst layer",
    "gradient_curvature_over_threshold": "gradient curv.\n/ threshold",
    "sharpness_over_threshold": "sharpness\n/ threshold",
    "batch_sharpness_over_threshold": "batch sharpness\n/ threshold",
}
"""Measures drawn, those that the table has, in this order."""

_NARROW = 1.05
"""Least reach of an axis, as a factor to either side: what varies less is flat."""

_COLORS = {"spike": style.OKABE_ITO[0], "baseline": "0.5"}
_NAMES = {"spike": "at spikes", "baseline": "quiet windows"}


def draw(aligned: pd.DataFrame, optimizer: str, examples: str = "examples") -> Figure:
    """Draw event-aligned averages: the median over events, and the band between the quartiles.

    Parameters
    ----------
    aligned : DataFrame
        The study's `aligned.csv`: `optimizer`, `fraction`, `n_train`, `measure` (relative to itself long before the
        onset, or to the stability threshold), `kind` (spike or baseline), `lag` in steps after the onset, `n`, `q25`,
        `median` and `q75`.
    optimizer : str
        Its name in the study.
    examples : str
        What several examples are called.

    Returns
    -------
    Figure
        A row per measure, a column per training-set size. Curvatures are in units of the stability threshold, which is
        marked.
    """
    table = aligned[(aligned["optimizer"] == optimizer) & aligned["measure"].isin(_MEASURES)]
    if not (table["kind"] == "spike").any():
        return style.say_only(f"{optimizer}:\nno spike to align the steps at")
    fractions = sorted(table["fraction"].unique(), reverse=True)
    measures = [name for name in _MEASURES if (table["measure"] == name).any()]
    width = style.COLUMN_WIDTH if len(fractions) == 1 else style.PAGE_WIDTH
    figure = style.new_figure(width, _PANEL_HEIGHT * len(measures) + 0.9)
    with style.house_style():
        rows = figure.subplots(len(measures), len(fractions), sharex=True, sharey="row", squeeze=False)
        for measure, row in zip(measures, rows, strict=True):
            of_measure = table[table["measure"] == measure]
            for fraction, axes in zip(fractions, row, strict=True):
                _draw_panel(axes, of_measure[of_measure["fraction"] == fraction], measure)
            _set_scale(row[0], of_measure)
            row[0].set_ylabel(_MEASURES[measure])
        for fraction, axes in zip(fractions, rows[0], strict=True):
            axes.set_title(_title(table[table["fraction"] == fraction], examples))
        figure.align_ylabels(rows[:, 0])
        figure.supxlabel("optimizer steps after the onset", fontsize=8)
        among = "relative to 300 to 200 steps before the onset"
        figure.supylabel(textwrap.fill(among, 15 * len(measures)), fontsize=8)
        handles = _legend_lines(rows[0, 0])
        title = f"{optimizer}: {_finding(table)}median and quartiles over {_count(table)}"
        style.titled_legend(figure, handles, title, ncols=len(handles))
    return figure


def _draw_panel(axes: Axes, table: pd.DataFrame, measure: str) -> None:
    for kind in ("baseline", "spike"):
        rows = _evenly(table[table["kind"] == kind].sort_values("lag"))
        axes.fill_between(rows["lag"], rows["q25"], rows["q75"], color=_COLORS[kind], alpha=0.25, linewidth=0)
        axes.plot(rows["lag"], rows["median"], color=_COLORS[kind])
    axes.axvline(0, color="black", linewidth=0.6, linestyle=":")
    if measure.endswith("_over_threshold"):
        axes.axhline(1, color="black", linewidth=0.6, linestyle="--")
    if table.empty:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center")


def _evenly(rows: pd.DataFrame) -> pd.DataFrame:
    """Return medians over equal stretches of lags, none of them across the onset.

    The table has every step near the onset, and fewer further off: lines through all of it are dark near the onset.
    """
    if len(rows) < 3:
        return rows
    stretch = rows["lag"] // rows["lag"].diff().max()
    return rows.groupby(stretch)[["lag", "q25", "median", "q75"]].median()


def _set_scale(axes: Axes, table: pd.DataFrame) -> None:
    if (table[["q25", "median", "q75"]] > 0).all(axis=None):
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high < _NARROW * low:
            axes.set_ylim(low / _NARROW, high * _NARROW)
        style.decades(axes.yaxis)


def _finding(table: pd.DataFrame) -> str:
    """Return how high the median loss goes at spikes, at the size where it goes highest, in words."""
    loss = table[(table["measure"] == "loss") & (table["kind"] == "spike")]
    if loss.empty:
        return ""
    highest = loss.sort_values("median").iloc[-1]
    when = f"{highest['lag']:.0f} steps after the onset" if highest["lag"] else "at the onset"
    return f"the loss goes to {highest['median']:.2g} times that before, {when}; "


def _title(table: pd.DataFrame, examples: str) -> str:
    spikes = table[(table["kind"] == "spike") & (table["lag"] == 0)]["n"].max()
    events = "no spikes" if pd.isna(spikes) else f"{spikes:.0f} spike{'s' if spikes != 1 else ''}"
    return f"{table['n_train'].iat[0]:,.0f} {examples}:\n{events}"


def _count(table: pd.DataFrame) -> str:
    """Return how many spikes there are of all sizes, in words."""
    spikes = table[(table["kind"] == "spike") & (table["lag"] == 0)].groupby("fraction")["n"].max().sum()
    return f"{spikes:.0f} spike{'s' if spikes != 1 else ''}"


def _legend_lines(axes: Axes) -> list[Line2D]:
    lines = [axes.plot([], [], color=_COLORS[kind], label=name)[0] for kind, name in _NAMES.items()]
    return [*lines, axes.plot([], [], color="black", linestyle=":", label="onset")[0]]


def plot(*, aligned: Path, optimizer: str, description: Description = PLAIN) -> Figure:
    """Return the event-aligned averages of one optimizer."""
    return draw(tables.read(aligned), optimizer, examples=description.examples)
