"""Do confidences mean probabilities, before and after they are scaled?

Caption
-------
Calibration of the final models of {optimizer} on the test set, by one line. Left: share of quasars against confidence
at its largest size, in bins of equally many spectra, a line per replicate; on the diagonal confidences are
probabilities. Right: expected calibration error against the number of training spectra, of confidences as they are and
after they are scaled by a slope and an offset that are fitted on the validation set: medians over replicates, the
lowest and the highest. Below the dashed line of its colour an error is what chance gives where confidences are
probabilities (95th percentile, median over replicates). Scaling changes neither purity nor completeness. The tables are
``calibration.csv`` and ``reliability.csv``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quasarcurves.analysis import tables
from quasarcurves.figures import style

_KINDS = {"as it is": ("#0072B2", "o", "as they are"), "scaled": ("#D55E00", "s", "scaled")}
"""Colour, mark and name of each."""

_ERRORS = {"as it is": ("calibration_error", "by_chance_high"), "scaled": ("scaled_error", "scaled_by_chance_high")}
"""Columns of each: the error, and what chance gives."""


def draw(calibration: pd.DataFrame, reliability: pd.DataFrame, title: str) -> Figure:
    """Draw the calibration of one optimizer.

    Parameters
    ----------
    calibration, reliability : DataFrame
        Of `analysis.calibrate.write`: rows of one optimizer, one line and the final models.
    title : str
    """
    figure = style.new_figure(style.PAGE_WIDTH, 3.2)
    with style.house_style():
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
        largest = reliability["n_train"].max()
        _draw_curves(left, reliability[reliability["n_train"] == largest])
        left.set_title(f"{largest:,} training spectra", fontsize=8)
        _draw_errors(right, calibration[calibration["sample"] == "all"])
        figure.suptitle(title)
    return figure


def _draw_curves(axes: Axes, reliability: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=0)
    for kind, (color, mark, label) in _KINDS.items():
        of_kind = reliability[reliability["kind"] == kind]
        for i, (_, curve) in enumerate(of_kind.groupby("replicate")):
            axes.plot(curve["confidence"], curve["share"], f"{mark}-", color=color, markersize=2.5, linewidth=0.7,
                      alpha=0.8, label=label if i == 0 else None)  # fmt: skip
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="confidence", ylabel="share of quasars")
    axes.set_aspect("equal")
    axes.legend(loc="upper left")


def _draw_errors(axes: Axes, calibration: pd.DataFrame) -> None:
    for i, (kind, (error, by_chance)) in enumerate(_ERRORS.items()):
        color, mark, label = _KINDS[kind]
        groups = calibration.groupby("n_train")[error]
        middle, low, high = groups.median(), groups.min(), groups.max()
        if middle.notna().any():
            at = middle.index.to_numpy(float) * (1 + 0.03 * (2 * i - 1))
            axes.errorbar(at, middle, [middle - low, high - middle], fmt=f"{mark}-", color=color, markersize=3.5,
                          linewidth=0.9, elinewidth=0.8, label=label)  # fmt: skip
            chance = calibration.groupby("n_train")[by_chance].median()
            axes.plot(at, chance, "--", marker="_", color=color, linewidth=0.8, label=f"{label}, by chance")
    sizes = np.unique(calibration["n_train"])
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)
    axes.set_ylim(0, None)
    axes.set(xlabel="training spectra", ylabel="expected calibration error")
    axes.legend(loc="best")


def _finding(calibration: pd.DataFrame) -> str:
    """Return in how many models confidences are surely no probabilities, before and after."""
    rows = calibration[calibration["sample"] == "all"]
    before, known = int((rows["is_off"] == True).sum()), int(rows["calibration_error"].notna().sum())  # noqa: E712  (a table's values)
    if not rows["scaled_error"].notna().any():
        return f"confidences of {before} of {known} models are no probabilities; too few spectra to scale them by"
    after, scaled = int((rows["scaled_is_off"] == True).sum()), int(rows["scaled_error"].notna().sum())  # noqa: E712
    return f"confidences of {before} of {known} models are no probabilities, scaled ones of {after} of {scaled}"


def plot(calibration: Path, reliability: Path, optimizer: str) -> Figure:
    """Return the figure of one optimizer from the tables of a study."""
    errors, curves = (_of(tables.read(path), optimizer) for path in (calibration, reliability))
    if not errors["calibration_error"].notna().any():
        return style.say_only(f"{optimizer}: no test spectrum of known class has a confidence")
    return draw(errors, curves, f"{optimizer}: {_finding(errors)}")


def _of(table: pd.DataFrame, optimizer: str) -> pd.DataFrame:
    chosen = (table["optimizer"] == optimizer) & (table["model"] == "final") & (table["n_detect"] == 1)
    return table[chosen]
