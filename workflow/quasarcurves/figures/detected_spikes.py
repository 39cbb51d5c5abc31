"""The spikes found, on the loss that was searched: over all epochs, and the highest one step by step.

Caption
-------
Spikes of ``{optimizer}``, a row per size of the training set with any. Of each size the replicate is shown that has the
highest sustained spike. Left: mean loss of each epoch, with the spikes found in it. Right: the loss of every step
around the highest one found in steps, which is grey on the left; steps are counted from 0, and heights are the loss
over its own running median. A spike is sustained if the running median over 31 steps rises above twice the course of
the loss; crosses are single hard batches, which move the loss for some steps and no longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import PLAIN, Description
from quasarcurves.analysis.spikes import OUTLIER, SUSTAINED
from quasarcurves.analysis.tables import RUN_KEYS, run_key
from quasarcurves.figures import style
from quasarcurves.training.history import History

_PANEL_HEIGHT = 1.8
_LOSS, _PEAK, _ONSET = style.OKABE_ITO[:3]
_MARKS: dict[str, dict[str, Any]] = {
    # open and larger: still seen where a spike peaks at its first step
    "onset": {"marker": "^", "color": _ONSET, "markerfacecolor": "none", "markersize": 6},
    "peak": {"marker": "o", "color": _PEAK, "markersize": 3},
}
_HARD_BATCH: dict[str, Any] = {"marker": "x", "color": "0.35", "markersize": 4, "markeredgewidth": 0.8}
_PAD = 20
"""Least number of steps shown before and after the highest spike."""


def draw(
    histories: Iterable[History],
    spikes: pd.DataFrame,
    loss_range: tuple[float, float] | None = None,
    examples: str = "examples",
) -> Figure:
    """Draw the spikes of one optimizer, a row per training-set size.

    Each size shows the replicate with the highest sustained spike of steps; without any, with the highest of all;
    without any, of epochs; without any, the first.

    Parameters
    ----------
    histories : iterable of History
        The runs of the optimizer.
    spikes : DataFrame
        The study's `spikes.csv`.
    loss_range : pair of float, optional
        Lowest and highest loss shown of epochs.
    examples : str
        What several examples are called.

    Returns
    -------
    Figure
        Two columns wide. Left: logarithmic loss against epoch; right: against step (counted from 0), around the highest
        spike, where grey marks it on the left.

    Raises
    ------
    ValueError
        If there is no run.
    """
    runs = _most_spiky(histories, spikes)
    if not runs:
        raise ValueError("expected at least one history to draw, found none")
    spiky = [run for run in runs if len(_spikes_of(run, spikes))]
    without = [run for run in runs if not len(_spikes_of(run, spikes))]
    runs = spiky or runs[:1]
    figure = style.new_figure(style.PAGE_WIDTH, _PANEL_HEIGHT * len(runs) + 0.8)
    with style.house_style():
        rows = figure.subplots(len(runs), 2, squeeze=False, width_ratios=[3, 2])
        for run, (left, right) in zip(runs, rows, strict=True):
            found = _spikes_of(run, spikes)
            _draw_epochs(left, run, found[found["scale"] == "epoch"], loss_range)
            left.set_title(_size(run, examples))
            _draw_highest(right, left, run, found[found["scale"] == "step"])
        figure.supylabel("training loss", fontsize=8)
        named = {f"{name} of a sustained spike": mark for name, mark in _MARKS.items()} | {"hard batch": _HARD_BATCH}
        drawn = [left.plot([], [], linestyle="none", label=name, **mark)[0] for name, mark in named.items()]
        style.titled_legend(figure, drawn, _title(runs[0].params["optimizer"], spiky, without, examples), ncols=3)
    return figure


def _title(optimizer: str, spiky: list[History], without: list[History], examples: str) -> str:
    """Return at how many sizes spikes were found, and at which there are none."""
    found = f"{optimizer}: spikes found at {len(spiky) or 'none'} of {len(spiky) + len(without)} sizes"
    if not without:
        return found
    sizes = [f"{run.params['outcome']['n_train']:,}" for run in without]
    gone = sum(run.params["outcome"]["diverged"] for run in without)
    return f"{found}; no spike with {', '.join(sizes)} {examples}" + (f" ({gone} diverged)" if gone else "")


def _spikes_of(run: History, spikes: pd.DataFrame) -> pd.DataFrame:
    return spikes[np.logical_and.reduce([spikes[key] == run.params[key] for key in RUN_KEYS])]


def _most_spiky(histories: Iterable[History], spikes: pd.DataFrame) -> list[History]:
    """Choose the replicate to show of each fraction, by falling fraction; no more of them are held at a time."""
    heights_of = spikes.groupby([*RUN_KEYS, "scale", "kind"])["height_ratio"].max().to_dict()

    def heights(run: History) -> tuple[float, ...]:
        kinds = (("step", SUSTAINED), ("step", OUTLIER), ("epoch", SUSTAINED), ("epoch", OUTLIER))
        return *(heights_of.get((*run_key(run.params), *kind), 0.0) for kind in kinds), -run.params["replicate"]

    chosen: dict[float, History] = {}
    for run in histories:
        fraction = run.params["fraction"]
        chosen[fraction] = max(chosen.get(fraction, run), run, key=heights)
    return [chosen[fraction] for fraction in sorted(chosen, reverse=True)]


def _draw_epochs(axes: Axes, run: History, spikes: pd.DataFrame, loss_range: tuple[float, float] | None) -> None:
    loss = np.asarray(run.epochs["loss"], float)
    epoch = np.arange(1, len(loss) + 1)
    style.plot_series(axes, epoch, loss, color=_LOSS)
    _mark(axes, loss, spikes, first=1)
    if run.params["outcome"]["diverged"]:
        style.mark_diverged(axes, [pd.DataFrame({"epoch": epoch, "loss": loss})], "black")
    axes.set(yscale="log", xlabel="epoch", xlim=(0, len(loss) + 1), ylim=loss_range)
    style.decades(axes.yaxis)


def _size(run: History, examples: str) -> str:
    size, replicate = run.params["outcome"]["n_train"], run.params["replicate"]
    diverged = ", diverged" if run.params["outcome"]["diverged"] else ""
    return f"{size:,} {examples}, replicate {replicate}{diverged}"


def _draw_highest(axes: Axes, overview: Axes, run: History, spikes: pd.DataFrame) -> None:
    """Draw the losses of steps around the highest spike, and mark on the overview where that is."""
    if spikes.empty:
        style.say(axes, "no spike found in the losses of steps")
        return
    loss = run.steps["loss"]
    highest = spikes.sort_values(["kind", "height_ratio"]).iloc[-1]  # of the sustained ones, if there are any
    onset, end = highest["onset"], len(loss) - 1 if pd.isna(highest["end"]) else highest["end"]
    pad = max(_PAD, (end - onset) / 4)
    first, last = int(max(onset - pad, 0)), int(min(end + pad, len(loss) - 1))
    style.plot_series(axes, np.arange(first, last + 1), loss[first : last + 1], color=_LOSS)
    _mark(axes, loss, spikes[spikes["peak"].between(first, last)])
    axes.set(yscale="log", xlabel="optimizer step", xlim=(first, last))
    style.decades(axes.yaxis)
    axes.set_title(f"{_count(spikes)}; here {highest['height_ratio']:.3g}x")
    axes.xaxis.set_major_formatter(style.thousands)
    axes.locator_params(axis="x", nbins=4)
    per_epoch = run.params["outcome"]["steps_per_epoch"]
    overview.axvspan(first / per_epoch + 0.5, last / per_epoch + 1.5, color="0.85", linewidth=0, zorder=0)


def _mark(axes: Axes, loss: np.ndarray, spikes: pd.DataFrame, first: int = 0) -> None:
    """Mark spikes on a loss whose first value stands at `first`."""
    lasting, single = (spikes[spikes["kind"] == kind] for kind in (SUSTAINED, OUTLIER))
    for found, name, mark in (*((lasting, name, mark) for name, mark in _MARKS.items()), (single, "peak", _HARD_BATCH)):
        at = found[name].to_numpy(int)
        style.plot_marks(axes, first + at, loss[at], zorder=3, **mark)


def _count(spikes: pd.DataFrame) -> str:
    lasting = int((spikes["kind"] == SUSTAINED).sum())
    single = len(spikes) - lasting
    texts = [f"{lasting or 'none'} sustained"]
    texts += [f"{single} hard batch{'es' if single > 1 else ''}"] if single else []
    return ", ".join(texts)


def plot(*, histories: Path, spikes: Path, optimizer: str, style: dict, description: Description = PLAIN) -> Figure:
    """Return the spikes of one optimizer for every fraction."""
    return draw(
        tables.by_run(histories, optimizer=optimizer), tables.read(spikes), **style, examples=description.examples
    )
