"""Tables of objects, CSV or FITS, read as columns that are found by name in any case."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from quasarcurves.spectra.reading.fits_files import BadFile, check_files, compression, is_table, open_fits

if TYPE_CHECKING:
    import pandas as pd
    from astropy.io import fits

MISSING = -1
"""Value of an empty cell in a column of whole numbers."""

_EMPTY: dict[type, Any] = {float: np.nan, str: ""}


@dataclass(frozen=True)
class Column:
    """A column to be read.

    Parameters
    ----------
    name : str
        Its name in the file, in any case, and its name in the result.
    kind : type
        `int`, `float` or `str`: it becomes int64 (empty: -1), float64 (empty: NaN) or stripped text. Whole numbers that
        are stored as floating point are refused where neighbours become one: from 2^53 on in 64 bits.
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


def names(path: Path) -> set[str]:
    """Return the names of the columns that a file has, in capital letters."""
    if _is_csv(path):
        found = _csv_header(path)
    else:
        with open_fits(path) as hdus:
            found = _table(hdus, path).columns.names
    return {name.strip().upper() for name in found}


def read(path: Path, columns: Sequence[Column]) -> dict[str, np.ndarray]:
    """Read columns of a CSV file (with a header line, compressed or not) or of a FITS file's first table.

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
    return _whole(values, column, path)


def _whole(values: np.ndarray, column: Column, path: Path) -> np.ndarray:
    """Return numbers as int64, those not finite as missing; refuse those that are not whole, or no longer exact."""
    if values.dtype.kind == "u" and (values > np.iinfo(np.int64).max).any():
        raise BadFile(f"{path}: column {column.name} holds {values.max()}, expected whole numbers below 2^63")
    if values.dtype.kind == "f":
        digits = np.finfo(values.dtype).nmant + 1
        known = np.isfinite(values)
        values = np.where(known, values, MISSING)
        for wrong, expected in (
            (values != np.floor(values), "whole numbers"),
            (
                # 2^53 itself may have been 2^53 + 1
                np.abs(values) >= 2.0**digits,
                f"integers: as floating point ({values.dtype}) numbers from 2^{digits} on are no longer exact, and "
                "different ones may have become one",
            ),
        ):
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                found = f"{values[row]!s} in row {row + 1}, {np.count_nonzero(wrong)} such in all"
                raise BadFile(f"{path}: column {column.name} holds {found}, expected {expected}")
    return values.astype(np.int64)


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    """Open a CSV file at its header line: SkyServer writes a line such as `#Table1` before it."""
    openers: dict[str | None, Any] = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open, None: open}
    compressed = compression(path)
    if compressed not in openers:
        raise BadFile(f"{path}: compressed by {compressed}, expected gzip, bz2, xz or none")
    try:
        with openers[compressed](path, "rt", encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            if not first.startswith("#") or "," in first:
                file.seek(0)
            yield file
    except (UnicodeDecodeError, csv.Error, EOFError, lzma.LZMAError, zlib.error) as error:
        raise BadFile(f"{path}: cannot be read, expected a CSV table ({error})") from error


def _csv_header(path: Path) -> list[str]:
    with _text(path) as file:
        return next(csv.reader(file), [])


def _read_csv(path: Path, columns: Sequence[Column]) -> dict[str, np.ndarray]:
    import pandas as pd  # noqa: PLC0415  (slow to import, and a check needs only the header)

    found = _find(path, _csv_header(path), columns)
    # whole numbers as text: what is read as floating point has lost digits, and what is written as such may have
    kinds = {
        found[column.name]: "float64" if column.kind is float else "str" for column in columns if column.name in found
    }
    try:
        with _text(path) as file:
            table = pd.read_csv(file, usecols=list(kinds), dtype=kinds, skipinitialspace=True)
    except BadFile:
        raise
    except (ValueError, TypeError) as error:
        raise BadFile(f"{path}: cannot be read, expected columns {', '.join(kinds)} ({error})") from error
    result = {}
    for column in columns:
        if column.name in found:
            cells = table[found[column.name]]
            values = _numbers(cells, column, path) if column.kind is int else cells.fillna(_EMPTY[column.kind])
            result[column.name] = _convert(np.asarray(values), column, path)
    return result


def _numbers(text: pd.Series, column: Column, path: Path) -> np.ndarray:
    """Return cells as numbers: int64 if all are written as whole numbers or empty, else float64."""
    import pandas as pd  # noqa: PLC0415

    text = text.str.strip()
    whole = text.str.fullmatch(r"[+-]?\d+").fillna(False).astype(bool)
    if (whole | text.isna()).all():
        try:
            return text.fillna(str(MISSING)).to_numpy(str).astype(np.int64)
        except OverflowError:
            raise BadFile(f"{path}: column {column.name} holds a number of 2^63 or more, expected less") from None
    numbers = pd.to_numeric(text, errors="coerce")
    wrong = (numbers.isna() & text.notna()).to_numpy()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BadFile(f"{path}: column {column.name} holds {text[row]!r} in row {row + 1}, expected whole numbers")
    return numbers.to_numpy(np.float64)
