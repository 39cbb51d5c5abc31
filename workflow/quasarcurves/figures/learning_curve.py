"""How much training data is enough: test errors against training-set sizes, with curves, bands and targets.

Caption
-------
Errors of the final models on the test set against the size of the training set, a column per optimizer and a row
per metric. Points are runs, hollow ones those whose training loss still falls at the end, crosses those left out as
failed. Words in a panel say what each doubling has taken off the error from the smallest to the largest size (with two
sizes, the error of the larger over that of the smaller), with its 90 % interval, and the noise of one run of the
largest size: from the objects of the test set and between replicates, for which 10 % are assumed where there are none.
The line is the fitted curve, the band its 90 % interval over all families of curves that fit; where the data cannot say
how much is enough, it is dotted, ends at the largest size and has no band. The dashed line is the
target, written as the study has it, with the 90 % interval of the size that it takes where the data can
say; the floor and the gain from doubling stand in ``learning_curve.csv``.
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
from quasarcurves.analysis.metrics.description import PLAIN, Description, Metric
from quasarcurves.analysis.tables import records
from quasarcurves.figures import style

_SMALL = 7
"""Points: size of words in a panel."""

_PER_ROW = 4
"""Most panels side by side."""

_PANEL_HEIGHT = 1.8
_COLOR, _TARGET = style.OKABE_ITO[0], style.OKABE_ITO[1]


def draw(curves: pd.DataFrame, errors: pd.DataFrame, bands: pd.DataFrame, description: Description) -> Figure:
    """Draw the learning curves of all optimizers.

    Parameters
    ----------
    curves, errors, bands : DataFrame
        learning_curve.csv, learning_curve_errors.csv and learning_curve_bands.csv, as `enough_data.write` has them.
    description : Description
        What the task calls its examples and metrics.

    Returns
    -------
    Figure
        A panel per metric and optimizer, both axes logarithmic, all panels of a metric on the same ones. Points are
        runs, crosses failed ones. The bar on the target is the interval of the size that it takes; it is
        missing where the data cannot say, an arrow where the smallest size may do already.
    """
    drawn = [name for name in errors["metric"].unique() if len(_finite(errors, name))]
    metrics = [description.metric(name) for name in description.with_curves(drawn)]
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
            _draw_metric(block.ravel(), metric, optimizers, curves, errors, bands, description)
            for row in block:
                row[0].set_ylabel(metric.error_label)
        figure.supxlabel(f"training {description.examples}", fontsize=8)
        _add_legend(figure, _title(curves, description.examples))
    return figure


def _title(curves: pd.DataFrame, examples: str) -> str:
    """Return for how many of the targets the data say what they take."""
    targets = curves[curves["target"].notna()]
    if targets.empty:
        return "Errors on the test set; the study has no target"
    answered = int(targets["answered"].astype(bool).sum())
    return (
        f"Errors on the test set; the {examples} it takes are known for {answered or 'none'} of {len(targets)} targets"
    )


def _finite(errors: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Runs that have an error that a logarithmic axis can show."""
    runs = errors[errors["metric"] == metric]
    return runs[np.isfinite(runs["error"]) & (runs["error"] > 0)]


def _draw_metric(
    panels: np.ndarray,
    metric: Metric,
    optimizers: list[str],
    curves: pd.DataFrame,
    errors: pd.DataFrame,
    bands: pd.DataFrame,
    description: Description,
) -> None:
    """Draw the panels of one metric, and give them the same axes."""
    shown = _finite(errors, metric.name)
    for axes, optimizer in zip(panels, optimizers, strict=False):
        row = records(curves[(curves["metric"] == metric.name) & (curves["optimizer"] == optimizer)])[0]
        band = bands[(bands["metric"] == metric.name) & (bands["optimizer"] == optimizer)]
        _draw_panel(axes, row, shown[shown["optimizer"] == optimizer], band)
        if np.isfinite(row["target"]):
            _draw_target(axes, row, metric, description.examples)
    targets = curves.loc[curves["metric"] == metric.name, "target"].dropna()
    low, high = (end(np.append(shown["error"], targets)) for end in (np.min, np.max))
    sizes = shown["n_train"]
    for axes in panels[: len(optimizers)]:
        axes.set_xlim(sizes.min() / 1.4, max(sizes.max() * 5, 1.4 * sizes.min()))
        axes.set_ylim(low / 1.6, high * (high / low) ** 0.5 * 1.3)  # room for words above the points
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
    if len(band) and not row["answered"]:
        # no answer: the curve describes what was seen, and foretells nothing
        band = band[band["n"] <= runs["n_train"].max()]
        axes.plot(band["n"], band["error"], color=_COLOR, linestyle=":", label="fit, not to be prolonged")
    elif len(band):
        # the floor may be 0, which a logarithmic axis has no place for
        low, high = band["error_low"].clip(lower=1e-12), band["error_high"]
        axes.fill_between(band["n"], low, high, color=_COLOR, alpha=0.2, linewidth=0, label="90 % interval")
        axes.plot(band["n"], band["error"], color=_COLOR, label="fitted curve")
    failed, falling = (runs[name].astype(bool) for name in ("failed", "still_training"))
    points: dict[str, Any] = {"color": "black", "markersize": 3, "linestyle": "none"}
    kinds: tuple[tuple[str, pd.Series, str, dict[str, Any]], ...] = (
        ("run", ~failed & ~falling, "o", {"alpha": 0.6}),
        ("run still training", ~failed & falling, "o", {"markerfacecolor": "none", "markeredgewidth": 0.7}),
        ("failed run", failed, "x", {}),
    )
    for label, mine, marker, more in kinds:
        axes.plot(runs.loc[mine, "n_train"], runs.loc[mine, "error"], marker, label=label, **points, **more)
    words = _words(row)
    axes.text(0.97, 0.96, words, transform=axes.transAxes, ha="right", va="top", fontsize=_SMALL, linespacing=1.2)


def _words(row: Mapping[str, Any]) -> str:
    """Return what was seen without a curve: the gain per doubling, or the ratio of two sizes, and the noise."""
    gains = [100 * row[f"gain_per_doubling{end}"] for end in ("", "_low", "_high")]
    ratios = [row[f"ratio_seen{end}"] for end in ("", "_low", "_high")]
    parts = []
    if np.isfinite(gains).all():
        parts.append("each doubling: {:.0f} % off\n({:.0f} to {:.0f})".format(*gains))
    elif np.isfinite(ratios).all():
        parts.append("largest / smallest: {:.2g}\n({:.2g} to {:.2g})".format(*ratios))
    if np.isfinite(row["noise"]):
        assumed = " (assumed)" if row["noise_from"] == "assumed" else ""
        parts.append(f"noise {100 * row['noise']:.2g} %{assumed}")
    return "\n".join(parts)


def _draw_target(axes: Axes, row: Mapping[str, Any], metric: Metric, examples: str) -> None:
    """Draw the target, and where the data can say, what it takes with their interval."""
    axes.axhline(row["target"], color=_TARGET, linestyle="--", linewidth=0.8, label="target")
    words = metric.target_label(row["target_given"])
    axes.annotate(
        words, (0.03, row["target"]), (0, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
        color=_TARGET, fontsize=_SMALL, ha="left", va="bottom",
    )  # fmt: skip
    if not row["answered"]:
        return
    low, high = row["n_required_low"], row["n_required_high"]
    line: dict[str, Any] = {"color": _TARGET, "linewidth": 2, "solid_capstyle": "butt", "label": f"{examples} it takes"}
    if low == 0:
        axes.annotate(
            "", (0, row["target"]), (high, row["target"]), xycoords=("axes fraction", "data"),
            textcoords="data", arrowprops={"arrowstyle": "->", "color": _TARGET},
        )  # fmt: skip
        return
    axes.plot([low, high], [row["target"]] * 2, **line)
    axes.plot(row["n_required"], row["target"], "D", color=_TARGET, markersize=4)


def _add_legend(figure: Figure, title: str) -> None:
    """Add a legend of what the panels show."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            empty = hasattr(handle, "get_xdata") and not len(handle.get_xdata())
            if not empty:
                handles.setdefault(label, handle)
    ncols = len(handles) if figure.get_figwidth() > style.COLUMN_WIDTH else 3
    for label, handle in handles.items():
        handle.set_label(label)
    style.titled_legend(figure, list(handles.values()), title, ncols)


def plot(
    *, learning_curve: Path, learning_curve_errors: Path, learning_curve_bands: Path, description: Description = PLAIN
) -> Figure:
    """Return the learning curves of a study."""
    paths = (learning_curve, learning_curve_errors, learning_curve_bands)
    curves, errors, bands = map(tables.read, paths)
    return draw(curves, errors, bands, description)
