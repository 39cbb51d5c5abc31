"""The files of the study's page: its HTML, style and script, and what the columns of tables mean."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

_NAMES = ("base.html", "index.css", "index.html", "index.js", "columns.yaml")


def paths() -> list[Path]:
    """Return all of them, in a fixed order. They are no modules, so a step that uses them depends on their hash."""
    return [FOLDER / name for name in _NAMES]
