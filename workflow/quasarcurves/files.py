"""Whole files: a file with its final name is complete, whatever happens while it is written.

The folder of the workflow's own files is found here, too.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write to; move that file to `path` once the block has succeeded.

    The data are on disk before the new name is, so a crash leaves the old file or the new one, never a part.

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
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def workflow_root() -> Path:
    """Return the folder that holds the workflow's own files: `workflow/rules`, `workflow/scripts`, `profiles`, ...

    A checkout holds them around the library. A wheel holds them beside it, in the same order: see setup.py.
    """
    library = Path(__file__).parent
    installed = library.with_name("quasarcurves_workflow")
    return installed if installed.is_dir() else library.parents[1]
