"""Training loss against epoch, one curve per optimizer, a panel per training-set size.

Caption
-------
Training loss against epoch, one curve per optimizer, a panel per size of the training set. Lines are medians over
replicates, bands go from the lowest to the highest, thin lines are single runs where there are at most five; a cross
marks where a run diverged, on the upper edge if it did so in its first epoch. The upper axis counts optimizer steps,
where an epoch of all runs of a panel has as many.
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quasarcurves.analysis import tables
from quasarcurves.figures import style

_PANEL_HEIGHT = 2.0


def draw(epochs: pd.DataFrame, runs: pd.DataFrame, loss_range: tuple[float, float] | None = None) -> Figure:
    """Draw the losses of all optimizers of a study.

    Parameters
    ----------
    epochs, runs : DataFrame
        The study's `epochs.csv` and `runs.csv`.
    loss_range : pair of float, optional
        Lowest and highest loss shown.

    Returns
    -------
    Figure
        Two columns wide; logarithmic loss with one scale for all panels, and in each a second x axis in steps
        where an epoch of all its runs has as many.
    """
    fractions = sorted(runs["fraction"].unique(), reverse=True)
    columns = min(2, len(fractions))
    rows = math.ceil(len(fractions) / columns)
    figure = style.new_figure(style.PAGE_WIDTH if columns == 2 else style.COLUMN_WIDTH, _PANEL_HEIGHT * rows + 0.5)
    with style.house_style():
        panels = figure.subplots(rows, columns, sharex=_of_one_length(epochs), sharey=True, squeeze=False).flat
        for fraction, axes in zip(fractions, panels, strict=False):
            _draw_panel(axes, epochs[epochs["fraction"] == fraction], runs[runs["fraction"] == fraction])
        figure.axes[0].set_ylim(loss_range)
        for axes in panels:  # those left over
            axes.set_axis_off()
        figure.supxlabel("epoch", fontsize=8)
        figure.supylabel("training loss", fontsize=8)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=6 if columns == 2 else 2)
    return figure


def _of_one_length(epochs: pd.DataFrame) -> bool:
    """Whether one axis of epochs fits all sizes: with equal numbers of steps, small sets have many more epochs."""
    longest = epochs.groupby("fraction")["epoch"].max()
    return longest.max() < 2 * longest.min()


def _draw_panel(axes: Axes, epochs: pd.DataFrame, runs: pd.DataFrame) -> None:
    optimizers = sorted(runs["optimizer"].unique())
    for optimizer, (color, dash) in zip(optimizers, style.categorical(len(optimizers)), strict=True):
        replicates = [run for _, run in epochs[epochs["optimizer"] == optimizer].groupby("replicate")]
        style.draw_replicates(axes, replicates, "loss", optimizer, color=color, linestyle=dash)
        diverged = set(runs.loc[runs["diverged"] & (runs["optimizer"] == optimizer), "replicate"])
        style.mark_diverged(axes, [run for run in replicates if run["replicate"].iat[0] in diverged], color)
    axes.set(yscale="log", xlim=style.epoch_limits(epochs["epoch"]))
    axes.text(
        0.97,
        0.95,
        f"{runs['n_train'].median():,.0f} training spectra",
        transform=axes.transAxes,
        ha="right",
        va="top",
    )
    style.add_steps_axis(axes, runs["steps_per_epoch"], "optimizer steps")


def plot(*, epochs: Path, runs: Path, style: dict) -> Figure:
    """Return the losses of all optimizers side by side."""
    return draw(tables.read(epochs, tables.LOSS_COLUMNS), tables.read(runs), **style)
