"""Losses of all runs as data of the page: thinned to what a screen can show, and packed as 32-bit numbers.

Around spikes, where one looks closer, the losses of all steps are kept.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from quasarcurves.analysis import tables
from quasarcurves.analysis.tables import RUN_KEYS
from quasarcurves.figures import style
from quasarcurves.training.history import History

_MOST_POINTS = 250_000
"""Points of all runs together, of steps and of epochs each: more would make the page larger than it has to be."""

_FEWEST_POINTS = 1000
"""Points that every run has, however many runs there are."""

_BEFORE, _AFTER = 300, 1000
"""Steps before the onset of a spike and after it of which each is kept, of the highest spikes first."""

_SHARE_AT_SPIKES = 0.5
"""Most points that these add, in units of the points that a run has without them."""

_MOST_SPIKES = 20_000
"""Spikes that are marked; of more, the highest."""


_NONE = np.empty(0, np.int64)


def of_study(histories: Path, spikes: pd.DataFrame) -> dict[str, Any]:
    """Return what the loss chart of the page shows.

    Parameters
    ----------
    histories : Path
        The study's `histories.h5`.
    spikes : DataFrame
        The study's `spikes.csv`.

    Returns
    -------
    dict
        `runs`, a mapping each: its keys, `n_train`, and `epoch`, `validation` and `step`, which are series. A series
        has `x` (uint32) and `y` (float32), little-endian in base64. Epochs are counted from 1, steps from 0; the
        highest spikes have every step. `validation` also has `step`: the steps done by then. `spikes` has of each scale
        lists of run, x, y, kind and height. `colours` has those of optimizers and, dark to light, of sizes.
    """
    n_runs = sum(1 for _ in tables.by_run(histories))
    points = max(_FEWEST_POINTS, _MOST_POINTS // max(n_runs, 1))
    spikes = spikes.nlargest(_MOST_SPIKES, "height_ratio") if len(spikes) > _MOST_SPIKES else spikes
    grouped = dict(list(spikes.groupby(RUN_KEYS)))
    runs: list[dict[str, Any]] = []
    marks: dict[str, list[list[Any]]] = {"epoch": [], "step": []}
    for number, history in enumerate(tables.by_run(histories)):
        keys = tables.run_key(history.params)
        losses = {"epoch": np.asarray(history.epochs["loss"]), "step": np.asarray(history.steps["loss"])}
        own = grouped.get(keys, spikes.iloc[:0])
        runs.append({**_named(history), **_series(history, losses, points, own)})
        _mark(marks, number, own, losses)
    return {"runs": runs, "spikes": marks, "colours": _colours()}


def _named(history: History) -> dict[str, Any]:
    names = dict(zip(RUN_KEYS, tables.run_key(history.params), strict=True))
    return {**names, "n_train": int(history.params["outcome"]["n_train"])}


def _series(history: History, losses: dict[str, np.ndarray], points: int, spikes: pd.DataFrame) -> dict[str, Any]:
    val_loss = np.asarray(history.epochs["val_loss"], np.float32)
    validated = np.flatnonzero(np.isfinite(val_loss))
    validated = validated[style.seen(val_loss[validated], points // 2)] if len(validated) else validated
    return {
        "epoch": _thinned(losses["epoch"], points, first=1),
        "step": _thinned(losses["step"], points, first=0, kept=_around(spikes, len(losses["step"]), points)),
        "validation": {
            **_packed(validated + 1, val_loss[validated]),
            "step": _base64(np.asarray(history.epochs["step"])[validated], "<u4"),
        },
    }


def _around(spikes: pd.DataFrame, n_steps: int, points: int) -> np.ndarray:
    """Return the steps around the highest spikes of a run, (n,) int64."""
    most = int(_SHARE_AT_SPIKES * points) // (_BEFORE + _AFTER)
    if spikes.empty or not most:
        return _NONE
    highest = spikes[spikes["scale"] == "step"].nlargest(most, "height_ratio")
    steps = highest["onset"].to_numpy(np.int64)[:, None] + np.arange(-_BEFORE, _AFTER)
    return steps[(steps >= 0) & (steps < n_steps)]


def _thinned(values: np.ndarray, points: int, first: int, kept: np.ndarray = _NONE) -> dict[str, str]:
    if not len(values):
        return _packed(values, values)
    values = np.ascontiguousarray(values, np.float32)
    shown = np.union1d(style.seen(values, points // 2), kept)
    return _packed(shown + first, values[shown])


def _packed(x: np.ndarray, y: np.ndarray) -> dict[str, str]:
    return {"x": _base64(x, "<u4"), "y": _base64(y, "<f4")}


def _base64(values: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode()


def _mark(marks: dict[str, list[list[Any]]], run: int, spikes: pd.DataFrame, losses: dict[str, np.ndarray]) -> None:
    """Add the spikes of a run at their peaks, where its record reaches as far."""
    for row in tables.records(spikes):
        scale, peak = str(row["scale"]), int(row["peak"])
        loss = losses.get(scale, np.empty(0))
        if peak < len(loss) and np.isfinite(loss[peak]):
            height = round(float(row["height_ratio"]), 2) if np.isfinite(row["height_ratio"]) else None
            marks[scale].append([run, peak + (scale == "epoch"), round(float(loss[peak]), 6), row["kind"], height])


def _colours() -> dict[str, list[str]]:
    def sequential(low: float, high: float) -> list[str]:
        return [to_hex(mpl.colormaps["viridis"](place)) for place in np.linspace(low, high, 12)]

    return {"optimizers": style.OKABE_ITO, "light": sequential(0.0, 0.85), "dark": sequential(0.45, 1.0)}
