"""From files, or arrays in memory, to loss curves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis.curves import columns, formats
from quasarcurves.analysis.curves.columns import FACTS, Roles
from quasarcurves.analysis.curves.curve import EPOCH, STEP, Curve, Told
from quasarcurves.analysis.curves.formats import json_files
from quasarcurves.analysis.curves.series import Series, in_order, on_grid
from quasarcurves.analysis.curves.tables import Table

_MOST_MISSING = 0.4
"""Where more than this part of the losses is missing, nothing was recorded there."""

MANY_ROWS = 2000
"""More values than this are taken as those of steps, where nothing says what they are of."""

_REPEATED = 0.1
"""Where more than this part of the rows is of the epoch before, a row is of a step."""

_RUNS = ("fraction", "replicate", "optimizer", "run", "run_id", "run_name", "seed", "trial", "fold", "experiment")
"""Columns that tell the runs of one table apart."""

_IN_NAMES = {
    "examples": re.compile(
        r"(?:^|[_\-. ])(?:n|ntrain|n_train|examples|samples)[_=-]?(\d{2,})(?=$|[_\-. ])", re.IGNORECASE
    ),
    "batch_size": re.compile(r"(?:^|[_\-. ])(?:bs|batch|batch_size|batchsize)[_=-]?(\d+)(?=$|[_\-. ])", re.IGNORECASE),
}
"""What names of files say of a training where they say it plainly."""

_MEMORY = Path("the losses given")


def read(paths: Iterable[str | Path], told: Told = Told()) -> list[Curve]:  # noqa: B008  (frozen)
    """Read the loss curves of files.

    Parameters
    ----------
    paths : iterable of str or Path
        Files or folders in any format of `formats`.
    told : Told
        What the user says of them.

    Returns
    -------
    list of Curve
        In the order of the files; of a file with several runs or losses one each.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is not as its format has it, or has no losses, or what is told is not of so many curves.
    """
    tables = [table for path in map(Path, paths) for table in formats.read(path)]
    return _curves(tables, told)


def from_object(loss: Any, val_loss: Any, told: Told) -> list[Curve]:
    """Return the curves of what a program holds.

    Parameters
    ----------
    loss : array, list, mapping, DataFrame, History, or path
        Losses; `history.history` of Keras or what `fit` returned; a table; curves by their labels; a file or several.
    val_loss : array or None
        Beside an array of losses: as many, NaN where none was computed, or one every few.
    told : Told

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if isinstance(loss, str | Path):
        return read([loss], told)
    if _is_list(loss) and len(loss) and all(isinstance(each, str | Path) for each in loss):
        return read(loss, told)
    if isinstance(loss, pd.DataFrame):
        return _curves([Table(_MEMORY, loss.rename(columns=str), name="loss", first_row=1)], told)
    if isinstance(getattr(loss, "history", None), Mapping):
        loss = loss.history
    if isinstance(loss, Mapping):
        return _curves([_named(table) for table in _of_mapping(loss)], told)
    if val_loss is not None:
        loss = {"loss": _flat(loss), "val_loss": _flat(val_loss)}
        return _curves([_named(table) for table in json_files.from_object(loss, _MEMORY)], told)
    return _curves([Table(_MEMORY, pd.DataFrame({"loss": _flat(loss)}), name="loss")], told)


def _of_mapping(given: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a history, or of curves by their labels."""
    lists = {str(name): values.tolist() if isinstance(values, np.ndarray) else values for name, values in given.items()}
    if any("loss" in columns.words(name) for name in lists) or not all(map(_is_list, lists.values())):
        return json_files.from_object(lists, _MEMORY)
    return [Table(_MEMORY, pd.DataFrame({"loss": _flat(values)}), name=name) for name, values in lists.items()]


def _named(table: Table) -> Table:
    return table if table.name else replace(table, name="loss")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray | pd.Series) and not isinstance(value, str | bytes)


def _flat(values: Any) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"loss: expected numbers, found {values!r}"[:200]) from error
    if array.ndim != 1:
        raise ValueError(f"loss: expected numbers of shape (t,), found {array.shape}")
    return array


def _curves(tables: Sequence[Table], told: Told) -> list[Curve]:
    found = [curve for table in tables for run in _runs(table) for curve in _of_table(run, told, len(tables))]
    if not found:
        raise ValueError("expected losses, found none in the files given")
    found = [_told_facts(curve, told, number, len(found)) for number, curve in enumerate(found)]
    return [_derived(replace(curve, label=label)) for curve, label in zip(found, _labels(found), strict=True)]


def _runs(table: Table) -> Iterator[Table]:
    """Yield a table per run, where columns tell several apart."""
    frame = table.columns
    keys = [name for name in frame if str(name).lower() in _RUNS and 1 < frame[name].nunique() < len(frame)]
    if not keys:
        yield table
        return
    for key, rows in frame.groupby(keys, sort=False):
        label = "/".join(f"{value:g}" if isinstance(value, float) else str(value) for value in key)
        own = replace(table, columns=rows.drop(columns=keys), name=label, first_row=0)
        yield own


def _of_table(table: Table, told: Told, tables: int) -> Iterator[Curve]:
    """Yield a curve per loss of a table."""
    roles = columns.roles(table, told)
    numbers = {name: table.numbers(name) for name in (roles.epoch, roles.step, roles.batch) if name}
    for loss, held in roles.losses:
        label = table.label if len(roles.losses) == 1 else loss if tables == 1 else f"{table.label} {loss}"
        yield _of_column(table, roles, numbers, (loss, held), label, told)


def _of_column(
    table: Table, roles: Roles, numbers: Mapping[str, np.ndarray], pair: tuple[str, str], label: str, told: Told
) -> Curve:
    loss, held = pair
    values = table.numbers(loss)
    rows = np.flatnonzero(_recorded(table, loss, values))
    if not len(rows):
        raise ValueError(f"{table.source}: column {loss!r}: expected numbers, found none")
    per, how, facts = _per(table, roles, {name: own[rows] for name, own in numbers.items()}, told, len(rows))
    at, repeats = _places(roles, numbers, per, len(table.columns))
    series = in_order(at[rows], values[rows], per, told.goes_on, repeats)
    if not len(series.values):
        raise ValueError(f"{table.source}: column {loss!r}: expected numbers, found none")
    if repeats:  # the epoch of a step is no place of its own
        series = Series(np.arange(1.0, len(series.at) + 1), series.values, series.notes)
    grid, first, stride, gaps = on_grid(series, per)
    val_loss, val_at = np.empty(0), np.empty(0, int)
    if held and not repeats:
        val_loss, val_at = _beside(table, held, at, per, told, (first, stride, len(grid), series.at))
    elif held:
        val_loss, val_at = _beside_rows(table.numbers(held), rows, len(grid))
    known = {**_facts(table), **facts}
    notes = (*table.notes, *roles.notes, *how, *series.notes, *gaps)
    below = told.lowest
    return Curve(
        label, grid - below, per, first, stride, val_loss - below, val_at, single=table.single, notes=notes, **known
    )


def _recorded(table: Table, loss: str, values: np.ndarray) -> np.ndarray:
    """Return which rows (n,) recorded a loss, be it no number.

    What is missing was not recorded in a sparse table, in rows that have another loss, and where it is missing again
    and again. Losses that are missing to the end, for longer than ever before, were no numbers: the training diverged.
    """
    missing = np.isnan(values)
    if table.sparse or not missing.any() or missing.all():
        return ~missing
    others = [name for name in map(str, table.columns) if name != loss and "loss" in columns.words(name)]
    elsewhere = table.columns[others].notna().any(axis=1).to_numpy() if others else np.zeros(len(values), bool)
    last = int(np.flatnonzero(~missing)[-1])
    longest = int(np.diff(np.flatnonzero(~missing)).max(initial=1)) - 1
    inside, ends = missing[:last], len(values) - 1 - last
    kept = np.ones(len(values), bool)
    if inside.sum() > _MOST_MISSING * len(inside):
        kept[:last] = ~inside
    if ends <= longest:
        kept[last + 1 :] = False
    return kept & ~(missing & elsewhere)


def _per(
    table: Table, roles: Roles, numbers: Mapping[str, np.ndarray], told: Told, rows: int
) -> tuple[str, tuple[str, ...], dict[str, float]]:
    """Return what a value is of, how that is known, and how many steps an epoch has if the columns say so."""
    epoch, step = numbers.get(roles.epoch), numbers.get(roles.step)
    facts: dict[str, float] = {}
    per = ""
    if epoch is not None and rows > 1:
        fractional = bool((np.nan_to_num(epoch) % 1 != 0).any())
        per = STEP if fractional or np.mean(np.diff(epoch) == 0) > _REPEATED else EPOCH
        if per == STEP and not fractional and step is None:
            facts = _even(np.unique(epoch, return_counts=True)[1][:-1])
        elif fractional and step is not None:
            facts = _per_epoch(epoch, step)
        elif step is not None and per == EPOCH:
            facts = _even(np.diff(step)[np.diff(step) > 1])
        elif step is not None and not fractional and not _is_cyclic(step):
            begins = np.flatnonzero(np.diff(epoch) > 0)
            facts = _even(np.diff(step[begins]))
    elif roles.sure:
        per = STEP
    known = told.per or table.per or per
    if known:
        return known, (), facts
    guess = STEP if rows > MANY_ROWS else EPOCH
    other = EPOCH if guess == STEP else STEP
    why = f"{rows:,} values, so each is taken as one {guess}'s"
    return guess, (f"{why}; if it is one {other}'s, say so by --per {other}",), facts


def _per_epoch(epoch: np.ndarray, step: np.ndarray) -> dict[str, float]:
    """Return the steps per epoch where epochs are counted in fractions."""
    apart, steps = np.diff(epoch), np.diff(step)
    known = (apart > 0) & (steps > 0)
    found = float(np.round(np.median(steps[known] / apart[known]))) if known.any() else 0.0
    return {"steps_per_epoch": found} if found > 1 else {}


def _even(counts: np.ndarray) -> dict[str, float]:
    """Return the steps per epoch where nearly all epochs have as many."""
    if not len(counts):
        return {}
    middle = float(np.median(counts))
    return {"steps_per_epoch": middle} if middle > 1 and np.mean(counts == middle) > 0.8 else {}


def _is_cyclic(step: np.ndarray) -> bool:
    return len(step) > 2 and float(np.mean(np.diff(step) < 0)) > 0.0 and step.max() < len(step) - 1


def _places(roles: Roles, numbers: Mapping[str, np.ndarray], per: str, rows: int) -> tuple[np.ndarray, bool]:
    """Return where the rows stand, and whether that is only the epoch, in which many steps stand."""
    epoch, step = numbers.get(roles.epoch), numbers.get(roles.step)
    batch = numbers.get(roles.batch)
    if per == EPOCH:
        found = epoch if epoch is not None else step
        return (np.arange(1.0, rows + 1) if found is None else found), False
    if step is not None and not (epoch is not None and _is_cyclic(step[np.isfinite(step)])):
        return step, False
    within = step if step is not None else batch
    if epoch is not None and within is not None:
        return epoch * (np.nanmax(within) + 1) + within, False
    if batch is not None and epoch is None and not _is_cyclic(batch):
        return batch, False
    return (np.arange(1.0, rows + 1), False) if epoch is None else (np.floor(epoch), True)


def _beside(
    table: Table, held: str, at: np.ndarray, per: str, told: Told, grid: tuple[float, float, int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return validation losses, and the values of the training loss that they stand beside."""
    values = table.numbers(held)
    known = ~np.isnan(values)
    series = in_order(at[known], values[known], per, told.goes_on)
    first, stride, length, places = grid
    if len(places) == length and length > 1:
        index = np.clip(np.searchsorted(places, series.at, "right") - 1, 0, length - 1)
    else:
        index = np.clip(np.round((series.at - first) / stride).astype(int), 0, max(length - 1, 0))
    return series.values, index


def _beside_rows(values: np.ndarray, rows: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    known = np.flatnonzero(~np.isnan(values))
    index = np.clip(np.searchsorted(rows, known, "right") - 1, 0, max(length - 1, 0))
    return values[known], index


def _facts(table: Table) -> dict[str, float]:
    """Return what the file says of the training: in columns of one value, or in its name."""
    found = {name: float(value) for name, value in table.facts.items() if name in FACTS}
    lower = {str(name).lower(): str(name) for name in table.columns}
    for fact, names in FACTS.items():
        for name in names:
            if name in lower and fact not in found:
                values = table.numbers(lower[name])
                values = np.unique(values[np.isfinite(values)])
                if len(values) == 1 and values[0] > 0:
                    found[fact] = float(values[0])
    for fact, pattern in _IN_NAMES.items():
        if fact not in found and (match := pattern.search(table.name or table.source.stem)):
            found[fact] = float(match[1])
    return found


def _told_facts(curve: Curve, told: Told, number: int, curves: int) -> Curve:
    """Add what the user says of a curve: one number for all of them, or one each."""
    facts = {}
    for name in FACTS:
        given = getattr(told, name)
        if not given:
            continue
        if len(given) not in (1, curves):
            option = name.replace("_", "-")
            raise ValueError(f"--{option}: expected one number, or one for each of {curves} curves, found {len(given)}")
        value = float(given[0 if len(given) == 1 else number])
        if not value >= 1 or value % 1:
            raise ValueError(f"--{name.replace('_', '-')}: expected whole numbers of 1 or more, found {value:g}")
        facts[name] = value
    known: dict[str, Any] = facts
    return replace(curve, **known)


def _derived(curve: Curve) -> Curve:
    """Add the steps per epoch that examples and batch size make."""
    if np.isfinite(curve.steps_per_epoch) or not np.isfinite(curve.examples * curve.batch_size):
        return curve
    steps = float(np.ceil(curve.examples / curve.batch_size))
    note = f"{curve.examples:,.0f} examples in batches of {curve.batch_size:g}: {steps:g} steps per epoch"
    return replace(curve, steps_per_epoch=steps, notes=(*curve.notes, note))


def _labels(curves: Sequence[Curve]) -> list[str]:
    """Return labels that differ: those that come twice get a number."""
    counts, seen = Counter(curve.label for curve in curves), Counter[str]()
    labels = []
    for curve in curves:
        seen[curve.label] += 1
        labels.append(curve.label if counts[curve.label] == 1 else f"{curve.label} ({seen[curve.label]})")
    return labels
