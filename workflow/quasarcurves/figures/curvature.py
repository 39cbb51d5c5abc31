"""Curvature of the loss in the metric of the optimizer, over the curvature beyond which its steps are unstable.

Caption
-------
Curvature of the loss in the optimizer's own metric over its stability threshold, replicate 0, training set of fraction
{fraction}: above the dashed line steps are unstable. Of a probe of training examples, the largest eigenvalue of the
preconditioned Hessian (sharpness) and the curvature along the preconditioned gradient, over the threshold of full
batches (Cohen et al. 2022, arXiv:2207.14484; Bai et al. 2025, arXiv:2506.04805); of batches of the training's size, the
curvature along each one's own preconditioned gradient, over the lower threshold of small batches (Andreyev &
Beneventano 2024, arXiv:2412.20553). Ticks at the foot are onsets of spikes found in steps. Values that are not positive
are left out. Optimizers without a known threshold are not shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import PLAIN, Description
from quasarcurves.figures import style
from quasarcurves.training.history import History

_PANEL_HEIGHT = 1.6
_LINES: dict[str, dict[str, Any]] = {
    "sharpness": {"threshold": "threshold", "color": style.OKABE_ITO[0], "label": "sharpness"},
    "gradient_curvature": {
        "threshold": "threshold",
        "color": style.OKABE_ITO[1],
        "linestyle": style.DASHES[1],
        "label": "curvature along the gradient",
    },
    "batch_sharpness": {
        "threshold": "batch_threshold",
        "color": style.OKABE_ITO[4],
        "linestyle": style.DASHES[3],
        "label": "batch sharpness",
    },
}
_THRESHOLD: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 0.8, "label": "stability threshold"}
_ONSETS: dict[str, Any] = {
    "color": style.OKABE_ITO[2],
    "marker": "|",
    "markersize": 7,
    "label": "onset of a spike",
}


def draw(histories: Iterable[History], spikes: pd.DataFrame, examples: str = "examples") -> Figure:
    """Draw the curvatures measured in some runs, a panel per optimizer whose threshold is known.

    Parameters
    ----------
    histories : iterable of History
        One run per optimizer, all of one training-set size.
    spikes : DataFrame
        The study's `spikes.csv`.
    examples : str
        What several examples are called.

    Returns
    -------
    Figure
        Logarithmic: values that are not positive leave a gap.
    """
    runs = {run.params["optimizer"]: run for run in histories}
    measured = {name: run for name, run in runs.items() if len(_curvature(run).get("step", ()))}
    known = {name: run for name, run in measured.items() if np.isfinite(_threshold(run)).any()}
    if not measured:
        return style.say_only("no curvature was measured in these runs\n(diagnosis.curvature_every is 0)")
    if not known:
        return style.say_only(f"no stability threshold is known for\n{', '.join(measured)}")
    if not any(_has_points(run) for run in known.values()):
        return style.say_only(f"no curvature is finite and positive of\n{', '.join(known)}")
    columns = min(3, len(known))
    rows = math.ceil(len(known) / columns)
    figure = style.new_figure(style.COLUMN_WIDTH if columns == 1 else style.PAGE_WIDTH, _PANEL_HEIGHT * rows + 1.0)
    with style.house_style():
        panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
        for (name, run), axes in zip(known.items(), panels, strict=False):
            _draw_panel(axes, run, spikes)
            axes.set_title(f"{name}\n{_highest(run)}")
        _set_axes(figure, panels, len(known), columns)
        size, replicate = (next(iter(known.values())).params[key] for key in ("outcome", "replicate"))
        unknown = ", ".join(name for name in measured if name not in known)
        title = f"{size['n_train']:,} training {examples}, replicate {replicate}"
        title += f"\nno threshold known: {unknown}" if unknown else ""
        handles = figure.axes[0].get_legend_handles_labels()[0]
        figure.legend(handles=handles, title=title, loc="outside upper center", ncols=2 if columns == 1 else 4)
    return figure


def _curvature(run: History) -> Mapping[str, np.ndarray]:
    # histories written before curvature was measured have no such group
    return getattr(run, "curvature", {})


def _threshold(run: History) -> np.ndarray:
    return _column(run, "threshold")


def _column(run: History, name: str) -> np.ndarray:
    """Return a column of the curvature record, NaN where it was not recorded; (measurements,) float64."""
    curvature = _curvature(run)
    return np.asarray(curvature.get(name, np.full(len(curvature["step"]), np.nan)), float)


def _has_points(run: History) -> bool:
    return any((_column(run, name) / _column(run, line["threshold"]) > 0).any() for name, line in _LINES.items())


def _highest(run: History) -> str:
    """Return how far up the curvatures go, over their thresholds, in words."""
    ratios = {}
    for name, short in (("sharpness", "sharpness"), ("batch_sharpness", "of batches")):
        ratio = _column(run, name) / _column(run, _LINES[name]["threshold"])
        if np.isfinite(ratio).any():
            ratios[short] = np.nanmax(ratio)
    return f"up to: {', '.join(f'{short} {ratio:.2g}' for short, ratio in ratios.items())}" if ratios else "none finite"


def _draw_panel(axes: Axes, run: History, spikes: pd.DataFrame) -> None:
    step = np.asarray(_curvature(run)["step"])
    for name, line in _LINES.items():
        if name not in _curvature(run):
            continue  # histories written before batches were measured
        ratio = _column(run, name) / _column(run, line["threshold"])
        how = {key: value for key, value in line.items() if key != "threshold"}
        style.plot_series(axes, step, np.where(ratio > 0, ratio, np.nan), **how)
    axes.axhline(1, **_THRESHOLD)
    keys = {"scale": "step", **{key: run.params[key] for key in ("fraction", "replicate", "optimizer")}}
    onsets = spikes[np.logical_and.reduce([spikes[key] == value for key, value in keys.items()])]["onset"].to_numpy()
    # at the foot of the panel, whatever the curvatures are
    foot = np.full(len(onsets), 0.06)
    style.plot_marks(axes, onsets, foot, transform=axes.get_xaxis_transform(), **_ONSETS)


def _set_axes(figure: Figure, panels: list[Axes], drawn: int, columns: int) -> None:
    panels[0].set_yscale("log")
    panels[0].margins(x=0.02)
    panels[0].xaxis.set_major_formatter(style.thousands)
    panels[0].locator_params(axis="x", nbins=4)
    style.decades(panels[0].yaxis)
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low / (high / low) ** 0.15, high)  # room for the onsets
    for axes in panels[drawn:]:
        axes.set_axis_off()
    for axes in panels[max(drawn - columns, 0) : drawn]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("optimizer step", fontsize=8)
    figure.supylabel("curvature / threshold", fontsize=8)


def plot(*, histories: Path, spikes: Path, fraction: float, description: Description = PLAIN) -> Figure:
    """Return the curvatures of one fraction's first replicate over their stability thresholds."""
    return draw(
        tables.by_run(histories, fraction=fraction, replicate=0), tables.read(spikes), examples=description.examples
    )
