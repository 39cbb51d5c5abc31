"""Do spikes hurt? Test scores of models from just before a spike, from its peak and from the end of training.

Caption
-------
Do spikes hurt? Test loss, and the first test metric, of models taken just before a spike, at its
peak and at the end of the training, joined by a line for each of the tallest spikes of each run; black is the median
over spikes. The ratios are medians over spikes with their 95 % intervals over replicates and spikes; all are in
``spike_cost_summary.csv``. What training does from the spike to the end is in the ratio of the end, not the spike
alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import PLAIN, TEST_LOSS, Description, Metric
from quasarcurves.analysis.spike_cost import MOMENTS, measures_of
from quasarcurves.figures import style

_PANEL_HEIGHT = 1.5
_LOW_HEIGHT = 1.2
"""Of panels of three abreast."""

_NAMES = {"before": "just before", "peak": "at the peak", "end": "at the end"}
_SINGLE = style.OKABE_ITO[0]
_SPIKE: dict[str, Any] = {"linewidth": 0.6, "marker": "o", "markersize": 2}
_MEDIAN: dict[str, Any] = {
    "color": "black",
    "linewidth": 1.8,
    "marker": "o",
    "markersize": 4,
    "zorder": 3,
    "label": "median",
}


def draw(costs: pd.DataFrame, summary: pd.DataFrame, n_train: Mapping[float, int], description: Description) -> Figure:
    """Draw what each optimizer's spikes cost, two panels each: test loss above, a test metric below.

    Parameters
    ----------
    costs, summary : DataFrame
        `spike_cost.csv` and `spike_cost_summary.csv`.
    n_train : mapping of float to int
        Examples in the training set, by fraction.
    description : Description
        What the task calls its examples and metrics.

    Returns
    -------
    Figure
        A thin line per spike, its colour the training-set size if there are several; black is the median.
    """
    spiking = [name for name in dict.fromkeys(summary["optimizer"]) if (costs["optimizer"] == name).any()]
    if not spiking:
        return style.say_only("no tall spike in any of these runs")
    judging = description.judges(measures_of(costs))[:1]
    measures = [description.metric(name) for name in (TEST_LOSS, *judging)]
    abreast = min(len(spiking), 2 if len(spiking) <= 4 else 3)
    height = _PANEL_HEIGHT if abreast < 3 else _LOW_HEIGHT
    rows = math.ceil(len(spiking) / abreast)
    width = style.COLUMN_WIDTH if abreast == 1 else style.PAGE_WIDTH
    figure = style.new_figure(width, rows * (len(measures) * height + 0.5) + 0.6)
    fractions = sorted(costs["fraction"].unique(), reverse=True)
    several = len(fractions) > 1
    colors = dict(zip(fractions, style.sequential(len(fractions)) if several else [_SINGLE], strict=True))
    with style.house_style():
        panels = figure.subplots(rows * len(measures), abreast, sharex=True, squeeze=False)
        for i, measure in enumerate(measures):
            _share(panels[i :: len(measures)])
            for name, axes in zip(spiking, panels[i :: len(measures)].flat, strict=False):
                _draw_panel(axes, costs[costs["optimizer"] == name], measure.name, colors)
        _finish(panels, spiking, summary, measures)
        handles = [_sizes(f"{n_train[fraction]:,} {description.examples}", colors[fraction]) for fraction in fractions]
        style.titled_legend(figure, [*handles, Line2D([], [], **_MEDIAN)], _title(summary, spiking), ncols=2 * abreast)
    return figure


def _sizes(label: str, color: Any) -> Line2D:
    return Line2D([], [], color=color, label=label, **_SPIKE)


def _share(panels: np.ndarray) -> None:
    """Share one scale between all panels of a measure."""
    for axes in panels.flat[1:]:
        axes.sharey(panels.flat[0])


def _draw_panel(axes: Axes, spikes: pd.DataFrame, measure: str, colors: dict[float, Any]) -> None:
    values = spikes[[f"{measure}_{moment}" for moment in MOMENTS]].to_numpy(float)
    faint = max(0.25, min(0.7, 12 / len(spikes)))
    for fraction, line in zip(spikes["fraction"], values, strict=True):
        axes.plot(line, color=colors[fraction], **_SPIKE, alpha=faint)
    axes.plot(np.nanmedian(values, axis=0), **_MEDIAN)
    axes.set_xticks(range(len(MOMENTS)), [_NAMES[moment] for moment in MOMENTS])
    axes.margins(x=0.12)


def _finish(panels: np.ndarray, spiking: list[str], summary: pd.DataFrame, measures: Sequence[Metric]) -> None:
    """Set scales, labels and titles; hide the panels that are left over."""
    per = len(measures)
    for i, measure in enumerate(measures):
        rows = panels[i::per]
        if i == 0:
            rows[0, 0].set_yscale("log")
            style.decades(rows[0, 0].yaxis)
        for row in rows:
            row[0].set_ylabel(measure.axis_label)
        for name, axes in zip(spiking, rows.flat, strict=False):
            axes.tick_params(labelbottom=i == per - 1)
            if i == 0:
                axes.set_title(_numbers(name, summary))
        for axes in rows.flat[len(spiking) :]:
            axes.set_axis_off()


def _numbers(name: str, summary: pd.DataFrame) -> str:
    """Name an optimizer, with its ratios of test losses."""
    rows = summary[(summary["optimizer"] == name) & (summary["measure"] == "test_loss")].set_index("moment")
    lines = [f"{name}: {rows['spikes'].iloc[0]} spikes of {rows['runs'].iloc[0]} runs"]
    for moment in MOMENTS[1:]:
        row = rows.loc[moment]
        ratio = f"{row['value']:.3g} ({row['low']:.3g} to {row['high']:.3g})"
        lines.append(f"{moment}: {ratio}, {row['verdict']}")
    return "\n".join(lines)


def _title(summary: pd.DataFrame, spiking: list[str]) -> str:
    """Return the legend's title: what the ratios are, and which optimizers have none."""
    title = "test loss over that just before the spike: median over spikes (95 % interval)"
    absent = sorted(set(summary["optimizer"]) - set(spiking))
    return f"{title}; no tall spikes: {', '.join(absent)}" if absent else title


def plot(*, spike_cost: Path, spike_cost_summary: Path, runs: Path, description: Description = PLAIN) -> Figure:
    """Return what spikes cost."""
    of_runs = tables.read(runs)
    n_train = dict(zip(of_runs["fraction"], of_runs["n_train"], strict=True))
    return draw(tables.read(spike_cost), tables.read(spike_cost_summary), n_train, description)
