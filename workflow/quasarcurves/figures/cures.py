"""What cures the spikes and at what price: rate, losses and a test metric of every optimizer beside the reference's.

Caption
-------
Rate of sustained spikes, final training loss and test loss over those of the reference, and the first test metric less
that of the reference (over it, where less is better): a line per optimizer, a block per size of the training set, with
95 % intervals. A cure has a low rate, losses not to the right of 1 and a difference not to the left of 0 (dotted
lines). Open symbols are optimizers without a spike: their bar ends at the upper limit of the rate. A bar that meets the
frame goes on beyond it. Runs are compared replicate by replicate, on the same test objects. With one replicate all
intervals are within that run, and losses have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import PLAIN, Description, compared_in
from quasarcurves.figures import style

_LINE_HEIGHT = 0.17
"""Inches of an optimizer."""


@dataclass(frozen=True)
class Quantity:
    """What a column of panels shows.

    Parameters
    ----------
    column : str
        Of the table.
    words : str
    neutral : float, optional
        Its value where an optimizer is as good as the reference: 1 for a ratio, 0 for a difference; none for a rate.
    """

    column: str
    words: str
    neutral: float | None = None


_RATE = "sustained_per_1000_steps"
_ALWAYS = (
    Quantity(_RATE, "sustained spikes\nper 1,000 steps"),
    Quantity("price_train", "final training loss", 1.0),
    Quantity("price_test", "test loss", 1.0),
)

_REACH = 3.0
"""Factor beyond the outermost points at which bars are cut: an interval of one pair of runs has any length."""

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
    needed += [f"{shown.column}{end}" for shown in _ALWAYS for end in ("", "_low", "_high")]
    missing = [name for name in needed if name not in table]
    if missing:
        raise ValueError(f"{path}: expected the columns {', '.join(needed)}, {', '.join(missing)} not found")
    return table


def _quantities(cures: pd.DataFrame, description: Description) -> list[Quantity]:
    """Return what is shown: the rate, the losses, and the first of the metrics that models are judged by."""
    metrics = map(description.metric, description.judges(compared_in(map(str, cures)))[:1])
    compared = [Quantity(metric.comparison, metric.words, float(metric.is_ratio)) for metric in metrics]
    return [*_ALWAYS, *(each for each in compared if each.column in cures)]


def draw(cures: pd.DataFrame, description: Description) -> Figure:
    """Draw the rate of spikes of every optimizer, and its losses and a test metric relative to the reference's.

    Parameters
    ----------
    cures : DataFrame
        The table of `load`: a row per `fraction`, `optimizer` and `reference`, with the rate of sustained spikes, the
        ratios of losses and comparisons of test metrics, each with `_low` and `_high`, and `n_train`, if it is known.
        The reference of the first row is the one drawn.
    description : Description
        What the task calls its examples and metrics.

    Returns
    -------
    Figure
        Page wide: a block per training-set size, in it a line per optimizer by rising rate, the reference on top; a
        panel for the rate and for each price. Panels of a column have one scale.
    """
    if cures["optimizer"].nunique() < 2:
        return style.say_only("no two optimizers to compare")
    reference = str(cures["reference"].iloc[0])
    quantities = _quantities(cures, description)
    table = _with_itself(cures[cures["reference"] == reference], reference, quantities)
    # a size at which the reference alone was trained compares nothing
    compared = table.groupby("fraction")["optimizer"].nunique().loc[lambda count: count > 1]
    blocks = [_ordered(table[table["fraction"] == size], reference) for size in sorted(compared.index, reverse=True)]
    if not blocks:
        return style.say_only("no two optimizers to compare at one size")
    heights = [len(block) + 3.0 for block in blocks]
    figure = style.new_figure(style.PAGE_WIDTH, _LINE_HEIGHT * sum(heights) + 1.1)
    with style.house_style():
        panels = figure.subplots(
            len(blocks), len(quantities), sharex="col", sharey="row", squeeze=False, height_ratios=heights
        )
        for block, row in zip(blocks, panels, strict=True):
            for quantity, axes in zip(quantities, row, strict=True):
                _draw_panel(axes, block, quantity, reference)
            row[0].set_yticks(range(len(block)), block["optimizer"])
            row[0].set_ylim(len(block) - 0.4, -0.6)
            row[0].set_title(_size(block, description.examples), loc="left")
        everything = pd.concat(blocks)
        for quantity, axes in zip(quantities, panels[-1], strict=True):
            _set_scale(axes, everything, quantity, reference)
        style.titled_legend(
            figure,
            _handles(bool(everything[_RATE].notna().any())),
            _title(blocks, reference, description.examples),
            ncols=3,
        )
    return figure


def _with_itself(table: pd.DataFrame, reference: str, quantities: Sequence[Quantity]) -> pd.DataFrame:
    """Compare the reference with itself, which the table does not, where it is compared with others."""
    own = table["optimizer"] == reference
    neutral = {each.column: each.neutral for each in quantities if each.neutral is not None}
    return table.assign(**{price: table[price].mask(own, value) for price, value in neutral.items()})


def _ordered(block: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Sort by rising rate, then training loss, the reference first."""
    ordered = block.sort_values([_RATE, "price_train"])
    own = ordered["optimizer"] == reference
    return pd.concat([ordered[own], ordered[~own]], ignore_index=True)


def _size(block: pd.DataFrame, examples: str) -> str:
    if "n_train" in block:
        return f"{block['n_train'].median():,.0f} training {examples}"
    return f"fraction {block['fraction'].iat[0]:g}"


def _draw_panel(axes: Axes, block: pd.DataFrame, quantity: Quantity, reference: str) -> None:
    column = quantity.column
    axes.tick_params(axis="y", length=0)
    values = block[column].to_numpy(float)
    # an unknown end is the value itself
    low, high = (block[f"{column}_{end}"].fillna(block[column]).to_numpy(float) for end in ("low", "high"))
    for place, (name, rate) in enumerate(zip(block["optimizer"], block[_RATE], strict=True)):
        if not _shown(values[place], quantity):
            unknown = "not searched" if column == _RATE else "not known"
            axes.text(0.5, place, unknown, transform=axes.get_yaxis_transform(), ha="center", va="center",
                      fontsize=7, color="0.4")  # fmt: skip
            continue
        color = _REFERENCE if name == reference else _CURE
        axes.plot([low[place], high[place]], [place] * 2, color=color, linewidth=0.8)
        axes.plot(values[place], place, "o", color=color, markerfacecolor="white" if rate == 0 else color, markersize=4)
    if quantity.neutral is not None:
        axes.axvline(quantity.neutral, color="0.6", linewidth=0.6, linestyle=":", zorder=0)


def _shown(value: float, quantity: Quantity) -> bool:
    return bool(np.isfinite(value)) and (quantity.neutral != 1 or value > 0)


def _set_scale(axes: Axes, table: pd.DataFrame, quantity: Quantity, reference: str) -> None:
    """Set the scale of a column: as far as the points, and the bars if they are not very long."""
    column = quantity.column
    axes.set_xlabel(_label(quantity, reference))
    shown = table[[_shown(value, quantity) for value in table[column]]]
    if shown.empty:
        axes.set_xticks([])
        return
    ends = shown[[f"{column}_low", column, f"{column}_high"]].to_numpy(float)
    if quantity.neutral is None:
        top, highest = np.nanmax(ends[np.isfinite(ends)]), ends[:, 1].max()
        # where no rate is above 0 the upper limits are all there is to see
        right = max(min(top, 2 * _REACH * highest) if highest > 0 else top, 1e-3)
        axes.set_xlim(-0.06 * right, 1.06 * right)
        axes.locator_params(axis="x", nbins=4)
    elif quantity.neutral == 0:
        low, high = min(np.nanmin(ends), 0), max(np.nanmax(ends), 0)
        reach = max(0.1 * (high - low), 0.005)
        axes.set_xlim(low - reach, high + reach)
        axes.locator_params(axis="x", nbins=4)
    else:
        low, high = min(ends[:, 1].min(), 1), max(ends[:, 1].max(), 1)
        axes.set_xscale("log")
        left, right = max(np.nanmin(ends), low / _REACH), min(np.nanmax(ends), high * _REACH)
        axes.set_xlim(min(left, low) / 1.1, max(right, high) * 1.1)
        style.decades(axes.xaxis)


def _label(quantity: Quantity, reference: str) -> str:
    if quantity.neutral is None:
        return quantity.words
    return f"{quantity.words}\n{'over' if quantity.neutral else 'less'} that of {reference}"


def _handles(searched: bool) -> list[Line2D]:
    interval = Line2D([], [], label="95 % interval", color=_CURE, linewidth=0.8)
    if not searched:
        return [interval]
    point: dict[str, Any] = {"color": _CURE, "marker": "o", "markersize": 4, "linestyle": "none"}
    return [
        Line2D([], [], label="spikes found", **point),
        Line2D([], [], label="no spike: bar to the upper limit of the rate", markerfacecolor="white", **point),
        interval,
    ]


def _title(blocks: list[pd.DataFrame], reference: str, examples: str) -> str:
    """Return what is seen at the largest size: which of the others are without a spike."""
    largest = blocks[0]
    others = largest[largest["optimizer"] != reference]
    if others[_RATE].isna().all():
        return f"No run is long enough to be searched for spikes, {_size(largest, examples)}"
    without = int((others[_RATE] == 0).sum())
    of = f"{without} of {len(others)} optimizers beside {reference}"
    return f"Without sustained spikes: {of}, {_size(largest, examples)}"


def plot(*, cures: Path, description: Description = PLAIN) -> Figure:
    """Return what each optimizer cures, and its price."""
    return draw(load(cures), description)
