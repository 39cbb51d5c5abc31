"""Training loss against epoch, one curve per training-set size, for one optimizer.

Caption
-------
Training loss of ``{optimizer}`` against epoch, one colour per size of the training set. Strong lines are medians over
replicates, thin ones the replicates; a cross marks where a run diverged. The legend has the steps of an epoch.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import PLAIN, Description
from quasarcurves.figures import style


def draw(
    epochs: pd.DataFrame,
    runs: pd.DataFrame,
    optimizer: str,
    loss_range: tuple[float, float] | None = None,
    examples: str = "examples",
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
    examples : str
        What several examples are called.

    Returns
    -------
    Figure
        One column wide; logarithmic loss.
    """
    epochs, runs = epochs[epochs["optimizer"] == optimizer], runs[runs["optimizer"] == optimizer]
    fractions = sorted(runs["fraction"].unique(), reverse=True)
    figure = style.new_figure(style.COLUMN_WIDTH, 3.0 + 0.14 * len(fractions))
    with style.house_style():
        axes = figure.add_subplot()
        for i, (fraction, color) in enumerate(zip(fractions, style.sequential(len(fractions)), strict=True)):
            of_fraction = runs[runs["fraction"] == fraction]
            replicates = [run for _, run in epochs[epochs["fraction"] == fraction].groupby("replicate")]
            diverged = of_fraction.loc[of_fraction["diverged"], "replicate"]
            label = f"{of_fraction['n_train'].median():,.0f}  ({fraction:g})"
            label += f", {_steps(of_fraction)} steps an epoch"
            label += f", {len(diverged)} diverged" if len(diverged) else ""
            # smaller sets are noisier: the larger ones are drawn over them
            style.draw_replicates(axes, replicates, "loss", label, color=color, zorder=3 - 0.1 * i)
            style.mark_diverged(axes, [run for run in replicates if run["replicate"].iat[0] in set(diverged)], color)
        axes.set(yscale="log", xlabel="epoch", ylabel="training loss", ylim=loss_range)
        style.show_epochs(axes, epochs)
        title = f"{optimizer}: training loss by training {examples} (fraction of the data); {style.RISES}: "
        handles, _ = axes.get_legend_handles_labels()
        style.titled_legend(figure, handles, title + style.say_rises(epochs), ncols=1)
    return figure


def _steps(runs: pd.DataFrame) -> str:
    """Return the steps of an epoch, from the fewest to the most if runs differ."""
    fewest, most = runs["steps_per_epoch"].min(), runs["steps_per_epoch"].max()
    return f"{fewest:,.0f}" if fewest == most else f"{fewest:,.0f} to {most:,.0f}"


def plot(*, epochs: Path, runs: Path, optimizer: str, style: dict, description: Description = PLAIN) -> Figure:
    """Return the losses of one optimizer for every fraction."""
    return draw(
        tables.read(epochs, tables.LOSS_COLUMNS), tables.read(runs), optimizer, **style, examples=description.examples
    )
