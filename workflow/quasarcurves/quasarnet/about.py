"""What a model file says of itself: which lines its outputs are, on which grid, of which run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SHOWN = 80
"""Letters of what was found."""


def parse_about(text: str | bytes, path: str | Path) -> dict[str, Any]:
    """Parse what a model file says of itself.

    Parameters
    ----------
    text : str or bytes
        JSON.
    path : str or Path
        The file, for messages.

    Returns
    -------
    dict
        Empty, or with `task`, or with `lines` and `bal_lines`; `name`, `grid` and `scalings` are optional.

    Raises
    ------
    ValueError
        Names the file, the key, what was found and what was expected.
    """
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: what it says of its outputs is no JSON ({error})") from None
    if not isinstance(about, dict):
        raise _wrong(path, "what it says of its outputs", "lines, bal_lines and a name", about)
    for key in ("lines", "bal_lines") if about and "task" not in about else ():
        lines = about.get(key)
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise _wrong(path, key, "a list of names of lines", lines)
    if not isinstance(about.get("name", ""), str):
        raise _wrong(path, "name", "a text", about["name"])
    grid = about.get("grid", {})
    if not isinstance(grid, dict) or not all(type(value) in (int, float) for value in grid.values()):
        raise _wrong(path, "grid", "numbers by name", grid)
    return about


def _wrong(path: str | Path, what: str, expected: str, found: Any) -> ValueError:
    return ValueError(f"{path}: {what}: expected {expected}, found {str(found)[:_SHOWN]}")
