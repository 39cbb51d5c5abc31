"""The examples of a task file: from its function `examples` to one file, and back to arrays, row by row.

Layout: `inputs`, `targets` (or `targets_0`, `targets_1`, ... where the file returns a tuple) and `target_id`, the group
of each example; (n, ...) each, in one block, so that chosen rows are read without the others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import h5py
import numpy as np

from quasarcurves.files import whole_file
from quasarcurves.tasks.own_file import TaskError, TaskFile
from quasarcurves.training.run_settings import TaskSettings
from quasarcurves.training.suggestions import nearest

_KEYS = ("inputs", "targets", "groups")
_GROUPS = "target_id"
_COPY_BYTES = 2**26

Arrays = dict[str, np.ndarray]

logger = logging.getLogger(__name__)


def prepare(task: TaskSettings, data: Mapping[str, Any], path: Path) -> None:
    """Call the file's function `examples` with the keys of a `data` block and write what it returns.

    Raises
    ------
    TaskError
        Names the file, `examples`, what was expected and what was found.
    """
    file = TaskFile(task.name)
    n = write_chunks(path, checked_chunks(file, data), f"{file.name}: examples()")
    logger.info("%d examples", n)


def checked_chunks(file: TaskFile, data: Mapping[str, Any]) -> Iterator[Arrays]:
    """Yield the chunks of examples of a task file as arrays of the layout, checked one by one and against the first."""
    what, groups, first = f"{file.name}: examples()", _Groups(), None
    for chunk in file.chunks("examples", **data):
        arrays = _arrays(chunk, what)
        if first is not None:
            _check_alike(first, arrays, what)
        first = arrays if first is None else first
        yield {**{name: arrays[name] for name in arrays if name != _GROUPS}, _GROUPS: groups.ids(arrays)}


def write_chunks(path: Path, chunks: Iterator[Arrays], what: str) -> int:
    """Write chunks of examples as one file; return their number.

    Raises
    ------
    TaskError
        If there are none.
    """
    with whole_file(path) as temporary, ExitStack() as stack:
        staged: dict[str, Any] = {}
        shapes: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
        n = 0
        for chunk in chunks:
            for name, array in chunk.items():
                if name not in staged:
                    staged[name] = stack.enter_context(TemporaryFile(dir=temporary.parent))
                    shapes[name] = array.shape[1:], array.dtype
                np.ascontiguousarray(array).tofile(staged[name])
            n += len(chunk[_GROUPS])
        if not n:
            raise TaskError(f"{what} returned no example, expected at least one")
        with h5py.File(temporary, "w") as file:
            for name, source in staged.items():
                source.seek(0)
                shape, dtype = shapes[name]
                _copy(source, file.create_dataset(name, (n, *shape), dtype))
    return n


def load(path: Path, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Read chosen examples: the input, then each of the targets; (n, ...) arrays."""
    with h5py.File(path, "r") as file:
        if "inputs" not in file:
            raise ValueError(f"{path}: expected examples of a task file with `inputs`, found {', '.join(file)}")
        return tuple(_read(file, name, rows) for name in names(file))


def names(file: h5py.File) -> list[str]:
    """Return the names of input and targets in a file of examples, in their order."""
    several = sorted((name for name in file if name.startswith("targets_")), key=lambda name: int(name[8:]))
    return ["inputs", *(several or ["targets"])]


def _read(file: h5py.File, name: str, rows: np.ndarray) -> np.ndarray:
    data = file[name]
    # mapped: HDF5 reads chosen rows one by one
    mapped = np.memmap(file.filename, data.dtype, "r", data.id.get_offset(), data.shape) if data.size else data[:]
    return np.asarray(mapped[np.asarray(rows, np.int64)])


def _copy(source: Any, data: h5py.Dataset) -> None:
    n, per_row = len(data), max(1, int(np.prod(data.shape[1:])))
    rows = max(1, _COPY_BYTES // (per_row * data.dtype.itemsize))
    for start in range(0, n, rows):
        count = min(rows, n - start)
        block = np.fromfile(source, data.dtype, count * per_row)
        data[start : start + count] = block.reshape(count, *data.shape[1:])


def _arrays(chunk: Any, what: str) -> Arrays:
    """Return a chunk as arrays of the layout, groups as they are."""
    if not isinstance(chunk, Mapping):
        expected = "a dict with inputs and targets, or a generator of such dicts"
        raise TaskError(f"{what} returned {_shown(chunk)}, expected {expected}")
    for key in chunk:
        if key not in _KEYS:
            raise TaskError(f"{what} returned the key {key!r}; {nearest(key, _KEYS)}")
    for key in _KEYS[:2]:
        if key not in chunk:
            raise TaskError(
                f"{what} returned no {key!r}, expected inputs and targets; found {', '.join(chunk) or 'none'}"
            )
    targets = chunk["targets"]
    parts = targets if isinstance(targets, tuple) else (targets,)
    numbered = [f"targets_{i}" for i in range(len(parts))] if isinstance(targets, tuple) else ["targets"]
    if not parts:
        raise TaskError(f"{what} returned an empty tuple of targets, expected at least one array")
    found = {
        name: _array(value, f"{what}, {name}")
        for name, value in zip(["inputs", *numbered], [chunk["inputs"], *parts], strict=True)
    }
    if chunk.get("groups") is not None:
        found[_GROUPS] = _of_groups(chunk["groups"], what)
    lengths = {("groups" if name == _GROUPS else name): len(array) for name, array in found.items()}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{n:,} {name}" for name, n in lengths.items())
        raise TaskError(f"{what} returned {counted}, expected as many of each")
    return found


def _array(value: Any, what: str) -> np.ndarray:
    """Return an array of numbers that the training loop takes: float32, or integers of 32 bits at most."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise TaskError(f"{what}: expected an array of numbers (n, ...), found {_shown(value)}: {error}") from error
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        raise TaskError(f"{what}: expected an array of numbers (n, ...), found {_shown(value)}")
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
        finite = np.isfinite(array)
        if not finite.all():
            rows = np.flatnonzero(~finite.reshape(len(array), -1).all(axis=1))
            raise TaskError(
                f"{what}: {len(rows):,} of {len(array):,} examples are not finite in float32, first row {rows[0]:,}"
            )
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.itemsize <= 4 and array.dtype != np.uint32:
        return array
    if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise TaskError(f"{what}: integers from {array.min()} to {array.max()}, expected them within 32 bits")
    return array.astype(np.int32)


def _of_groups(value: Any, what: str) -> np.ndarray:
    groups = np.asarray(value)
    if groups.ndim != 1 or groups.dtype.kind not in "iubUS":
        raise TaskError(f"{what}: groups are {_shown(value)}, expected an integer or a name for each example, (n,)")
    return groups


def _check_alike(first: Arrays, other: Arrays, what: str) -> None:
    """Refuse a chunk that differs from the first one in its arrays, their shapes or types."""
    if first.keys() != other.keys():
        raise TaskError(f"{what}: a chunk has {', '.join(other)}, expected {', '.join(first)} as in the first")
    for name, array in first.items():
        found, expected = ((each.shape[1:], each.dtype) for each in (other[name], array))
        if name != _GROUPS and found != expected:
            raise TaskError(
                f"{what}: a chunk has {name} of shape (n, {_sizes(found[0])}) and type {found[1]}, expected "
                f"(n, {_sizes(expected[0])}) and {expected[1]} as in the first"
            )


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


class _Groups:
    """Numbers the groups over all chunks; examples without groups are one each."""

    def __init__(self) -> None:
        self._known: dict[Any, int] = {}
        self._n = 0

    def ids(self, arrays: Arrays) -> np.ndarray:
        """Return (n,) int64: integers as they are, names by number."""
        n = len(arrays["inputs"])
        self._n += n
        if _GROUPS not in arrays:
            return np.arange(self._n - n, self._n)
        groups = arrays[_GROUPS]
        if groups.dtype.kind in "US":
            return np.array([self._known.setdefault(each, len(self._known)) for each in groups.tolist()], np.int64)
        return groups.astype(np.int64)


def _shown(value: Any) -> str:
    """Return what a value is, in words."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else type(value).__name__
