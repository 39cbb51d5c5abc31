"""Parquet."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from quasarcurves.analysis.curves.tables import Table

NAME = "Parquet"

_SUFFIXES = (".parquet", ".pq")


def claims(path: Path) -> bool:
    """Return whether a file is called as one."""
    return path.is_file() and path.suffix.lower() in _SUFFIXES


def read(path: Path) -> list[Table]:
    """Return the table.

    Raises
    ------
    ValueError
        If it is none, or the library that reads it is missing.
    """
    if find_spec("polars") is None:
        raise ValueError(f'{path}: Parquet needs Polars: pip install "quasarcurves[curves]"; or save the table as CSV')
    # not PyArrow: where that is installed, pandas holds all text in another way
    import polars  # noqa: PLC0415  (optional)

    try:
        columns = polars.read_parquet(path).get_columns()
    except (OSError, ValueError, polars.exceptions.PolarsError) as error:
        raise ValueError(f"{path}: expected Parquet, found something else ({error})") from error
    return [Table(path, pd.DataFrame({each.name: each.to_numpy() for each in columns}), first_row=1)]
