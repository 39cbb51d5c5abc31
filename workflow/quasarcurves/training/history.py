"""History: the record of one run, in memory and as an HDF5 file, and the collection of many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from quasarcurves.files import whole_file, whole_hdf5

_NEEDED, _BY_STEP = ("epochs", "steps"), ("steps", "curvature")
_GROUPS = ("epochs", *_BY_STEP)
"""Histories written before there was a curvature have no group of it."""

_COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
_CHUNK_ROWS = 65536


@dataclass
class History:
    """What was recorded of one run.

    Parameters
    ----------
    epochs : mapping of str to (epochs,) array
        `loss` (mean over the examples of the epoch, as trained), `loss_<part>`, `val_loss` (NaN where not computed),
        `val_<score>` where the task has one (computed with `val_loss`, NaN where the set cannot tell; `val_crossing`
        of QuasarNET: purity and completeness where they are equal), `learning_rate`, `step` (steps done by the end of
        the epoch), `seconds` (training steps only).
    steps : mapping of str to (steps,) array
        `loss` and further measures (`training.measures`), one value per optimizer step.
    params : mapping
        Everything the run was made from, and `outcome`: how it ended.
    curvature : mapping of str to (measurements,) array
        `step` (steps done before the measurement), and what `training.curvature` measures; empty if nothing was.
    """

    epochs: Mapping[str, np.ndarray]
    steps: Mapping[str, np.ndarray]
    params: Mapping[str, Any] = field(default_factory=dict)
    curvature: Mapping[str, np.ndarray] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write to an HDF5 file."""
        with whole_hdf5(path) as file:
            self.write(file)

    def write(self, group: h5py.Group) -> None:
        """Write into an HDF5 group."""
        group.attrs["params"] = json.dumps(dict(self.params), sort_keys=True)
        for name in _GROUPS:
            subgroup = group.create_group(name)
            # in one order, whatever way the columns have come: the same history is then the same file
            for key, values in sorted(getattr(self, name).items()):
                chunks = (min(len(values), _CHUNK_ROWS),) if len(values) else None
                subgroup.create_dataset(key, data=values, chunks=chunks, **(_COMPRESSION if chunks else {}))

    @classmethod
    def load(cls, path: str | Path, name: str = "/") -> History:
        """Read from an HDF5 file: a run's own, or the named run of a collection.

        Columns of steps and of the curvature are read from the file whenever they are asked for: together, those of a
        long run fill gigabytes.

        Raises
        ------
        ValueError
            If there is no history.
        """
        with _opened(path) as file:
            group = _history_at(file, name, path)
            epochs = {key: data[:] for key, data in group["epochs"].items()}
            steps, curvature = (
                _FileColumns(Path(path), f"{group.name}/{key}", tuple(group.get(key, ()))) for key in _BY_STEP
            )
            return cls(epochs, steps, json.loads(group.attrs["params"]), curvature)


@dataclass(frozen=True, eq=False)
class _FileColumns(Mapping):
    """Columns of an HDF5 group by name, each read when it is asked for and not kept."""

    path: Path
    group: str
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise KeyError(name)
        with _opened(self.path) as file:
            return file[self.group][name][:]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _history_at(file: h5py.File, name: str, path: str | Path) -> h5py.Group:
    group = file.get(name)
    if group is None or "params" not in group.attrs or any(key not in group for key in _NEEDED):
        raise ValueError(f"{path}: no history at {name!r}, expected the groups {' and '.join(_NEEDED)}")
    return group


def collect(histories: Iterable[tuple[str, str | Path]], path: str | Path) -> None:
    """Copy histories into one file, one group each, as they are compressed.

    Parameters
    ----------
    histories : iterable of (str, path)
        Name of the group and the file it comes from.
    path : str or Path
        The file written.
    """
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        for name, source in histories:
            with _opened(source) as single:
                group = file.create_group(name)
                found = _history_at(single, "/", source)
                group.attrs["params"] = found.attrs["params"]
                for key in filter(found.__contains__, _GROUPS):
                    single.copy(found[key], group)


def runs_of(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and parameters of every run of a collection."""
    with _opened(path) as file:
        for run in _runs_in(file):
            yield run.name.removeprefix("/"), json.loads(run.attrs["params"])


def _runs_in(group: h5py.Group) -> Iterator[h5py.Group]:
    """Yield the histories in a group; their columns, of which there are many more, are not looked at."""
    for item in group.values():
        if "params" in item.attrs:
            yield item
        elif isinstance(item, h5py.Group):
            yield from _runs_in(item)


@contextmanager
def _opened(path: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file; one that cannot be read is named."""
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OSError(f"{path}: cannot be read, expected an HDF5 file of histories ({error})") from error
    with file:
        yield file
