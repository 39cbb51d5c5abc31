"""The lock that Snakemake holds on a study's files, released for it where it was killed and could not do so itself.

Snakemake writes into its lock which files are locked, not by whom, so a lock that `kill -9` has left looks like that of
a living process. The process that holds one therefore leaves a note beside it, and keeps the note open under a lock of
the system, which ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

_NOTES = Path(".snakemake", "quasarcurves")

_held: list[IO[str]] = []


def sign(locks: Iterable[Path]) -> None:
    """Write down that this process holds some of Snakemake's locks, until it ends.

    Parameters
    ----------
    locks : iterable of Path
        Files that Snakemake has written.
    """
    marks = {str(path): _mark(path) for path in locks}
    if not marks:
        return
    _NOTES.mkdir(parents=True, exist_ok=True)
    # open to the end of the process: that is the sign of life
    note = (_NOTES / f"{socket.gethostname()}-{os.getpid()}.json").open("w")
    with suppress(OSError):
        fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
    note.write(json.dumps({"host": socket.gethostname(), "process": os.getpid(), "locks": marks}))
    note.flush()
    _held.append(note)


def withdraw() -> None:
    """Remove the note of this process: Snakemake releases its locks itself."""
    while _held:
        note = _held.pop()
        Path(note.name).unlink(missing_ok=True)
        note.close()


def release_stale() -> list[int]:
    """Release locks of processes of this host that are dead; return these processes.

    A lock is let be if its process lives, if nothing is known of it, or if it is on another host.
    """
    return [each for each in map(_release, _NOTES.glob("*.json")) if each is not None]


def _release(path: Path) -> int | None:
    with suppress(OSError, ValueError, KeyError, TypeError), path.open() as note:
        fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = json.load(note)
        # locks of the system may not reach beyond a host
        if found["host"] != socket.gethostname():
            return None
        for name in _unchanged(found["locks"]):
            Path(name).unlink()
        path.unlink()
        return found["process"]
    return None


def _unchanged(locks: dict[str, list[int]]) -> Iterator[str]:
    for name, mark in locks.items():
        with suppress(FileNotFoundError):
            if _mark(Path(name)) == mark:
                yield name


def _mark(path: Path) -> list[int]:
    """Return what tells a lock file from a later one of the same name."""
    found = path.stat()
    return [found.st_ino, found.st_mtime_ns]
