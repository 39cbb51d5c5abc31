"""Training loss against epoch, one curve per optimizer, a panel per training-set size.

Caption
-------
Training loss against epoch, one curve per optimizer, a panel per size of the training set. Strong lines are medians
over replicates, thin ones the replicates; a cross marks where a run diverged. The upper axis counts optimizer steps,
where all runs of a panel have the same number in an epoch.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import PLAIN, Description
from quasarcurves.figures import style

_PANEL_HEIGHT = 2.0
_MOST_NAMED = 4
"""Optimizers whose runs that rise are counted one by one in the title."""


def draw(
    epochs: pd.DataFrame,
    runs: pd.DataFrame,
    loss_range: tuple[float, float] | None = None,
    examples: str = "examples",
) -> Figure:
    """Draw the losses of all optimizers of a study.

    Parameters
    ----------
    epochs, runs : DataFrame
        The study's `epochs.csv` and `runs.csv`.
    loss_range : pair of float, optional
        Lowest and highest loss shown.
    examples : str
        What several examples are called.

    Returns
    -------
    Figure
        Two columns wide; logarithmic loss with one scale for all panels, and in each a second x axis in steps, if
        its runs have equally many in an epoch.
    """
    fractions = sorted(runs["fraction"].unique(), reverse=True)
    columns = min(2, len(fractions))
    rows = math.ceil(len(fractions) / columns)
    figure = style.new_figure(style.PAGE_WIDTH if columns == 2 else style.COLUMN_WIDTH, _PANEL_HEIGHT * rows + 0.8)
    with style.house_style():
        panels = figure.subplots(rows, columns, sharex=_of_one_length(epochs), sharey=True, squeeze=False).flat
        for fraction, axes in zip(fractions, panels, strict=False):
            losses, trained = (table[table["fraction"] == fraction] for table in (epochs, runs))
            _draw_panel(axes, losses, trained, _lines(runs))
            _say_size(axes, trained, examples)
        figure.axes[0].set_ylim(loss_range)
        for axes in panels:  # those left over
            axes.set_axis_off()
        figure.supxlabel("epoch", fontsize=8)
        figure.supylabel("training loss", fontsize=8)
        style.titled_legend(figure, _handles(runs), _title(epochs), ncols=6 if columns == 2 else 2)
    return figure


def _lines(runs: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the line of each optimizer of a study, the same in all panels."""
    names = sorted(runs["optimizer"].unique())
    lines = zip(names, style.categorical(len(names)), strict=True)
    return {name: {"color": color, "linestyle": dash} for name, (color, dash) in lines}


def _handles(runs: pd.DataFrame) -> list[Line2D]:
    return [Line2D([], [], label=name, **line) for name, line in _lines(runs).items()]


def _title(epochs: pd.DataFrame) -> str:
    """Return how many runs rise, for each optimizer, or for all of them together if they are many."""
    by_optimizer = epochs.groupby("optimizer", sort=True)
    if by_optimizer.ngroups > _MOST_NAMED:
        return f"{style.RISES}: {style.say_rises(epochs)}"
    return f"{style.RISES}: " + ", ".join(f"{name} {style.say_rises(of)}" for name, of in by_optimizer)


def _of_one_length(epochs: pd.DataFrame) -> bool:
    """Whether one axis of epochs fits all sizes: with equal numbers of steps, small sets have many more epochs."""
    longest = epochs.groupby("fraction")["epoch"].max()
    return longest.max() < 2 * longest.min()


def _draw_panel(axes: Axes, epochs: pd.DataFrame, runs: pd.DataFrame, lines: dict[str, dict[str, Any]]) -> None:
    for optimizer in sorted(runs["optimizer"].unique()):
        line = lines[optimizer]
        replicates = [run for _, run in epochs[epochs["optimizer"] == optimizer].groupby("replicate")]
        style.draw_replicates(axes, replicates, "loss", optimizer, **line)
        diverged = set(runs.loc[runs["diverged"] & (runs["optimizer"] == optimizer), "replicate"])
        style.mark_diverged(axes, [run for run in replicates if run["replicate"].iat[0] in diverged], line["color"])
    axes.set_yscale("log")
    style.show_epochs(axes, epochs)
    if runs["steps_per_epoch"].nunique() == 1:
        style.add_steps_axis(axes, float(runs["steps_per_epoch"].to_numpy()[0]), "optimizer steps")


def _say_size(axes: Axes, runs: pd.DataFrame, examples: str) -> None:
    words = f"{runs['n_train'].median():,.0f} training {examples}"
    axes.text(0.97, 0.95, words, transform=axes.transAxes, ha="right", va="top")


def plot(*, epochs: Path, runs: Path, style: dict, description: Description = PLAIN) -> Figure:
    """Return the losses of all optimizers side by side."""
    return draw(tables.read(epochs, tables.LOSS_COLUMNS), tables.read(runs), **style, examples=description.examples)
