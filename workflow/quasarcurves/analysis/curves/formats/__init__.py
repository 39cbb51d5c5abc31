"""Formats of loss curves: a module each, found by listing this folder, so that a new format is one new module.

A format has three things: `NAME` for messages, `claims(path)`, which says whether a file or folder is of it by name or
first bytes, and `read(path)`, which returns its tables (`curves.tables.Table`). A file is of the first format, by the
name of its module, that claims it.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from quasarcurves.analysis.curves.tables import Table


@cache
def modules() -> tuple[ModuleType, ...]:
    """Return all formats."""
    return tuple(import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__))


def read(path: Path) -> list[Table]:
    """Return the tables of a file or folder.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is of no format known, or not as its format has it.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"{path}: expected losses, found an empty file")
    if (module := _format_of(path)) is not None:
        return module.read(path)
    if path.is_dir() and (files := [each for each in sorted(path.iterdir()) if each.is_file() and _format_of(each)]):
        return [table for each in files for table in read(each)]
    known = "; ".join(module.NAME for module in modules() if module.NAME)
    raise ValueError(f"{path}: expected losses in a format known here ({known}), found {_kind(path)}")


def _format_of(path: Path) -> ModuleType | None:
    return next((module for module in modules() if module.claims(path)), None)


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder without them"
    return f"a file that ends in {path.suffix!r}" if path.suffix else "a file without an ending"
