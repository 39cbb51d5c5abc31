"""The figure of growth.csv: `python benchmarks/growth_figure.py` writes growth.png here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quasarcurves.figures import style

FOLDER = Path(__file__).parent
PANELS = {
    "spectra": ("prepare", "subset", "train_spectra", "evaluate_spectra", "metrics_spectra"),
    "epochs": ("train_epochs", "epochs"),
    "steps of one run": ("steps",),
    "runs": ("runs", "metrics_runs", "dag"),
    "filters": ("train_filters", "evaluate_filters"),
}
"""What is varied, and the groups that vary it."""

_COSTS = {"cpu_s": "processor time (s)", "peak_mb": "peak memory (MB)"}
_MARKERS = "osD^vPX*"
_ROW, _LINE = 1.1, 0.15
"""Inches of a panel, and of a line of a legend."""


def draw(table: pd.DataFrame) -> Figure:
    """Draw processor time and peak memory of all stages, a row per quantity that is varied, on logarithmic axes."""
    parts = {varied: table[table["group"].isin(groups)] for varied, groups in PANELS.items()}
    legends = [_LINE * (-(-part["stage"].nunique() // 2)) for part in parts.values()]
    figure = style.new_figure(style.COLUMN_WIDTH, sum(legends) + (_ROW + 0.42) * len(parts))
    with style.house_style():
        for part, (varied, rows) in zip(
            figure.subfigures(len(parts), 1, height_ratios=[x + _ROW + 0.42 for x in legends]),
            parts.items(),
            strict=True,
        ):
            panels = part.subplots(1, 2)
            for axes, cost in zip(panels, _COSTS, strict=True):
                _draw_panel(axes, rows, cost)
                axes.set_title(_COSTS[cost] if varied == "spectra" else "")
            part.supxlabel(varied, fontsize=8)
            part.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, cost: str) -> None:
    stages = rows.groupby("stage", sort=False)
    for (name, stage), (color, _), marker in zip(stages, style.categorical(len(stages)), _MARKERS, strict=False):
        exponent = stage["cpu_exponent"].iat[0]
        label = name if np.isnan(exponent) else f"{name} ({exponent:.2f})"
        axes.plot(stage["size"], stage[cost], color=color, marker=marker, markersize=3, label=label)
    axes.set(xscale="log", yscale="log")
    low, high = rows["size"].max() / 30, rows["size"].max()
    top = rows[cost].max()
    axes.plot([low, high], [top / 30, top], color="0.6", linewidth=0.6, linestyle=":", zorder=0)
    style.decades(axes.yaxis)
    style.decades(axes.xaxis)


if __name__ == "__main__":
    style.save(draw(pd.read_csv(FOLDER / "growth.csv")), [FOLDER / "growth.png"])
