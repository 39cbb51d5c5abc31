"""Rows of a block of numbers within a file: those asked for are read to where they are needed, and nothing else is.

A mapped file would do without this, but picking one row in a hundred of it reads all of it (the kernel reads ahead),
and gives an array that lies wherever the allocator likes.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

ALIGNMENT = 64
"""Bytes; memory that starts at a multiple of this can be shared with TensorFlow and JAX, other memory they copy."""

_AHEAD = 512
"""Runs of rows that the kernel is told of before the first of them is read: a disk is fast at many requests at once."""


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
    memory, row_bytes = memoryview(block).cast("B"), block.strides[0]
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
    """Give an array of float32, not filled, that starts at a multiple of `ALIGNMENT`."""
    size = 4 * int(np.prod(shape))
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(np.float32).reshape(shape)


def _runs(rows: np.ndarray) -> np.ndarray:
    """Cut rows into runs that follow each other both in the file and where they go, in the order of the file.

    Returns
    -------
    (runs, 3) int64 array
        First row, where that one goes, and number of rows.
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
