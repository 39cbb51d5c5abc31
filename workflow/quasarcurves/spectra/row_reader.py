"""Reads chosen rows of a block of numbers within a file into aligned memory, and reads nothing else.

Rows of a mapped file could be picked as well. But the kernel reads ahead, so that picking one row in a hundred reads
the whole file, and the resulting array is not aligned.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

ALIGNMENT = 64
"""Bytes. TensorFlow and JAX share memory that starts at a multiple of this; they copy other memory."""

_AHEAD = 512
"""Runs of rows announced to the kernel before the first of them is read: a disk is fast at many requests at once."""


def read_rows(path: str | Path, offset: int, shape: tuple[int, int], rows: np.ndarray) -> np.ndarray:
    """Read rows of a block.

    Parameters
    ----------
    path : str or Path
    offset : int
        Of the block within the file, in bytes.
    shape : (int, int)
        Of the block, which is float32 in the machine's byte order, row by row.
    rows : (n,) int array
        In any order, repeated ones too; below 0 they count from the end.

    Returns
    -------
    (n, shape[1]) float32 array
        Starts at a multiple of `ALIGNMENT`.

    Raises
    ------
    IndexError
        If there is no such row.
    OSError
        If the file ends within a row.
    """
    rows = np.arange(shape[0])[rows]
    block = aligned_empty((len(rows), shape[1]))
    if not block.size:
        return block
    memory, row_bytes = block.data.cast("B"), block.strides[0]
    runs = _runs(rows) * row_bytes
    with Path(path).open("rb", buffering=0) as file:
        for start in range(0, len(runs), _AHEAD):
            batch = runs[start : start + _AHEAD].tolist()
            for at, _, size in batch:
                os.posix_fadvise(file.fileno(), offset + at, size, os.POSIX_FADV_WILLNEED)
            for at, place, size in batch:
                _fill(memory[place : place + size], file.fileno(), offset + at, path)
    return block


def aligned_empty(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of float32, not filled, that starts at a multiple of `ALIGNMENT`."""
    size = 4 * int(np.prod(shape))
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(np.float32).reshape(shape)


def _runs(rows: np.ndarray) -> np.ndarray:
    """Cut rows into runs that are consecutive both in the file and in the result, in the order of the file.

    Returns
    -------
    (runs, 3) int64 array
        First row in the file, its place in the result, and number of rows.
    """
    places = np.argsort(rows, kind="stable")
    ordered = rows[places]
    follows = (np.diff(ordered) == 1) & (np.diff(places) == 1)
    starts = np.concatenate([[0], np.flatnonzero(~follows) + 1])
    return np.column_stack([ordered[starts], places[starts], np.diff(starts, append=len(rows))])


def _fill(view: memoryview, descriptor: int, offset: int, path: str | Path) -> None:
    # one call reads 2 GB at most
    while view:
        count = os.preadv(descriptor, [view], offset)
        if not count:
            raise OSError(f"{path}: the file is cut short, it ends at byte {offset}")
        view, offset = view[count:], offset + count
