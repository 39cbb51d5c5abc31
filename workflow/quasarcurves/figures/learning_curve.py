"""How much training data is enough: test errors against training spectra, with curves, bands and targets.

Caption
-------
Errors of the final models on the test set against the number of training spectra, a column per optimizer and a row
per metric. Points are runs, crosses those left out as failed. The line is the fitted curve, the band its 90 %
interval over all families of curves that fit. The dashed line is the target, with the 90 % interval of the number of
spectra that it takes where the data can say; the floor and the gain from doubling stand in ``learning_curve.csv``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from quasarcurves.analysis import tables
from quasarcurves.analysis.tables import records
from quasarcurves.figures import style

_LABELS = {
    "crossing": "1 - crossing point",
    "test_loss": "test loss",
    "sigma_dv": "scatter of dv (km/s)",
}
_PER_ROW = 4
"""Most panels side by side."""

_PANEL_HEIGHT = 1.8
_COLOR, _TARGET = style.OKABE_ITO[0], style.OKABE_ITO[1]


def draw(curves: pd.DataFrame, errors: pd.DataFrame, bands: pd.DataFrame) -> Figure:
    """Draw the learning curves of all optimizers.

    Parameters
    ----------
    curves, errors, bands : DataFrame
        learning_curve.csv, learning_curve_errors.csv and learning_curve_bands.csv, as `enough_data.write` has them.

    Returns
    -------
    Figure
        A panel per metric and optimizer, both axes logarithmic, all panels of a metric on the same ones. Points are
        runs, crosses failed ones. The bar on the target is the interval of the number of spectra that it takes; it is
        missing where the data cannot say, an arrow where the smallest size may do already.
    """
    metrics = [metric for metric in _LABELS if _finite(errors, metric)["error"].notna().any()]
    if not metrics:
        return style.say_only("no test errors to draw")
    optimizers = sorted(curves["optimizer"].unique())
    per_metric = math.ceil(len(optimizers) / _PER_ROW)
    # rows of equal length: 6 are 3 and 3, not 4 and 2
    columns = math.ceil(len(optimizers) / per_metric)
    rows = per_metric * len(metrics)
    width = style.COLUMN_WIDTH if columns == 1 else style.PAGE_WIDTH
    figure = style.new_figure(width, _PANEL_HEIGHT * rows + 0.4)
    with style.house_style():
        panels = figure.subplots(rows, columns, squeeze=False)
        for metric, block in zip(metrics, np.split(panels, len(metrics)), strict=True):
            _draw_metric(block.ravel(), metric, optimizers, curves, errors, bands)
            for row in block:
                row[0].set_ylabel(_LABELS[metric])
        figure.supxlabel("training spectra", fontsize=8)
        _add_legend(figure)
    return figure


def _finite(errors: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Runs that have an error that a logarithmic axis can show."""
    runs = errors[errors["metric"] == metric]
    return runs[np.isfinite(runs["error"]) & (runs["error"] > 0)]


def _draw_metric(
    panels: np.ndarray,
    metric: str,
    optimizers: list[str],
    curves: pd.DataFrame,
    errors: pd.DataFrame,
    bands: pd.DataFrame,
) -> None:
    """Draw the panels of one metric, and give them the same axes."""
    shown = _finite(errors, metric)
    for axes, optimizer in zip(panels, optimizers, strict=False):
        row = records(curves[(curves["metric"] == metric) & (curves["optimizer"] == optimizer)])[0]
        band = bands[(bands["metric"] == metric) & (bands["optimizer"] == optimizer)]
        _draw_panel(axes, row, shown[shown["optimizer"] == optimizer], band)
    targets = curves.loc[curves["metric"] == metric, "target"].dropna()
    low, high = (end(np.append(shown["error"], targets)) for end in (np.min, np.max))
    sizes = shown["n_train"]
    for axes in panels[: len(optimizers)]:
        axes.set_xlim(sizes.min() / 1.4, max(sizes.max() * 5, 1.4 * sizes.min()))
        axes.set_ylim(low / 1.6, high * 1.3)
        style.decades(axes.yaxis)
        _label_sizes(axes)
    for axes in panels[len(optimizers) :]:
        axes.set_axis_off()


def _label_sizes(axes: Axes) -> None:
    style.decades(axes.xaxis)
    axes.xaxis.set_major_formatter(FuncFormatter(style.thousands))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_panel(axes: Axes, row: Mapping[str, Any], runs: pd.DataFrame, band: pd.DataFrame) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(row["optimizer"])
    if len(band):
        # the floor may be 0, which a logarithmic axis has no place for
        low, high = band["error_low"].clip(lower=1e-12), band["error_high"]
        axes.fill_between(band["n"], low, high, color=_COLOR, alpha=0.2, linewidth=0, label="90 % interval")
        axes.plot(band["n"], band["error"], color=_COLOR, label="fitted curve")
    failed = runs["failed"].astype(bool)
    points: dict[str, Any] = {"color": "black", "markersize": 3, "linestyle": "none"}
    axes.plot(runs.loc[~failed, "n_train"], runs.loc[~failed, "error"], "o", alpha=0.6, label="run", **points)
    axes.plot(runs.loc[failed, "n_train"], runs.loc[failed, "error"], "x", label="failed run", **points)
    if np.isfinite(row["target"]):
        _draw_target(axes, row)


def _draw_target(axes: Axes, row: Mapping[str, Any]) -> None:
    """Draw the target, and where the data can say, the spectra that it takes with their interval."""
    axes.axhline(row["target"], color=_TARGET, linestyle="--", linewidth=0.8, label="target")
    if not row["answered"]:
        return
    low, high = row["n_required_low"], row["n_required_high"]
    line: dict[str, Any] = {"color": _TARGET, "linewidth": 2, "solid_capstyle": "butt", "label": "spectra it takes"}
    if low == 0:
        axes.annotate(
            "", (0, row["target"]), (high, row["target"]), xycoords=("axes fraction", "data"),
            textcoords="data", arrowprops={"arrowstyle": "->", "color": _TARGET},
        )  # fmt: skip
        return
    axes.plot([low, high], [row["target"]] * 2, **line)
    axes.plot(row["n_required"], row["target"], "D", color=_TARGET, markersize=4)


def _add_legend(figure: Figure) -> None:
    """Add a legend of what the panels show."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            empty = hasattr(handle, "get_xdata") and not len(handle.get_xdata())
            if not empty:
                handles.setdefault(label, handle)
    ncols = len(handles) if figure.get_figwidth() > style.COLUMN_WIDTH else 3
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=ncols)


def plot(*, learning_curve: Path, learning_curve_errors: Path, learning_curve_bands: Path) -> Figure:
    """Return the learning curves of a study."""
    return draw(*(tables.read(path) for path in (learning_curve, learning_curve_errors, learning_curve_bands)))
