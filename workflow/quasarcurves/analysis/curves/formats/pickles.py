"""Pickles, which are refused: to read one is to run what it holds."""

from __future__ import annotations

from pathlib import Path

from quasarcurves.analysis.curves.tables import Table

NAME = ""

_SUFFIXES = (".pkl", ".pickle", ".joblib", ".pt", ".pth")


def claims(path: Path) -> bool:
    """Return whether a file is called as one, or begins like one."""
    if not path.is_file():
        return False
    if path.suffix.lower() in _SUFFIXES:
        return True
    with path.open("rb") as file:
        start = file.read(2)
    # protocols 2 to 5 begin with their number
    return start[:1] == b"\x80" and len(start) == 2 and 2 <= start[1] <= 5


def read(path: Path) -> list[Table]:
    """Refuse it.

    Raises
    ------
    ValueError
    """
    raise ValueError(
        f"{path}: a pickle is not read, as reading one runs what it holds; where you trust it, save it as JSON: "
        f'json.dump(pickle.load(open("{path.name}", "rb")), open("{path.stem}.json", "w"))'
    )
