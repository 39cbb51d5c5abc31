"""Offline runs of W&B: `.wandb`, or a folder of them.

A file is a log as LevelDB writes it (blocks of 32 KiB; chunks with checksum, length and kind) behind 7 bytes of its
own. A record is a message `Record` (wandb/proto/wandb_internal.proto).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from quasarcurves.analysis.curves import wire
from quasarcurves.analysis.curves.tables import Table, recorded

NAME = "offline runs of W&B"

_BLOCK, _START = 32768, b":W&B"
_FILE_HEAD = 7
_HEAD = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_RUN, _HISTORY = 17, 2
"""Numbers of the fields of a record."""


def claims(path: Path) -> bool:
    """Return whether a file is called as one, or a folder holds one."""
    return path.suffix == ".wandb" if path.is_file() else next(path.rglob("*.wandb"), None) is not None


def read(path: Path) -> list[Table]:
    """Return a table per run.

    Raises
    ------
    ValueError
        If a file is none, or is damaged.
    """
    return [_run(file, path) for file in ([path] if path.is_file() else sorted(path.rglob("*.wandb")))]


def _run(file: Path, source: Path) -> Table:
    rows, name = [], ""
    for number, record in enumerate(_records(file.read_bytes(), file), start=1):
        try:
            if history := wire.content(record, _HISTORY):
                rows.append(_row(history))
            elif run := wire.content(record, _RUN):
                name = wire.content(run, 8).decode() or name
        except (ValueError, struct.error) as error:
            raise ValueError(f"{file}: record {number}: expected one of W&B, found none ({error})") from error
    return Table(source, pd.DataFrame(rows), name=name or file.stem, sparse=True)


def _row(history: bytes) -> dict[str, Any]:
    """Return what was logged in one call, by name."""
    row: dict[str, Any] = {}
    for number, item in wire.fields(history):
        if number != 1 or not isinstance(item, bytes):
            continue
        parts = [value.decode() for each, value in wire.fields(item) if each == 2 and isinstance(value, bytes)]
        key = wire.content(item, 1).decode() or "/".join(parts)
        value = json.loads(wire.content(item, 16) or b"null")
        # W&B writes what is not finite as text
        if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
            value = float(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            row[key] = recorded(value)
    return row


def _records(data: bytes, file: Path) -> Iterator[bytes]:
    """Yield the records of a log; a last one that is cut is left out."""
    if not data.startswith(_START):
        raise ValueError(f"{file}: expected a file of an offline run of W&B, found none")
    place, whole = _FILE_HEAD, b""
    while place + _HEAD.size <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _HEAD.size:  # the rest of a block is too small for a chunk
            place += left
            continue
        _, size, kind = _HEAD.unpack_from(data, place)
        chunk = data[place + _HEAD.size : place + _HEAD.size + size]
        if len(chunk) < size or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
            return
        place += _HEAD.size + size
        whole = chunk if kind in (_FULL, _FIRST) else whole + chunk
        if kind in (_FULL, _LAST):
            yield whole
