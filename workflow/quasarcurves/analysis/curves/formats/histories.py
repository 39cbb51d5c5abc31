"""Histories of this library: history.h5 of a run, histories.h5 of many, or a folder that holds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from quasarcurves.analysis.curves.tables import EPOCH, STEP, Table
from quasarcurves.quasarnet.foreign_files import check_links
from quasarcurves.training.history import History, runs_of

NAME = "history.h5 of this library"

_SUFFIXES = (".h5", ".hdf5")
_FACTS = {"examples": "n_train", "steps_per_epoch": "steps_per_epoch"}


def claims(path: Path) -> bool:
    """Return whether a file is called as HDF5, or a folder holds a history."""
    if path.is_file():
        return path.suffix.lower() in _SUFFIXES
    return (path / "histories.h5").is_file() or next(path.rglob("history.h5"), None) is not None


def read(path: Path) -> list[Table]:
    """Return a table per run: losses of steps, with validation losses where an epoch ends.

    Raises
    ------
    ValueError
        If it is no history, or leads to other files.
    """
    if path.is_dir():
        together = path / "histories.h5"
        files = [together] if together.is_file() else sorted(path.rglob("history.h5"))
        return [table for file in files for table in read(file)]
    check_links(path)
    names = [name for name, _ in runs_of(path)]
    if not names:  # a run's own
        return [_of_run(History.load(path), path, "")]
    return [_of_run(History.load(path, name), path, name) for name in names]


def _of_run(history: History, path: Path, name: str) -> Table:
    outcome = history.params.get("outcome", {})
    told = {ours: outcome.get(theirs) for ours, theirs in _FACTS.items()}
    told["batch_size"] = history.params.get("training", {}).get("batch_size")
    facts = {name: float(value) for name, value in told.items() if value}  # a recorder may not know them
    name = name or _name(history, path)
    epochs = history.epochs
    if "loss" in history.steps and len(steps := history.steps["loss"]):
        columns = pd.DataFrame({"global_step": np.arange(1, len(steps) + 1), "loss": steps})
        if "val_loss" in epochs and "step" in epochs:
            columns["val_loss"] = np.nan
            ends = np.asarray(epochs["step"], int) - 1
            inside = (ends >= 0) & (ends < len(columns))
            columns.loc[ends[inside], "val_loss"] = np.asarray(epochs["val_loss"], float)[inside]
        return Table(path, columns, name=name, per=STEP, single=True, facts=facts)
    columns = pd.DataFrame({"epoch": np.arange(1, len(epochs["loss"]) + 1), "loss": epochs["loss"]})
    if "val_loss" in epochs:
        columns["val_loss"] = epochs["val_loss"]
    return Table(path, columns, name=name, per=EPOCH, facts=facts)


def _name(history: History, path: Path) -> str:
    if path.stem != "history":
        return path.stem
    params = history.params
    if "optimizer" in params and "fraction" in params:
        return f"f{params['fraction']:g}_r{params.get('replicate', 0)}/{params['optimizer']}"
    return path.absolute().parent.name
