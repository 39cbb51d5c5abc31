"""Event files of TensorBoard, and folders of them: scalars alone.

A file is a row of records: the length, a checksum of it, the content, a checksum of that. The content is a message
`Event` (tensorboard/compat/proto/event.proto, summary.proto, tensor.proto).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from quasarcurves.analysis.curves import wire
from quasarcurves.analysis.curves.tables import EPOCH, STEP, Table, merged

NAME = "event files of TensorBoard, or a folder of them"

_MARK = "tfevents"
_HEAD = struct.Struct("<QI")
_FLOAT, _DOUBLE = 1, 2
"""Types of tensors."""

Series = dict[str, tuple[list[int], list[float]]]


def claims(path: Path) -> bool:
    """Return whether it is an event file by its name, or a folder that holds one."""
    return _MARK in path.name if path.is_file() else next(_files(path), None) is not None


def read(path: Path) -> list[Table]:
    """Return a table per run: Keras's folders `train` and `validation` are one.

    Raises
    ------
    ValueError
        If a file is none, or is damaged.
    """
    runs: dict[Path, Series] = {}
    notes: dict[Path, list[str]] = {}
    for file in [path] if path.is_file() else sorted(_files(path)):
        run, prefix = _run_of(file)
        found = runs.setdefault(run, {})
        for tag, step, value in _scalars(file, notes.setdefault(run, [])):
            steps, values = found.setdefault(prefix + tag, ([], []))
            steps.append(step)
            values.append(value)
    return [
        Table(path, _table(series), name=_name(path, run), sparse=True, per=_per(series), notes=tuple(notes[run]))
        for run, series in runs.items()
        if series
    ]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob(f"*{_MARK}*") if path.is_file())


def _run_of(file: Path) -> tuple[Path, str]:
    """Return the folder of a file's run, and what comes before its tags."""
    folder = file.parent
    if folder.name in ("train", "training"):
        return folder.parent, ""
    if folder.name in ("validation", "val", "valid", "eval"):
        return folder.parent, "val_"
    return folder, ""


def _name(path: Path, run: Path) -> str:
    if path.is_file() or run == path:
        return run.name
    return run.relative_to(path).as_posix() if run.is_relative_to(path) else run.name


def _per(series: Series) -> str:
    """Return what a row is of: the tags of Keras say so."""
    tags = [tag.removeprefix("val_") for tag in series if "loss" in tag.lower()]
    if any(tag.startswith("batch_") for tag in tags):
        return STEP
    return EPOCH if any(tag.startswith("epoch_") for tag in tags) else ""


def _table(series: Series) -> pd.DataFrame:
    return merged(((tag, np.array(steps), np.array(values)) for tag, (steps, values) in series.items()), "step")


def _scalars(file: Path, notes: list[str]) -> Iterator[tuple[str, int, float]]:
    """Yield tag, step and value of each scalar of a file; a last record that is cut is noted."""
    number = 0
    with file.open("rb") as stream:
        while head := stream.read(_HEAD.size):
            number += 1
            size = _HEAD.unpack(head)[0] if len(head) == _HEAD.size else -1
            if number == 1 and not 0 <= size < 1 << 20:
                raise ValueError(f"{file}: expected an event file, found none")
            record = stream.read(size + 4) if 0 <= size < 1 << 31 else b""
            if len(record) < size + 4 or size < 0:
                notes.append(f"{file.name} ends within record {number}; those before it are used")
                return
            try:
                yield from _of_event(record[:size])
            except (ValueError, struct.error) as error:
                raise ValueError(f"{file}: record {number}: expected an event, found none ({error})") from error


def _of_event(event: bytes) -> Iterator[tuple[str, int, float]]:
    step, summary = 0, b""
    for number, value in wire.fields(event):
        if number == 2 and isinstance(value, int):
            step = wire.signed(value)
        elif number == 5 and isinstance(value, bytes):
            summary = value
    for number, value in wire.fields(summary):
        if number == 1 and isinstance(value, bytes):
            tag, scalar = _of_value(value)
            if scalar is not None:
                yield tag, step, scalar


def _of_value(message: bytes) -> tuple[str, float | None]:
    """Return tag and number of a value of a summary; None where it is no scalar."""
    tag, scalar = "", None
    for number, value in wire.fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            tag = value.decode("utf-8", "replace")
        elif number == 2:
            scalar = wire.float32(value)
        elif number == 8:
            scalar = _of_tensor(value)
    return tag, scalar


def _of_tensor(message: bytes) -> float | None:
    """Return the number of a tensor that is one."""
    kind, raw, floats, doubles = 0, b"", b"", b""
    for number, value in wire.fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes) and value:
            return None  # it has a shape
        elif number == 4 and isinstance(value, bytes):
            raw = value
        elif number == 5 and isinstance(value, bytes):
            floats = value
        elif number == 6 and isinstance(value, bytes):
            doubles = value
    single, double = raw if kind == _FLOAT else floats, raw if kind == _DOUBLE else doubles
    if kind == _FLOAT and len(single or floats) == 4:
        return wire.float32(single or floats)
    if kind == _DOUBLE and len(double or doubles) == 8:
        return wire.float64(double or doubles)
    return None
