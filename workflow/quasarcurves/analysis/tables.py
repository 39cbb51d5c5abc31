"""Tables of many runs: the keys of a row, reading and writing, and histories in the order of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from quasarcurves.files import whole_file
from quasarcurves.training.history import History, runs_of
from quasarcurves.training.settings import LOSS

RUN_KEYS = ["fraction", "replicate", "optimizer"]
LOSS_COLUMNS = [*RUN_KEYS, "epoch", "loss"]
"""The columns of epochs.csv that figures of losses need: a quarter of the table."""


def read(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table written here, or some of its columns; fractions come back as numbers, optimizers as text.

    Raises
    ------
    ValueError
        If a column asked for is missing.
    """
    wanted = None if columns is None else list(columns)
    return pd.read_csv(path, dtype={"optimizer": str, "reference": str}, usecols=wanted)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table, each by the names of its columns."""
    return cast(list[dict[str, Any]], table.to_dict("records"))


def by_run(histories: Path, **wanted: object) -> Iterator[History]:
    """Yield histories by falling fraction, then replicate and optimizer; only those whose parameters are as wanted."""
    keys = {
        name: run_key(params)
        for name, params in runs_of(histories)
        if all(params[key] == value for key, value in wanted.items())
    }
    for name in sorted(keys, key=lambda name: (-keys[name][0], *keys[name][1:])):
        yield History.load(histories, name)


def run_key(params: Mapping[str, Any]) -> tuple[float, int, str]:
    """Return fraction, replicate and optimizer of a run from its parameters."""
    return params["fraction"], params["replicate"], params["optimizer"]


def of_run(column: pd.Series, keys: Mapping[str, Any], path: Path) -> Any:
    """Return the value of a column, indexed by the keys of runs, that is of a run.

    Raises
    ------
    ValueError
        If the table, which was read from `path`, has no such run.
    """
    key = tuple(keys[name] for name in RUN_KEYS)
    if key not in column.index:
        fraction, replicate, optimizer = key
        raise ValueError(f"{path}: no row of fraction {fraction:g}, replicate {replicate}, optimizer {optimizer}")
    return column[key]


def best_epoch(history: History) -> int | None:
    """Return the epoch (from 1) of the weights that a run has kept as its best; None if it was never validated.

    By the lowest validation loss or, where the run's `training.best` names a score, by the best of these on the
    validation set, the lower loss of equal ones (`record.Record.keep_if_best`).
    """
    val_loss = np.asarray(history.epochs["val_loss"], float)
    if not np.isfinite(val_loss).any():
        return None
    best = history.params.get("training", {}).get("best", LOSS)
    if best == LOSS:
        return int(np.nanargmin(val_loss)) + 1
    sign = -1 if history.params.get("outcome", {}).get("best_is") == "lower" else 1
    score = sign * np.asarray(history.epochs[f"val_{best}"], float)
    return int(np.lexsort([val_loss, -np.where(np.isfinite(score), score, -np.inf)])[0]) + 1


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, to 8 digits."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.8g")


def write_parts(parts: Iterable[pd.DataFrame], path: Path, digits: int = 6) -> None:
    """Write a table that comes in parts of the same columns as CSV, holding one part at a time.

    Parameters
    ----------
    parts : iterable of DataFrame
    path : Path
    digits : int
        Significant digits of numbers that are no integers.

    Raises
    ------
    ValueError
        If there is no part.
    """
    parts = iter(parts)
    first = next(parts, None)
    if first is None:
        raise ValueError(f"{path}: there is nothing to write")
    with whole_file(path) as temporary:
        for i, part in enumerate(chain([first], parts)):
            part[first.columns].to_csv(temporary, index=False, float_format=f"%.{digits}g", mode="a", header=not i)
