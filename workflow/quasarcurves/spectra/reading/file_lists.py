"""The files that a `data` block names: a path, a list of paths, globs, a folder."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from glob import glob, has_magic
from pathlib import Path
from typing import Any


def files(config: Mapping[str, Any], key: str, in_folder: str | None = None) -> list[Path]:
    """List the files of a key, in the order given; those of a glob or folder sorted by name.

    Parameters
    ----------
    config : mapping
        The `data` block.
    key : str
        Its value is a path or a list of paths. Each may be a glob (`**` included) or begin with `~`.
    in_folder : str, optional
        Glob of the files to take from a path that is a folder; without it a folder is refused.

    Returns
    -------
    list of Path
        Each file once, even if it is named twice, or by a link too: a spectrum must not count twice.

    Raises
    ------
    ValueError
        If the key is missing or of another type, or a folder is named where none can be.
    FileNotFoundError
        If a file does not exist, or a glob or folder has none.
    """
    found: dict[tuple[int, int], Path] = {}
    for pattern in _patterns(config, key):
        for path in _expand(Path(pattern).expanduser(), key, in_folder):
            status = path.stat()
            found.setdefault((status.st_dev, status.st_ino), path)
    return list(found.values())


def one_file(config: Mapping[str, Any], key: str) -> Path:
    """Return the one file of a key.

    Raises
    ------
    ValueError
        If the key is missing, or names no or several files.
    FileNotFoundError
        If the file does not exist.
    """
    found = files(config, key)
    if len(found) != 1:
        raise ValueError(f"data.{key}: found {len(found)} files, expected one: {', '.join(map(str, found))}")
    return found[0]


def _patterns(config: Mapping[str, Any], key: str) -> list[str | Path]:
    value = config.get(key)
    if value is None:
        raise ValueError(f"data.{key} is missing: source {config.get('source', '')} needs it")
    patterns = list(value) if isinstance(value, (list, tuple)) else [value]
    if not patterns or not all(isinstance(each, (str, Path)) and str(each) for each in patterns):
        raise ValueError(f"data.{key}: found {value!r}, expected a path or a list of paths")
    return patterns


def _expand(path: Path, key: str, in_folder: str | None) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        if in_folder is None:
            raise ValueError(f"data.{key}: {path} is a folder, expected a file")
        # endings in capital letters are those of other systems
        found = sorted(each for each in path.iterdir() if fnmatch(each.name.lower(), in_folder) and each.is_file())
        if not found:
            raise FileNotFoundError(f"data.{key}: no file {in_folder} in the folder {path}")
        return found
    if not has_magic(str(path)):
        raise FileNotFoundError(f"data.{key}: {path}: no such file")
    found = sorted(Path(each) for each in glob(str(path), recursive=True) if Path(each).is_file())  # noqa: PTH207
    if not found:
        raise FileNotFoundError(f"data.{key}: no file matches {path}")
    return found
