"""The page's own files: its HTML, style and script, and what the columns of tables mean."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

_SUFFIXES = (".css", ".html", ".js", ".yaml")


def paths() -> list[Path]:
    """Return all of them, in a fixed order. They are no modules, so a step that uses them depends on their hash."""
    return sorted(path for path in FOLDER.iterdir() if path.suffix in _SUFFIXES)
