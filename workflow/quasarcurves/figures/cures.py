"""What cures the spikes and at what price: their rate against the final loss.

Caption
-------
Rate of sustained spikes against the price: final training loss and test loss over those of the reference, and
completeness less that of the reference, a row per size of the training set, with 95 % intervals. The best cures are
low, not to the right of 1 in the losses and not to the left of 0 in completeness. Open symbols are optimizers without
a spike: their bar is the upper limit of the rate. Runs are compared replicate by replicate, on the same test objects.
With one replicate all intervals are within that run, and losses have none.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from quasarcurves.analysis import tables
from quasarcurves.figures import labels, style

_PANEL_HEIGHT = 2.9
_RATE = "sustained_per_1000_steps"
_PRICES = {
    "price_train": "final training loss",
    "price_test": "test loss",
    "difference_completeness": "completeness",
}
"""Columns of the table with the names of what is compared: losses by their ratio, shares by their difference."""

_SHARES = ("difference_completeness",)

_CURE, _REFERENCE = style.OKABE_ITO[0], "black"


def load(path: Path) -> pd.DataFrame:
    """Read `cures.csv` for `draw`.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    table = tables.read(path)
    needed = ["fraction", "optimizer", "reference"]
    needed += [f"{name}{end}" for name in (_RATE, *_PRICES) for end in ("", "_low", "_high")]
    missing = [name for name in needed if name not in table]
    if missing:
        raise ValueError(f"{path}: expected the columns {', '.join(needed)}, {', '.join(missing)} not found")
    return table[needed]


def draw(cures: pd.DataFrame) -> Figure:
    """Draw the rate of spikes of every optimizer against its losses, relative to those of the reference.

    Parameters
    ----------
    cures : DataFrame
        The table of `load`: a row per `fraction`, `optimizer` and `reference`, with the rate of sustained spikes, the
        ratios of losses and the difference in completeness, each with `_low` and `_high`. The reference of the first
        row is the one drawn.

    Returns
    -------
    Figure
        Page wide: a row per training-set size, a panel per price. Rates are linear near 0, then logarithmic;
        optimizers without a spike are open symbols with the upper limit of their rate.
    """
    if cures["optimizer"].nunique() < 2:
        return style.say_only("no two optimizers to compare")
    reference = str(cures["reference"].iloc[0])
    table = _with_itself(cures[cures["reference"] == reference], reference)
    # a size at which the reference alone was trained compares nothing
    compared = table.groupby("fraction")["optimizer"].nunique().loc[lambda count: count > 1]
    fractions = sorted(compared.index, reverse=True)
    if not fractions:
        return style.say_only("no two optimizers to compare at one size")
    figure = style.new_figure(style.PAGE_WIDTH, _PANEL_HEIGHT * len(fractions) + 0.4)
    FigureCanvasAgg(figure)  # names are placed by their size in pixels
    with style.house_style():
        rows = figure.subplots(len(fractions), len(_PRICES), sharey="row", squeeze=False)
        drawn = [
            (axes, _draw_panel(axes, table[table["fraction"] == fraction], price, reference))
            for fraction, row in zip(fractions, rows, strict=True)
            for price, axes in zip(_PRICES, row, strict=True)
        ]
        for fraction, row in zip(fractions, rows, strict=True):
            row[0].set_ylabel(f"fraction {fraction:g}:\nsustained spikes per 1,000 steps")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the places found are those of this layout
        for axes, shown in drawn:
            _name(axes, *shown)
    return figure


def _with_itself(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Compare the reference with itself, which the table does not, where it is compared with others."""
    own = table["optimizer"] == reference
    neutral = {price: 0.0 if price in _SHARES else 1.0 for price in _PRICES}
    return table.assign(**{price: table[price].mask(own, value) for price, value in neutral.items()})


def _draw_panel(axes: Axes, table: pd.DataFrame, price: str, reference: str) -> tuple[pd.DataFrame, str]:
    """Draw the points of one panel; return their rows and the column of the price."""
    column, share = price, price in _SHARES
    shown = table[_finite(table, column)]
    axes.set_xlabel(f"{_PRICES[price]} {'-' if share else '/'} that of {reference}")
    if set(shown["optimizer"]) <= {reference}:
        axes.text(0.5, 0.5, f"no {_PRICES[price]} to compare", transform=axes.transAxes, ha="center", va="center")
        axes.set_xticks([])
        return shown.iloc[:0], column
    _set_scales(axes, table, shown, column)
    for row in shown.to_dict("records"):
        color = _REFERENCE if row["optimizer"] == reference else _CURE
        (low, high), (left, right) = _interval(row, _RATE), _interval(row, column)
        axes.plot([row[column]] * 2, [low, high], color=color, linewidth=0.6, alpha=0.6)
        axes.plot([left, right], [row[_RATE]] * 2, color=color, linewidth=0.6, alpha=0.6)
        face = color if row[_RATE] > 0 else "white"
        axes.plot(row[column], row[_RATE], "o", color=color, markerfacecolor=face, markersize=4)
    axes.axvline(0 if share else 1, color="0.7", linewidth=0.6, linestyle=":", zorder=0)
    absent = sorted(set(table["optimizer"]) - set(shown["optimizer"]))
    if absent:
        axes.set_title(textwrap.fill(f"not finite: {', '.join(absent)}", 50))
    return shown, column


def _finite(table: pd.DataFrame, column: str) -> np.ndarray:
    return np.isfinite(table[[column, _RATE]].to_numpy(float)).all(axis=1) & ((column in _SHARES) | (table[column] > 0))


def _interval(row: dict, name: str) -> tuple[float, float]:
    """Return the ends of an interval; an unknown end is the value itself."""
    return tuple(row[name] if pd.isna(row[f"{name}_{end}"]) else row[f"{name}_{end}"] for end in ("low", "high"))


def _set_scales(axes: Axes, table: pd.DataFrame, shown: pd.DataFrame, column: str) -> None:
    rates = table[[_RATE, f"{_RATE}_high"]].to_numpy(float)
    smallest, highest = rates[rates > 0].min(initial=1.0), np.nanmax(rates, initial=1e-3)
    # a power of ten: no tick but that of 0 lies in the linear part
    smallest = 10 ** math.floor(math.log10(smallest))
    axes.set_yscale("symlog", linthresh=smallest, linscale=0.5)
    # room for names: many a cure has no spike at all
    axes.set_ylim(-smallest, highest * 3)
    ratios = shown[[column, f"{column}_low", f"{column}_high"]].to_numpy(float)
    low, high = np.nanmin(ratios), np.nanmax(ratios)
    if column in _SHARES:
        reach = max(0.2 * (high - low), 0.01)
        axes.set_xlim(min(low, 0) - reach, max(high, 0) + reach)
        return
    reach = max(1.2, (high / low) ** 0.15)
    axes.set_xscale("log")
    axes.set_xlim(min(low, 1) / reach, max(high, 1) * reach)
    style.decades(axes.xaxis)


def _name(axes: Axes, shown: pd.DataFrame, column: str) -> None:
    if shown.empty:
        return
    rows = shown.to_dict("records")
    bars = [_bars(row, column) for row in rows]
    labels.place(
        axes,
        shown[column].to_numpy(float),
        shown[_RATE].to_numpy(float),
        [row["optimizer"] for row in rows],
        np.concatenate(bars),
    )


def _bars(row: dict, column: str) -> Sequence[Sequence[float]]:
    (low, high), (left, right) = _interval(row, _RATE), _interval(row, column)
    return [[row[column], low, row[column], high], [left, row[_RATE], right, row[_RATE]]]


def plot(*, cures: Path) -> Figure:
    """Return what each optimizer cures, and its price."""
    return draw(load(cures))
