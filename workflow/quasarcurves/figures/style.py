"""The style of all figures: column width, colours for colour-blind readers, and lines that differ in print.

Colours are those of Okabe & Ito (2008, "Color Universal Design"). Sizes of training sets, which are ordered, get a
sequential map instead, as lightness survives a photocopy.
"""

from __future__ import annotations

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

_FEW_REPLICATES = 5
"""Replicates up to which each has a line of its own."""

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
    """Draw a line through the points of a series (t,), or through the visible ones if there are very many."""
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
    """Draw a quantity against epoch: the median over replicates, and the band from the lowest to the highest.

    Few replicates are drawn one by one too, as a median hides what one of them does. A single epoch is a dot.

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
    dot = {"marker": "o", "markersize": 3} if len(epoch) == 1 else {}
    drawn = plot_series(axes, epoch, table.median(axis=1).to_numpy(), label=label, **line, **dot)
    if 1 < len(runs) <= _FEW_REPLICATES:
        for values in table.to_numpy().T:
            plot_series(axes, epoch, values, color=drawn.get_color(), linewidth=0.35, alpha=0.6)
    if len(runs) > 1:
        low, high = table.min(axis=1).to_numpy(), table.max(axis=1).to_numpy()
        shown = np.union1d(*(seen(edge, _dots(axes)) for edge in (low, high)))
        axes.fill_between(epoch[shown], low[shown], high[shown], color=drawn.get_color(), alpha=0.2, linewidth=0)


def mark_diverged(axes: Axes, runs: Iterable[pd.DataFrame], color: Any) -> None:
    """Mark the last finite loss of runs that diverged with a cross; one without any stands on the upper edge."""
    cross = {"color": color, "markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.5}
    for run in runs:
        finite = run[np.isfinite(run["loss"])]
        if len(finite):
            axes.plot(finite["epoch"].iloc[-1], finite["loss"].iloc[-1], "X", **cross)
        else:
            axes.plot(run["epoch"].iloc[0], 1, "X", transform=axes.get_xaxis_transform(), clip_on=False, **cross)


def epoch_limits(epochs: pd.Series) -> tuple[float, float]:
    """Return the ends of an axis of epochs; the dot of a single one stands in its middle."""
    last = float(epochs.max())
    return 0.0, last if last > 1 else 2.0


def add_steps_axis(axes: Axes, steps_per_epoch: pd.Series, label: str) -> None:
    """Add an upper x axis in optimizer steps to axes in epochs, where an epoch of all runs has as many steps."""
    per_epoch = set(steps_per_epoch.astype(float))
    if len(per_epoch) != 1:
        return
    (steps,) = per_epoch

    def to_steps(epoch: Any) -> Any:
        return epoch * steps

    def to_epochs(step: Any) -> Any:
        return step / steps

    upper = axes.secondary_xaxis("top", functions=(to_steps, to_epochs))
    upper.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    upper.xaxis.set_major_formatter(thousands)
    upper.set_xlabel(label)


def thousands(value: float, _position: float = 0) -> str:
    """Format a number of steps or spectra, as tick labels are."""
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
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, paths: Iterable[Path]) -> None:
    """Write a figure to several files, the format of each by its suffix; the same figure always has the same bytes."""
    for path in paths:
        # a date in the file would make every figure differ from its last version
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
        with house_style(), whole_file(path) as temporary:
            figure.savefig(temporary, metadata=metadata)
