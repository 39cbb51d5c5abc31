"""One process at a time trains a run, even where a scheduler has given a process up that still lives.

On one host a lock of the system is enough: the system drops it when its process dies. On a cluster it is not. The node
of a training can be taken for dead while its process goes on. The next process then starts on another node, and locks
of some file systems do not reach beyond a node. So the newcomer also writes its name into a file. The old process
reads the file between blocks of steps, and leaves when it finds another name than its own.
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
"""Errors of file systems without locks (Lustre as it is mounted by default)."""


class AlreadyTraining(OSError):
    """Another process trains the same run."""


class TakenOver(OSError):
    """Another process has been started to train this run in place of this one."""


class RunLock:
    """The lock on a run's folder, as the process that took it knows it.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        # the file's name is that of earlier versions: their processes may still run
        self._file = folder / "owner"
        # a process id is not enough: other hosts have the same
        self._name = f"process {os.getpid()} on {socket.gethostname()} ({uuid.uuid4().hex})"

    def claim(self) -> None:
        """Write down this process as the holder, whoever was it before."""
        with whole_file(self._file) as temporary:
            temporary.write_text(self._name)

    @property
    def holder(self) -> str:
        """Name of the process that holds the lock; empty if none ever did."""
        return self._file.read_text() if self._file.exists() else ""

    def is_lost(self) -> bool:
        """Return whether another process has taken the lock over."""
        return self.holder != self._name

    def check(self) -> None:
        """Make sure that this process still holds the lock.

        Raises
        ------
        TakenOver
        """
        if self.is_lost():
            raise TakenOver(f"{self._file.parent}: this training was given up, it is left to {self.holder}")


@contextmanager
def hold_lock(folder: Path, take_over: bool = False) -> Iterator[RunLock]:
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
    lock = RunLock(folder)
    before = lock.holder
    with (folder / "lock").open("a") as file:
        if take_over:
            lock.claim()
        if not _locked(file, _PATIENCE if take_over else 0.0):
            raise AlreadyTraining(f"{folder}: this run is being trained already, by {before or 'another process'}")
        if not take_over:
            lock.claim()
        yield lock


def _locked(file: IO, patience: float) -> bool:
    """Try to get a lock, for some seconds. Without locks in the file system every process passes."""
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
