"""Tables of objects, CSV or FITS, read as columns that are found by name in any case."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quasarcurves.spectra.reading.fits_files import BadFile, check_files, is_table, open_fits

if TYPE_CHECKING:
    from astropy.io import fits

MISSING = -1
"""Value of an empty cell in a column of whole numbers."""


@dataclass(frozen=True)
class Column:
    """A column to be read.

    Parameters
    ----------
    name : str
        Its name in the file, in any case, and its name in the result.
    kind : type
        `int`, `float` or `str`: it becomes int64 (empty: -1), float64 (empty: NaN) or stripped text.
    aliases : tuple of str
        Other names it may have, tried in this order after its own.
    needed : bool
        Whether a file without it is refused; if not, the result lacks the column.
    """

    name: str
    kind: type = float
    aliases: tuple[str, ...] = ()
    needed: bool = True


def check(path: Path, columns: Sequence[Column]) -> None:
    """Refuse a file that cannot be read or lacks a needed column, by its header alone.

    Raises
    ------
    ValueError, OSError
        With the file, the column, and the columns it has.
    """
    if _is_csv(path):
        _find(path, _csv_header(path), columns)
    else:
        check_files([path], lambda hdus, path: _find(path, _table(hdus, path).columns.names, columns))


def read(path: Path, columns: Sequence[Column]) -> dict[str, np.ndarray]:
    """Read columns of a CSV file (with a header line; `.csv`, `.csv.gz`) or of a FITS file's first table.

    Parameters
    ----------
    path : Path
    columns : sequence of Column

    Returns
    -------
    dict of str to (n,) array
        By the columns' own names.

    Raises
    ------
    ValueError, OSError
        With the file, the column, and what was found.
    """
    if _is_csv(path):
        return _read_csv(path, columns)
    # mapped: only the pages are held, and only while columns are copied
    with open_fits(path, memmap=True) as hdus:
        return read_table(_table(hdus, path), path, columns)


def read_table(table: fits.BinTableHDU, path: Path, columns: Sequence[Column]) -> dict[str, np.ndarray]:
    """Read columns of an open FITS table, copied and in native byte order; see `read`."""
    found = _find(path, table.columns.names, columns)
    by_name = {column.name: column for column in columns}
    return {name: _convert(table.data[actual], by_name[name], path) for name, actual in found.items()}


def check_table(table: fits.BinTableHDU, path: Path, columns: Sequence[Column]) -> None:
    """Refuse an open FITS table without a needed column."""
    _find(path, table.columns.names, columns)


def _is_csv(path: Path) -> bool:
    return ".csv" in [suffix.lower() for suffix in path.suffixes]


def _table(hdus: fits.HDUList, path: Path) -> fits.BinTableHDU:
    for each in hdus:
        if is_table(each):
            return each
    raise BadFile(f"{path}: expected a table, found {len(hdus)} HDUs without one")


def _find(path: Path, names: Sequence[str], columns: Sequence[Column]) -> dict[str, str]:
    """Return the name that each column has in the file, by its name in the result."""
    actual = {name.strip().lower(): name for name in reversed(names)}
    found = {}
    for column in columns:
        candidates = (column.name, *column.aliases)
        present = [actual[name.lower()] for name in candidates if name.lower() in actual]
        if present:
            found[column.name] = present[0]
        elif column.needed:
            expected = " or ".join(candidates)
            raise BadFile(f"{path}: column {expected} is missing, it has {', '.join(names) or 'none'}")
    return found


def _convert(values: np.ndarray, column: Column, path: Path) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1:
        raise BadFile(f"{path}: column {column.name} has {values.shape[1:]} values per row, expected one")
    if column.kind is str:
        return np.char.strip(values.astype(str))
    if values.dtype.kind not in "iufb":
        raise BadFile(f"{path}: column {column.name} holds {values.dtype}, expected numbers")
    if column.kind is float:
        return values.astype(np.float64)
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, MISSING)
    return values.astype(np.int64)


def _csv_header(path: Path) -> list[str]:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error, EOFError) as error:
        raise BadFile(f"{path}: cannot be read, expected a CSV table ({error})") from error


def _read_csv(path: Path, columns: Sequence[Column]) -> dict[str, np.ndarray]:
    import pandas as pd  # noqa: PLC0415  (slow to import, and a check needs only the header)

    found = _find(path, _csv_header(path), columns)
    # Int64, not float64, holds ids with empty cells: those of DESI need all 63 bits
    types = {int: "Int64", float: "float64", str: "str"}
    kinds = {found[column.name]: types[column.kind] for column in columns if column.name in found}
    try:
        table = pd.read_csv(path, usecols=list(kinds), dtype=kinds, encoding="utf-8-sig", skipinitialspace=True)
    except (ValueError, TypeError, EOFError) as error:
        raise BadFile(f"{path}: cannot be read, expected columns {kinds} ({error})") from error
    empty: dict[type, Any] = {int: MISSING, float: np.nan, str: ""}
    result = {}
    for column in columns:
        if column.name in found:
            filled = table[found[column.name]].fillna(empty[column.kind])
            result[column.name] = _convert(filled.to_numpy(column.kind), column, path)
    return result
