"""The files of the study's page: its HTML, style and script, and what the columns of tables mean."""

from __future__ import annotations

from pathlib import Path

import jinja2

FOLDER = Path(__file__).parent

_NAMES = ("base.html", "index.css", "index.html", "index.js", "columns.yaml")


def paths() -> list[Path]:
    """Return all of them, in a fixed order. They are no modules, so a step that uses them depends on their hash."""
    return [FOLDER / name for name in _NAMES]


def text(name: str) -> str:
    """Return one of them: a style or a script."""
    return (FOLDER / name).read_text(encoding="utf-8")


def environment(*folders: Path) -> jinja2.Environment:
    """Return what fills them in, and those of more folders; a value that is not given is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
