"""Training and validation loss against epoch together, a panel per training-set size, for one optimizer.

Caption
-------
Training and validation loss of ``{optimizer}`` against epoch, a panel per size of the training set. Strong lines are
medians over replicates, thin ones the replicates; the validation loss is drawn at the epochs where it was
computed. Circles mark the validation loss of the weights kept as the best, ticks at the top where sustained spikes of
any replicate peak; a cross marks where a run diverged.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import PLAIN, Description
from quasarcurves.analysis.spikes.wakes import read_sustained
from quasarcurves.figures import style

_PANEL_HEIGHT = 1.9
_TRAIN: dict[str, Any] = {"color": style.OKABE_ITO[0]}
_VALIDATION: dict[str, Any] = {"color": style.OKABE_ITO[1], "linestyle": style.DASHES[1]}
_SPIKE: dict[str, Any] = {"marker": "|", "markersize": 6, "markeredgewidth": 0.7, "color": "black"}
_BEST: dict[str, Any] = {"marker": "o", "markersize": 4, "color": style.OKABE_ITO[1], "markerfacecolor": "white"}
_LINES, _MARKS = (
    {"training loss": _TRAIN, "validation loss": _VALIDATION},
    {"best epoch": _BEST, "sustained spike": _SPIKE},
)
_TOP = 0.96
"""Height of the ticks in a panel."""


def draw(
    epochs: pd.DataFrame,
    runs: pd.DataFrame,
    spikes: pd.DataFrame,
    optimizer: str,
    loss_range: tuple[float, float] | None = None,
    examples: str = "examples",
) -> Figure:
    """Draw both losses of an optimizer.

    Parameters
    ----------
    epochs, runs : DataFrame
        The study's `epochs.csv` and `runs.csv`.
    spikes : DataFrame
        Sustained spikes, as `wakes.read_sustained` returns them.
    optimizer : str
        Its name in the study.
    loss_range : pair of float, optional
        Lowest and highest loss shown.
    examples : str
        What several examples are called.

    Returns
    -------
    Figure
        Two columns wide, or one for a single size; logarithmic loss with one scale for all panels.
    """
    epochs, runs, spikes = (table[table["optimizer"] == optimizer] for table in (epochs, runs, spikes))
    fractions = sorted(runs["fraction"].unique(), reverse=True)
    columns = min(2, len(fractions))
    rows = math.ceil(len(fractions) / columns)
    figure = style.new_figure(style.PAGE_WIDTH if columns == 2 else style.COLUMN_WIDTH, _PANEL_HEIGHT * rows + 0.9)
    with style.house_style():
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
        for fraction, axes in zip(fractions, panels, strict=False):
            losses, trained, found = (table[table["fraction"] == fraction] for table in (epochs, runs, spikes))
            _draw_panel(axes, losses, trained, found, examples)
        figure.axes[0].set_ylim(loss_range)
        style.decades(figure.axes[0].yaxis)
        for axes in panels:  # those left over
            axes.set_axis_off()
        figure.supxlabel("epoch", fontsize=8)
        figure.supylabel("loss", fontsize=8)
        title = f"{optimizer}: training and validation loss; {style.RISES}: {style.say_rises(epochs)}"
        style.titled_legend(figure, _legend(), title, ncols=4 if columns == 2 else 2)
    return figure


def _legend() -> list[Line2D]:
    lines = [Line2D([], [], label=name, **line) for name, line in _LINES.items()]
    return lines + [Line2D([], [], linestyle="none", label=name, **mark) for name, mark in _MARKS.items()]


def _draw_panel(axes: Axes, epochs: pd.DataFrame, runs: pd.DataFrame, spikes: pd.DataFrame, examples: str) -> None:
    replicates = [run for _, run in epochs.groupby("replicate")]
    validated = [run.dropna(subset="val_loss") for run in replicates]
    validated = [run for run in validated if len(run)]
    axes.set_yscale("log")
    style.show_epochs(axes, epochs)
    style.draw_replicates(axes, replicates, "loss", "training loss", **_TRAIN)
    if validated:
        style.draw_replicates(axes, validated, "val_loss", "validation loss", **_VALIDATION)
        best = epochs.merge(runs[["replicate", "epoch_best"]].rename(columns={"epoch_best": "epoch"}))
        best = best.dropna(subset="val_loss").sort_values("epoch")
        style.plot_marks(axes, best["epoch"].to_numpy(), best["val_loss"].to_numpy(), zorder=3, **_BEST)
    peaks = _peak_epochs(spikes, float(runs["steps_per_epoch"].iloc[0]))
    if len(peaks):
        height = np.full(len(peaks), _TOP)
        style.plot_marks(axes, peaks, height, zorder=3, transform=axes.get_xaxis_transform(), **_SPIKE)
    diverged = [run for run in replicates if run["replicate"].iat[0] in _diverged(runs)]
    style.mark_diverged(axes, diverged, _TRAIN["color"])
    axes.set_title(_title(runs, len(peaks), bool(validated), examples))


def _peak_epochs(spikes: pd.DataFrame, steps_per_epoch: float) -> np.ndarray:
    """Where the spikes found in steps peak, in epochs counted from 1; rising."""
    steps = spikes.loc[spikes["scale"] == "step", "peak"].to_numpy(float)
    return np.sort(steps / steps_per_epoch + 0.5)


def _diverged(runs: pd.DataFrame) -> set[int]:
    return set(runs.loc[runs["diverged"].astype(bool), "replicate"])


def _title(runs: pd.DataFrame, spikes: int, validated: bool, examples: str) -> str:
    parts = [f"{runs['n_train'].median():,.0f} {examples}"]
    parts += [f"{len(runs)} replicates"] if len(runs) > 1 else []
    parts += [f"{spikes or 'no'} sustained spike{'s' if spikes != 1 else ''}"]
    remarks = [f"{len(_diverged(runs))} diverged"] if _diverged(runs) else []
    remarks += [] if validated else ["no validation"]
    return "\n".join(", ".join(line) for line in (parts, remarks) if line)


def plot(
    *, epochs: Path, runs: Path, spikes: Path, optimizer: str, style: dict, description: Description = PLAIN
) -> Figure:
    """Return training and validation loss of one optimizer for every fraction."""
    losses = tables.read(epochs, [*tables.LOSS_COLUMNS, "val_loss"])
    return draw(losses, tables.read(runs), read_sustained(spikes), optimizer, **style, examples=description.examples)
