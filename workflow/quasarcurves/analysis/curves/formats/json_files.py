"""JSON: `history.history` of Keras, records, JSON lines, and the states of Hugging Face's Trainer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis.curves.tables import Table, recorded

NAME = "JSON, or JSON lines"

_SUFFIXES = (".json", ".jsonl", ".ndjson")


def claims(path: Path) -> bool:
    """Return whether a file is called as one."""
    return path.is_file() and path.suffix.lower() in _SUFFIXES


def read(path: Path) -> list[Table]:
    """Return the table of a history or of records, or one for each name that has a history.

    Raises
    ------
    ValueError
        If it is no JSON, or holds no losses in a form known here.
    """
    return from_object(_loaded(path), path)


def from_object(value: Any, source: Path) -> list[Table]:
    """Return the tables of what a JSON file holds.

    Parameters
    ----------
    value : mapping or sequence
        A history (name of a metric -> list of numbers), a list of records or of losses, the state of a trainer
        (`log_history`), or histories by name.
    source : Path
        Named in messages.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if isinstance(value, Mapping) and isinstance(value.get("log_history"), Sequence):
        return [_of_records(value["log_history"], source)]
    if isinstance(value, Mapping) and isinstance(value.get("history"), Mapping):
        value = value["history"]
    if isinstance(value, Mapping) and value:
        return _of_mapping(value, source)
    if _is_list(value) and len(value):
        if all(isinstance(each, Mapping) for each in value):
            return [_of_records(value, source)]
        if all(_is_number(each) for each in value):
            return [Table(source, pd.DataFrame({"loss": list(value)}, dtype=object))]
    expected = "lists of numbers by name, as history.history, or a list of records"
    raise ValueError(f"{source}: expected {expected}, found {_described(value)}")


def _of_mapping(value: Mapping[str, Any], source: Path) -> list[Table]:
    if all(isinstance(each, Mapping) for each in value.values()):
        if all(_is_number(cell) for each in value.values() for cell in each.values()):
            # as pandas writes a table: column -> row -> cell
            return [_of_lists({name: list(cells.values()) for name, cells in value.items()}, source)]
        return [_of_lists(own, source, name) for name, own in value.items()]
    return [_of_lists(value, source)]


def _of_lists(columns: Mapping[str, Any], source: Path, name: str = "") -> Table:
    """Return a history as a table: validation losses of every few epochs stand beside theirs."""
    lists = {key: list(values) for key, values in columns.items() if _is_list(values) and not _nested(values)}
    facts = {key: float(value) for key, value in columns.items() if _is_number(value) and value is not None}
    if not lists:
        raise ValueError(f"{source}: expected lists of numbers by name, found {_described(columns)}")
    rows, notes = max(map(len, lists.values())), []
    for key, values in lists.items():
        if 0 < len(values) < rows:
            every = rows // len(values)
            if rows // every != len(values):
                raise ValueError(
                    f"{source}: {key!r}: expected {rows} values as the others, or one every few, found {len(values)}"
                )
            filled = np.full(rows, None, object)
            filled[every - 1 :: every][: len(values)] = values
            lists[key] = filled.tolist()
            notes.append(f"{key!r} has {len(values)} values, taken as one every {every} rows")
    kept = {key: values for key, values in lists.items() if len(values) == rows}
    # as objects: numbers are read with the name of the row that is none
    return Table(source, pd.DataFrame(kept, dtype=object), name=name, facts=facts, notes=tuple(notes), first_row=1)


def _of_records(records: Sequence[Mapping[str, Any]], source: Path) -> Table:
    table = pd.DataFrame([{key: recorded(value) for key, value in record.items()} for record in records], dtype=object)
    return Table(source, table, sparse=bool(table.isna().to_numpy().any()), first_row=1)


def _loaded(path: Path) -> Any:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        return json.loads(text)
    except ValueError as whole:
        lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
        if len(lines) < 2 and not isinstance(whole, json.JSONDecodeError):
            raise
        return _loaded_lines(path, lines, whole)


def _loaded_lines(path: Path, lines: list[tuple[int, str]], whole: ValueError) -> list[Any]:
    found = []
    for number, line in lines:
        try:
            found.append(json.loads(line))
        except ValueError as error:
            if number == lines[-1][0] and len(found) > 1:
                break  # a line that was being written
            hint = "; save it by json.dump(history.history, file)" if "'" in lines[0][1] else ""
            what = whole if not found else error
            at = f"row {number if found else getattr(whole, 'lineno', 1)}"
            raise ValueError(f"{path}: {at}: expected JSON, found something else ({what}){hint}") from error
    return found


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | np.number) and not isinstance(value, bool))


def _nested(values: Any) -> bool:
    return any(_is_list(each) or isinstance(each, Mapping) for each in values)


def _described(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"an object with the names {', '.join(map(str, list(value)[:5])) or '(none)'}"
    return f"a list of {len(value)} things" if _is_list(value) else f"{value!r}"[:60]
