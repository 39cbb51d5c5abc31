"""One process at a time trains a run, also where a scheduler has given one up that still lives.

A lock that the system drops when a process dies is enough on one host. On a cluster it is not: the node of a training
can be taken for dead while the process goes on, and the next one starts elsewhere, perhaps on a file system whose locks
do not reach beyond a node. So the newcomer also puts its name into a file, which the old process looks at all the time;
it leaves when it finds another name than its own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from quasarcurves.files import whole_file

_PATIENCE = 120.0
"""Seconds that an old process has to leave: many times what a block of steps and a checkpoint take."""

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""What file systems without locks say (Lustre as it is mounted by default)."""


class AlreadyTraining(OSError):
    """Another process trains the same run."""


class TakenOver(OSError):
    """Another process has been started to train this run in place of this one."""


class Owner:
    """The process that trains into a folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "owner"
        # a process id is not enough: other hosts have the same
        self._name = f"process {os.getpid()} on {socket.gethostname()} ({uuid.uuid4().hex})"

    def claim(self) -> None:
        """Become the owner, whoever was it."""
        with whole_file(self._file) as temporary:
            temporary.write_text(self._name)

    @property
    def present(self) -> str:
        """Name of the owner; empty if there never was one."""
        return self._file.read_text() if self._file.exists() else ""

    def is_other(self) -> bool:
        """Whether another process has become the owner."""
        return self.present != self._name

    def confirm(self) -> None:
        """Make sure of still being the owner.

        Raises
        ------
        TakenOver
        """
        if self.is_other():
            raise TakenOver(f"{self._file.parent}: this training was given up, it is left to {self.present}")


@contextmanager
def sole_owner(folder: Path, take_over: bool = False) -> Iterator[Owner]:
    """Keep every other process from training into a folder.

    Parameters
    ----------
    folder : Path
        Made if missing.
    take_over : bool
        What to do where another process trains: ask it to leave and wait for that, or give up.

    Raises
    ------
    AlreadyTraining
        With the process that stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    owner = Owner(folder)
    before = owner.present
    with (folder / "lock").open("a") as file:
        if take_over:
            owner.claim()
        if not _locked(file, _PATIENCE if take_over else 0.0):
            raise AlreadyTraining(f"{folder}: this run is being trained already, by {before or 'another process'}")
        if not take_over:
            owner.claim()
        yield owner


def _locked(file: IO, patience: float) -> bool:
    """Try to get a lock, for some seconds; a file system that has none lets everybody pass."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.1)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return True
        else:
            return True
