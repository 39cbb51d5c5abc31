"""Training loss against epoch, one curve per training-set size, for one optimizer.

Caption
-------
Training loss of ``{optimizer}`` against epoch, one curve per size of the training set. Lines are medians over
replicates, bands go from the lowest to the highest, thin lines are single runs where there are at most five; a cross
marks where a run diverged, on the upper edge if it did so in its first epoch. With one size the upper axis counts
optimizer steps; several have different numbers of them in an epoch.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from quasarcurves.analysis import tables
from quasarcurves.figures import style


def draw(
    epochs: pd.DataFrame, runs: pd.DataFrame, optimizer: str, loss_range: tuple[float, float] | None = None
) -> Figure:
    """Draw the losses of an optimizer.

    Parameters
    ----------
    epochs, runs : DataFrame
        The study's `epochs.csv` and `runs.csv`.
    optimizer : str
        Its name in the study.
    loss_range : pair of float, optional
        Lowest and highest loss shown.

    Returns
    -------
    Figure
        One column wide; logarithmic loss. A second x axis in steps where an epoch of all runs has as many.
    """
    epochs, runs = epochs[epochs["optimizer"] == optimizer], runs[runs["optimizer"] == optimizer]
    fractions = sorted(runs["fraction"].unique(), reverse=True)
    figure = style.new_figure(style.COLUMN_WIDTH, 3.0 + 0.1 * len(fractions))
    with style.house_style():
        axes = figure.add_subplot()
        for i, (fraction, color) in enumerate(zip(fractions, style.sequential(len(fractions)), strict=True)):
            of_fraction = runs[runs["fraction"] == fraction]
            replicates = [run for _, run in epochs[epochs["fraction"] == fraction].groupby("replicate")]
            diverged = of_fraction.loc[of_fraction["diverged"], "replicate"]
            label = f"{of_fraction['n_train'].median():,.0f}  ({fraction:g})"
            label += f", {len(diverged)} diverged" if len(diverged) else ""
            # smaller sets are noisier: the larger ones are drawn over them
            style.draw_replicates(axes, replicates, "loss", label, color=color, zorder=3 - 0.1 * i)
            style.mark_diverged(axes, [run for run in replicates if run["replicate"].iat[0] in set(diverged)], color)
        axes.set(
            yscale="log",
            xlabel="epoch",
            ylabel="training loss",
            xlim=style.epoch_limits(epochs["epoch"]),
            ylim=loss_range,
        )
        style.add_steps_axis(axes, runs["steps_per_epoch"], "optimizer steps")
        title = f"{optimizer}: training spectra (fraction)"
        figure.legend(*axes.get_legend_handles_labels(), title=title, loc="outside upper center", ncols=2)
    return figure


def plot(*, epochs: Path, runs: Path, optimizer: str, style: dict) -> Figure:
    """Return the losses of one optimizer for every fraction."""
    return draw(tables.read(epochs, tables.LOSS_COLUMNS), tables.read(runs), optimizer, **style)
