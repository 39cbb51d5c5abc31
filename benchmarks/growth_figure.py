"""The figure of growth.csv: `python benchmarks/growth_figure.py` writes growth.png here, and prints the table of
exponents that stands in docs/scale.md.
"""

from __future__ import annotations

import math
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
_MARKERS = "osD^vPX*<"
_ROW, _LINE = 1.6, 0.15
"""Inches of a panel with its labels, and of a line of a legend."""


def draw(table: pd.DataFrame) -> Figure:
    """Draw processor time and peak memory of all stages, a row per quantity that is varied, on logarithmic axes."""
    parts = {varied: table[table["group"].isin(groups)] for varied, groups in PANELS.items()}
    parts = {varied: part for varied, part in parts.items() if len(part)}
    heights = [_ROW + _LINE * math.ceil(part["stage"].nunique() / 2) for part in parts.values()]
    figure = style.new_figure(style.COLUMN_WIDTH, sum(heights))
    with style.house_style():
        rows = figure.subfigures(len(parts), 1, height_ratios=heights)
        for row, (varied, part) in zip(rows, parts.items(), strict=True):
            panels = row.subplots(1, 2)
            for axes, (cost, name) in zip(panels, _COSTS.items(), strict=True):
                _draw_panel(axes, part, cost)
                axes.set_title(name)
            row.supxlabel(varied, fontsize=8)
            row.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, cost: str) -> None:
    """Draw one cost; names have the exponent of the time beside them."""
    stages = rows.groupby("stage", sort=False)
    for (name, stage), (color, dash), marker in zip(stages, style.categorical(len(stages)), _MARKERS, strict=False):
        exponent = stage["cpu_exponent"].iat[0]
        line = {"color": color, "linestyle": dash, "marker": marker, "markersize": 3.5}
        label = name if np.isnan(exponent) else f"{name} ({exponent:.2f})"
        axes.plot(stage["size"], stage[cost], markeredgecolor="0.3", markeredgewidth=0.3, label=label, **line)
    axes.set(xscale="log", yscale="log")
    limits, size, top = axes.get_ylim(), rows["size"].max(), rows[cost].max()
    # what a cost without any start-up would do
    axes.plot([size / 1000, size], [top / 1000, top], color="0.5", linewidth=0.6, linestyle=":", zorder=0)
    axes.set(xlim=(rows["size"].min() / 1.5, size * 1.5), ylim=limits)
    style.decades(axes.yaxis)
    style.decades(axes.xaxis)


def exponents(table: pd.DataFrame) -> str:
    """Give a table in Markdown: each stage at its largest size, with its exponents."""
    rows = [
        "| step | against | largest | time | memory | exponent of time | at the large end | of memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for _, stage in table[table["group"] != "study"].groupby(["group", "stage"], sort=False):
        last = stage.iloc[-1]
        costs = f"{last['size']:,} | {last['cpu_s']:.3g} s | {last['peak_mb']:,.0f} MB"
        time, memory = (_with_error(last[f"{name}_exponent"], last[f"{name}_exponent_se"]) for name in ("cpu", "mb"))
        end = _with_error(last["cpu_exponent_end"], np.nan)
        rows.append(f"| {last['stage']} | {last['varied']} | {costs} | {time} | {end} | {memory} |")
    return "\n".join(rows)


def _with_error(value: float, error: float) -> str:
    known = "" if np.isnan(error) else f" \N{PLUS-MINUS SIGN} {error:.2f}"
    return "" if np.isnan(value) else f"{value:.2f}{known}"


if __name__ == "__main__":
    found = pd.read_csv(FOLDER / "growth.csv")
    style.save(draw(found), [FOLDER / "growth.png"])
    print(exponents(found))
