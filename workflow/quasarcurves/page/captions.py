"""Captions of figures: each stands in the docstring of the module that draws the figure, below the heading Caption."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from pathlib import Path

_LIBRARY = Path(__file__).parents[2]
_HEADING = "\nCaption\n-------\n"


def of_figure(module: str, drawn_for: Mapping[str, str]) -> str:
    """Return the caption of a figure, read without importing what draws it.

    Parameters
    ----------
    module : str
        Name of the module that draws it.
    drawn_for : mapping of str to str
        What the figure is of: takes the place of {optimizer}, say.

    Raises
    ------
    ValueError
        If the module has no caption.
    """
    path = _LIBRARY.joinpath(*module.split(".")).with_suffix(".py")
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    if _HEADING not in doc:
        raise ValueError(f"{path}: its docstring has no caption, expected one below the heading 'Caption'")
    return inspect.cleandoc(doc.split(_HEADING)[1]).format_map(drawn_for)
