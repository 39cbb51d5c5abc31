"""The style of all figures: column width, colours for colour-blind readers, and lines that differ in print.

Colours are those of Okabe & Ito (2008, "Color Universal Design"). Sizes of training sets, which are ordered, get a
sequential map instead, as lightness survives a photocopy.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from tsdownsample import MinMaxDownsampler

from quasarcurves.files import whole_file

COLUMN_WIDTH = 3.5
"""Inches: one column of a journal."""

PAGE_WIDTH = 7.2
"""Inches: both columns."""

DOTS_PER_INCH = 300
"""Resolution of the figures in pixels."""

_MARKS_PER_INCH = 72
"""Symbols that stand closer cover each other."""

OKABE_ITO = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
DASHES: list[Any] = ["-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2))]

_RC = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "lines.linewidth": 0.8,
    "legend.frameon": False,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "figure.constrained_layout.use": True,
    "savefig.dpi": DOTS_PER_INCH,
    "svg.fonttype": "none",
    "svg.hashsalt": "quasarcurves",
    "pdf.fonttype": 42,
}


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of that size in inches, in the house style."""
    with mpl.rc_context(_RC):
        return Figure(figsize=(width, height), layout="constrained")


def house_style() -> AbstractContextManager[None]:
    """Context in which axes are made and drawn on in the house style."""
    return mpl.rc_context(_RC)


def sequential(n: int) -> list[tuple[float, float, float, float]]:
    """n colours from dark to light for ordered quantities; the palest part of the map is left out."""
    return [mpl.colormaps["viridis"](position) for position in np.linspace(0.0, 0.85, n)]


def categorical(n: int) -> list[tuple[str, Any]]:
    """n pairs of colour and line style for things without an order."""
    return [(OKABE_ITO[i % len(OKABE_ITO)], DASHES[i % len(DASHES)]) for i in range(n)]


def seen(values: np.ndarray, bins: int, at: np.ndarray | None = None) -> np.ndarray:
    """Choose the visible points of a series: all of them, or the lowest and highest in each of many bins.

    A line through millions of steps takes minutes and gigabytes to draw, and shows no more than one through these
    points: a spike of one step is the highest of its bin.

    Parameters
    ----------
    values : (t,) array
    bins : int
        As many as the figure has pixels in its width, or more.
    at : (t,) array, optional
        Places on the x axis, rising, if they are not at equal distances. Bins are equally wide in them.

    Returns
    -------
    (n,) int array
        Places in `values`, rising: at most two for each bin, and the first and the last. A bin without any finite value
        keeps one that is not finite, so that a gap stays a gap.
    """
    if len(values) <= 2 * bins:
        return np.arange(len(values))
    finite = np.where(np.isfinite(values), values, np.nan)
    places = () if at is None else (np.ascontiguousarray(at),)
    chosen = MinMaxDownsampler().downsample(*places, finite, n_out=2 * bins)
    return np.union1d(chosen.astype(np.int64), [0, len(values) - 1])


def plot_series(axes: Axes, x: np.ndarray, y: np.ndarray, **line: Any) -> Line2D:
    """Draw a line through the points of a series (t,), or through the visible ones if there are very many.

    A series of one point is a dot: no line would be seen.
    """
    line = {"marker": "o", "markersize": 3, **line} if len(y) == 1 else line
    shown = seen(y, _dots(axes))
    return axes.plot(x[shown], y[shown], **line)[0]


def plot_marks(axes: Axes, x: np.ndarray, y: np.ndarray, **mark: Any) -> None:
    """Draw a symbol at each point (t,), by rising x; where many would cover each other, at the visible ones."""
    shown = seen(y, round(_width(axes) * _MARKS_PER_INCH), at=x)
    axes.plot(x[shown], y[shown], linestyle="none", **mark)


def _dots(axes: Axes) -> int:
    """Return the width of the figure in pixels: no panel is wider."""
    return round(_width(axes) * DOTS_PER_INCH)


def _width(axes: Axes) -> float:
    """Return the width of the figure in inches."""
    return float(axes.figure.bbox.width / axes.figure.dpi)


def draw_replicates(axes: Axes, runs: Sequence[pd.DataFrame], column: str, label: str, **line: Any) -> None:
    """Draw a quantity against epoch: a thin line for each replicate, and the median over them.

    A spike of one replicate is nowhere in the median: only lines of their own show it. A single epoch is a symbol.

    Parameters
    ----------
    axes : Axes
    runs : sequence of DataFrame
        The epochs of each replicate.
    column : str
    label : str
        For the legend.
    **line
        Properties of the line.
    """
    table = pd.concat([run.set_index("epoch")[column] for run in runs], axis=1)
    epoch = table.index.to_numpy()
    marker = {"marker": "o", "markersize": 3} if len(epoch) == 1 else {}
    drawn = plot_series(axes, epoch, table.median(axis=1).to_numpy(), label=label, **marker, **line)
    if len(runs) > 1:
        thin = {"color": drawn.get_color(), "zorder": drawn.get_zorder() - 0.05, "linewidth": 0.5, "alpha": 0.5}
        for values in table.to_numpy(float).T:
            plot_series(axes, epoch, values, **marker, **thin)


def mark_diverged(axes: Axes, runs: Iterable[pd.DataFrame], color: Any) -> None:
    """Mark the last finite loss of runs that diverged with a cross; a run without any has no place on the axes."""
    for run in runs:
        finite = run[np.isfinite(run["loss"])]
        x, y = finite[["epoch", "loss"]].tail(1).to_numpy(float).T
        axes.plot(x, y, "X", color=color, markersize=6, markeredgecolor="white", markeredgewidth=0.5)


def show_epochs(axes: Axes, epochs: pd.DataFrame, column: str = "loss") -> None:
    """Set the limits of an axis of epochs, from 0 to the last; say so where no loss is finite."""
    last = epochs["epoch"].max()
    axes.set_xlim(0, last if last > 1 else 2)
    if last <= 3:
        axes.set_xticks(range(1, int(last) + 1))
    if not np.isfinite(epochs[column]).any():
        axes.text(0.5, 0.5, "no finite loss", transform=axes.transAxes, ha="center", va="center")


_RISE = 3.0
"""A run that rises above so many times its lowest loss so far has a rise that a reader sees."""


def say_rises(epochs: pd.DataFrame) -> str:
    """Return how many runs have a mean loss of an epoch above 3 times their lowest before, in words.

    Parameters
    ----------
    epochs : DataFrame
        `fraction`, `replicate`, `optimizer`, `epoch` and `loss` of one run or more.
    """
    runs = [run.sort_values("epoch")["loss"] for _, run in epochs.groupby(["fraction", "replicate", "optimizer"])]
    risen = sum(bool((loss > _RISE * loss.cummin()).any()) for loss in runs)
    return f"{risen or 'none'} of {len(runs)}"


RISES = f"runs that rise above {_RISE:g} times their lowest loss so far"


def titled_legend(figure: Figure, handles: Sequence[Any], title: str, ncols: int) -> None:
    """Write the title of a figure above it, and below the title the legend."""
    wrapped = textwrap.fill(title, round(14 * figure.get_figwidth()))
    legend = figure.legend(handles=list(handles), title=wrapped, loc="outside upper center", ncols=ncols)
    legend.get_title().set(fontsize=8, ha="center", multialignment="center")


def add_steps_axis(axes: Axes, steps_per_epoch: float, label: str) -> None:
    """Add an upper x axis in optimizer steps to axes in epochs."""

    def to_steps(epoch: Any) -> Any:
        return epoch * steps_per_epoch

    def to_epochs(step: Any) -> Any:
        return step / steps_per_epoch

    upper = axes.secondary_xaxis("top", functions=(to_steps, to_epochs))
    upper.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    upper.xaxis.set_major_formatter(thousands)
    upper.set_xlabel(label)


def thousands(value: float, _position: float = 0) -> str:
    """Format a number of steps or examples, as tick labels are."""
    return f"{value:,.0f}"


def say(axes: Axes, text: str) -> None:
    """Write in the place of a drawing why there is none."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", linespacing=1.5)


def say_only(text: str) -> Figure:
    """Make a figure with the reason why there is nothing to draw."""
    figure = new_figure(COLUMN_WIDTH, 1.2)
    with house_style():
        say(figure.add_subplot(), text)
    return figure


def decades(axis: Axis) -> None:
    """Label a logarithmic axis by a few powers of ten; by 1, 2, 5 if it spans less than two; by any number below 3x."""
    low, high = sorted(axis.get_view_interval())
    if high >= 100 * low:
        axis.set_major_locator(LogLocator(numticks=4))
        return
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if high >= 3 * low else MaxNLocator(5))
    # neighbouring ticks of a narrow range differ in a late digit
    digits = max(4, 2 - math.floor(math.log10((high - low) / high))) if high > low else 4
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.{digits}g}"))
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, paths: Iterable[Path]) -> None:
    """Write a figure to several files, the format of each by its suffix; the same figure always has the same bytes."""
    for path in paths:
        # a date in the file would make every figure differ from its last version
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
        with house_style(), whole_file(path) as temporary:
            figure.savefig(temporary, metadata=metadata)
        # all has its place by now: to find it anew for each format takes as long as to draw
        figure.set_layout_engine("none")
