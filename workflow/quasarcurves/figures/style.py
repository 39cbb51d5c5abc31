"""How all figures look: column width, colours that colour-blind readers can tell apart, and lines that differ in print.

Colours are those of Okabe & Ito (2008, "Color Universal Design"). Sizes of training sets, which are ordered, get a
sequential map instead, as lightness survives a photocopy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from quasarcurves.files import whole_file

COLUMN_WIDTH = 3.5
"""Inches: one column of a journal."""

PAGE_WIDTH = 7.2
"""Inches: both columns."""

OKABE_ITO = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
DASHES = ["-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2))]

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
    "savefig.dpi": 300,
    "svg.fonttype": "none",
    "svg.hashsalt": "quasarcurves",
    "pdf.fonttype": 42,
}


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of that size in inches, in the house style."""
    with mpl.rc_context(_RC):
        return Figure(figsize=(width, height), layout="constrained")


def house_style() -> object:
    """Context in which axes are made and drawn on in the house style."""
    return mpl.rc_context(_RC)


def sequential(n: int) -> list[tuple[float, float, float, float]]:
    """n colours from dark to light for ordered quantities; the palest part of the map is left out."""
    return [mpl.colormaps["viridis"](position) for position in np.linspace(0.0, 0.85, n)]


def categorical(n: int) -> list[tuple[str, object]]:
    """n pairs of colour and line style for things without an order."""
    return [(OKABE_ITO[i % len(OKABE_ITO)], DASHES[i % len(DASHES)]) for i in range(n)]


def draw_replicates(axes: Axes, runs: Sequence[pd.DataFrame], column: str, label: str, **line: object) -> None:
    """Draw a quantity against epoch: the median over replicates, and the band from the lowest to the highest.

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
    median = table.median(axis=1)
    (drawn,) = axes.plot(median.index, median, label=label, **line)
    if len(runs) > 1:
        axes.fill_between(
            median.index,
            table.min(axis=1),
            table.max(axis=1),
            color=drawn.get_color(),
            alpha=0.2,
            linewidth=0,
        )


def mark_diverged(axes: Axes, runs: Iterable[pd.DataFrame], color: object) -> None:
    """Mark the last finite loss of runs that diverged with a cross."""
    for run in runs:
        finite = run[np.isfinite(run["loss"])]
        last = finite.iloc[-1] if len(finite) else None
        x, y = (last["epoch"], last["loss"]) if last is not None else (1, 1)
        axes.plot(x, y, "X", color=color, markersize=6, markeredgecolor="white", markeredgewidth=0.5)


def add_steps_axis(axes: Axes, steps_per_epoch: float, label: str) -> None:
    """Add an upper x axis in optimizer steps to axes in epochs."""
    upper = axes.secondary_xaxis(
        "top", functions=(lambda epoch: epoch * steps_per_epoch, lambda step: step / steps_per_epoch)
    )
    upper.xaxis.set_major_formatter(thousands)
    upper.set_xlabel(label)


def thousands(value: float, _position: int | None = None) -> str:
    """Format a number of steps or spectra, as tick labels are."""
    return f"{value:,.0f}"


def say(axes: Axes, text: str) -> None:
    """Say in the place of a drawing why there is none."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", linespacing=1.5)


def say_only(text: str) -> Figure:
    """Make a figure that says why there is nothing to draw."""
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
    """Write a figure to several files, the format of each by its suffix; the same figure gives the same bytes."""
    for path in paths:
        # a date in the file would make every figure differ from its last version
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
        with house_style(), whole_file(path) as temporary:
            figure.savefig(temporary, metadata=metadata)
