"""Files that a command writes: never over what it reads, and over another file only when it is told to."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add the option that allows an output to replace a file."""
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")


def check_output(out: Path, inputs: Iterable[str | Path], overwrite: bool, suffixes: tuple[str, ...]) -> None:
    """Refuse an output that would replace an input, or another file without leave, or is called as another format.

    Parameters
    ----------
    out : Path
    inputs : iterable of str or Path
        Files that are read, or folders of them.
    overwrite : bool
    suffixes : tuple of str
        Endings that the name of the output may have.

    Raises
    ------
    ValueError
    """
    if not out.name.endswith(suffixes):
        raise ValueError(f"{out}: expected a name that ends in {' or '.join(suffixes)}")
    if not out.exists():
        return
    for path in map(Path, inputs):
        if path.exists() and (out.samefile(path) or (path.is_dir() and out.resolve().is_relative_to(path.resolve()))):
            raise ValueError(f"{out}: is read as input ({path}), expected another name for the output")
    if not overwrite:
        raise ValueError(f"{out}: exists; expected another name, or --overwrite")
