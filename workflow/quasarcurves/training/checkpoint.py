"""Resumable training state: a killed training goes on from it, bit by bit as if it had never stopped.

A state is one HDF5 file behind a block that holds the SHA-256 of the rest, so that reading finds out a damaged file.
Two generations are kept, and the states at the end of trainings, to extend these.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from quasarcurves.files import whole_file

_BLOCK = 512
"""Bytes before the HDF5 data, the least that HDF5 leaves to its user."""

_NEWEST, _PREVIOUS, _FINISHED = "newest.h5", "previous.h5", "epoch-{:06d}.h5"

logger = logging.getLogger(__name__)


class DamagedState(ValueError):
    """A state file that is not what was written."""


@dataclass(frozen=True)
class State:
    """All that a training needs to go on.

    Parameters
    ----------
    arrays : mapping of str to array
        By a path such as `model/3`.
    values : mapping
        What JSON can hold; `epoch` and `step` (within the epoch) say where the training is.
    """

    arrays: Mapping[str, np.ndarray]
    values: Mapping[str, Any]

    @property
    def place(self) -> tuple[int, int]:
        """Epochs done, and steps done in the next one."""
        return self.values["epoch"], self.values["step"]

    def group(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays whose path begins with `name/`, by the rest of the path."""
        prefix = f"{name}/"
        return {path.removeprefix(prefix): array for path, array in self.arrays.items() if path.startswith(prefix)}

    def sequence(self, name: str) -> list[np.ndarray]:
        """Return the arrays `name/0`, `name/1` ..."""
        group = self.group(name)
        return [group[str(i)] for i in range(len(group))]


def write(path: Path, state: State) -> None:
    """Write a state; the file appears once it is whole."""
    with whole_file(path) as temporary:
        temporary.write_bytes(_packed(state))


def read(path: Path) -> State:
    """Read a state back.

    Raises
    ------
    DamagedState
        If it is not what was written.
    """
    content = path.read_bytes()
    if content[:64] != _hash(content[_BLOCK:]):
        raise DamagedState(f"{path}: damaged, its content does not fit its checksum")
    with h5py.File(io.BytesIO(content), "r") as file:
        arrays: dict[str, np.ndarray] = {}
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        return State(arrays, json.loads(file.attrs["values"]))


def _packed(state: State) -> bytes:
    # packed in memory: a full disk then fails in one plain write, not somewhere inside HDF5
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=_BLOCK) as file:
        file.attrs["values"] = json.dumps(dict(state.values))
        for name, array in state.arrays.items():
            file[name] = array
    content = buffer.getvalue()
    return _hash(content[_BLOCK:]) + content[64:]


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


class Checkpoints:
    """The states of one run, for one set of settings.

    Parameters
    ----------
    folder : Path
        Of the run; each key has a folder in it.
    key : str
        Hash of everything that the state depends on: data, settings, code. States under another key are neither used
        nor touched.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder / key

    def save(self, state: State) -> None:
        """Write a state; the one before it becomes the older generation."""
        newest = self.folder / _NEWEST
        with whole_file(newest) as temporary:
            temporary.write_bytes(_packed(state))
            with suppress(FileNotFoundError):
                newest.replace(self.folder / _PREVIOUS)

    def save_finished(self, state: State) -> None:
        """Write the state at the end of a training, to extend it or come back to it."""
        write(self.folder / _FINISHED.format(state.values["epoch"]), state)

    def tidy(self, keep_finished: bool) -> int:
        """Remove the states of a training that is over; also those at its end, unless `keep_finished`.

        Returns
        -------
        int
            Bytes that the states left take.
        """
        for path in self._files():
            if not keep_finished or path.name in (_NEWEST, _PREVIOUS):
                path.unlink()
        return sum(path.stat().st_size for path in self._files())

    def load(self, epochs: int) -> State | None:
        """Return the latest whole state of at most `epochs` epochs; None if there is none.

        Damaged files are skipped, with a message.
        """
        states = list(self._states())
        fitting = [state for state in states if state.place <= (epochs, 0)]
        if states and not fitting:
            logger.warning("%s: no state of at most %d epochs is kept, training from the start", self.folder, epochs)
        return max(fitting, key=lambda state: state.place, default=None)

    def _states(self) -> Iterator[State]:
        for path in self._files():
            try:
                yield read(path)
            except DamagedState as error:
                logger.warning("%s; it is not used", error)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[!.]*.h5"))
