"""Input files by their content: a touched file is the same file, and a file is read only when its age has changed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from quasarcurves.files import whole_file
from quasarcurves.fingerprint import digest, file_hash


def digest_files(paths: Iterable[Path], cache: Path) -> str:
    """Hash of the contents of files, in order.

    Parameters
    ----------
    paths : iterable of Path
    cache : Path
        Remembers the hash of each file with its size and time of change; made if there is something to remember.

    Returns
    -------
    str
        Hexadecimal.
    """
    known = _read(cache)
    now = {}
    for path in paths:
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        before = known.get(str(path))
        now[str(path)] = before if before and before[:2] == stamp else [*stamp, file_hash(path)]
    if now != known:
        with whole_file(cache) as temporary:
            temporary.write_text(json.dumps(now))
    return digest([entry[2] for entry in now.values()])


def _read(cache: Path) -> dict[str, list]:
    try:
        return json.loads(cache.read_text())
    except (OSError, ValueError):
        return {}
