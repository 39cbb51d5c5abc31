"""Whole files: a file with its final name is complete, whatever happens while it is written.

The folder of the workflow's own files is found here, too.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from types import TracebackType

    import h5py

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CANNOT_WRITE = (*_NO_ROOM, errno.EROFS)
"""What only happens to files that are written."""

_PART = re.compile(
    r"\.(?P<stem>.*)\.(?P<machine>[0-9a-f]{8})-(?P<process>[0-9]+)\.[0-9a-f]{32}\.part(?P<suffix>(\.[^.]*)?)", re.DOTALL
)
"""Names of temporary files."""

_GIVEN_UP_SECONDS = 86400
"""A temporary file of another machine that nobody has written to for so long is nobody's."""


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write to; move that file to `path` once the block has succeeded.

    The data are on disk before the new name is, so a crash leaves the old file or the new one, never a part. The
    temporary files that killed processes have left of `path` are removed.

    Parameters
    ----------
    path : str or Path
        The final name. Missing folders are made. The temporary name keeps the suffix (libraries that
        choose a format by it must see it). It is random: hosts of a cluster that share the folder may use the same
        process id.

    Yields
    ------
    Path
        The temporary name.

    Raises
    ------
    OSError
        Names `path` if it cannot be written, as on a full disk; the same words from every library that writes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(path)
    owner = f"{_machine()}-{os.getpid()}"
    temporary = path.with_name(f".{path.stem}.{owner}.{uuid.uuid4().hex}.part{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        number = _number(error)
        if number in _CANNOT_WRITE or (number == errno.EACCES and temporary.name in str(error)):
            raise OSError(number, os.strerror(number), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file in memory; write it to `path`, as `whole_file` does, once the block has succeeded.

    A full disk then fails in one plain write, which raises OSError. Inside HDF5 (1.14) it crashes the process, and that
    may be a user's own training.
    """
    import h5py  # noqa: PLC0415  (all modules import this one)

    buffer = io.BytesIO()
    with whole_file(path) as temporary:
        with h5py.File(buffer, "w") as file:
            yield file
        temporary.write_bytes(buffer.getbuffer())


def end_on_full_disk() -> None:
    """Let this process end with one line where HDF5 finds the disk full and nobody can be told.

    HDF5 (1.14) writes what it has compressed while an object is collected, where Python only notes an error. When the
    file is closed after that, HDF5 crashes, and the process with it.
    """
    shown, noted = sys.excepthook, sys.unraisablehook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        _end_if_full(error)  # h5py shows an error before it has it noted
        shown(kind, error, trace)

    def note(args: UnraisableHookArgs) -> None:
        _end_if_full(args.exc_value)
        noted(args)

    sys.excepthook, sys.unraisablehook = show, note


def _end_if_full(error: BaseException | None) -> None:
    number = _number(error)
    if number not in _CANNOT_WRITE:
        return
    named = re.search(r"filename = '(.*?)', file descriptor", str(error))
    path = Path(named[1]) if named else None
    if path and (part := _PART.fullmatch(path.name)):
        # first, so that the log has room for the line, where it is on the same disk
        path.unlink(missing_ok=True)
        path = path.with_name(f"{part['stem']}{part['suffix']}")
    sys.stderr.write(f"error: {OSError(number, os.strerror(number), path and str(path))}\n")
    sys.stderr.flush()
    os._exit(1)


def _number(error: BaseException | None) -> int | None:
    """Return the number of the system's error that an exception tells of; libraries have it in their texts alone."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if told := re.search(r"\berrno = (\d+)", str(error)):
        return int(told[1])
    # NumPy, of a file that took less than it was given, and Astropy
    full = re.search(r"\d+ requested and \d+ written|Not enough space on disk", str(error))
    return errno.ENOSPC if full else None


def _machine() -> str:
    """Return what tells processes of the same number apart: a hash of this machine's name and of its container."""
    name = os.uname().nodename
    with suppress(OSError):  # not on Linux
        name += f" {Path('/proc/self/ns/pid').stat().st_ino}"
    return f"{zlib.crc32(name.encode()):08x}"


def _remove_left_over(path: Path) -> None:
    """Remove temporary files of `path` whose process was killed."""
    with suppress(OSError):
        for other in path.parent.iterdir():
            part = _PART.fullmatch(other.name)
            if part and (part["stem"], part["suffix"]) == (path.stem, path.suffix) and _is_left_over(other, part):
                other.unlink()


def _is_left_over(temporary: Path, part: re.Match[str]) -> bool:
    if part["machine"] != _machine():
        return time.time() - temporary.stat().st_mtime > _GIVEN_UP_SECONDS
    try:
        os.kill(int(part["process"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # of another user
        pass
    return False


def workflow_root() -> Path:
    """Return the folder that holds the workflow's own files: `workflow/rules`, `workflow/scripts`, `profiles`, ...

    A checkout holds them around the library. A wheel holds them beside it, in the same order: see setup.py.
    """
    library = Path(__file__).parent
    installed = library.with_name("quasarcurves_workflow")
    return installed if installed.is_dir() else library.parents[1]
