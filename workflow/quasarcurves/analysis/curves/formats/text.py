"""CSV, TSV and other tables in plain text, such as CSVLogger's, and exports of W&B's and MLflow's pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from quasarcurves.analysis.curves.tables import Table, merged

NAME = "CSV, TSV or other text with a row per epoch or step"

_SUFFIXES = (".csv", ".tsv", ".txt", ".log", ".dat", ".tab", ".csv.gz", ".tsv.gz")
_SEPARATORS = (";", "\t", ",", "|")
"""In the order in which they are preferred: where there are semicolons, commas are decimal."""

_LINES = 50
"""First lines that tell how a file is written."""

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_WANDB = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<bound>__M(?:IN|AX))?")


@dataclass(frozen=True)
class _Dialect:
    separator: str
    decimal: str
    header: bool
    skipped: int
    encoding: str
    names: list[str]


def claims(path: Path) -> bool:
    """Return whether a file is called as one."""
    return path.is_file() and path.name.lower().endswith(_SUFFIXES)


def read(path: Path) -> list[Table]:
    """Return the table, or one per run for exports of several.

    Raises
    ------
    ValueError
        If a row has another number of cells than the header, or it is no text.
    """
    dialect = _dialect(path)
    frame = _frame(path, dialect)
    first_row = dialect.skipped + dialect.header + 1
    notes: tuple[str, ...] = ()
    if dialect.header and len(frame):
        repeated = (frame.astype(str) == dialect.names).all(axis=1) if _has_text(frame) else None
        if repeated is not None and repeated.any():
            frame = frame[~repeated]
            notes = (f"the header comes again in row {first_row + int(np.argmax(repeated))}; it is skipped",)
            first_row = 0  # rows have moved
    if tables := _long(path, frame) or _wandb(path, frame):
        return tables
    return [Table(path, frame, first_row=first_row, notes=notes)]


def _has_text(frame: pd.DataFrame) -> bool:
    return not all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes)


def _frame(path: Path, dialect: _Dialect) -> pd.DataFrame:
    try:
        return pd.read_csv(
            path,
            sep=r"\s+" if dialect.separator == " " else dialect.separator,
            decimal=dialect.decimal,
            header=None,
            names=dialect.names,
            skiprows=dialect.skipped + dialect.header,
            index_col=False,
            encoding=dialect.encoding,
            skipinitialspace=True,
            keep_default_na=False,
            na_values=["", "None", "null", "NA", "N/A", "nan", "NaN", "NAN"],
            low_memory=False,
        )
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path}: expected rows of numbers, found none") from error
    except pd.errors.ParserError as error:
        told = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        found = (
            f"row {told[2]}: expected {told[1]} cells, found {told[3]}" if told else f"expected a table, found {error}"
        )
        raise ValueError(f"{path}: {found}") from error


def _dialect(path: Path) -> _Dialect:
    """Find out how a file is written, from its first lines."""
    lines, encoding = _first_lines(path)
    skipped = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    body = [line for line in lines[skipped:] if line.strip()]
    if not body:
        raise ValueError(f"{path}: expected rows of numbers, found none in its first {len(lines)} lines")
    separator = _separator(body)
    first = _cells(body[0], separator)
    header = not all(_NUMBER.fullmatch(cell) or not cell for cell in first)
    data = body[1 if header else 0 :]
    cells = [cell for line in data for cell in _cells(line, separator)]
    decimal = "," if separator != "," and any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells) else "."
    names = first if header else _headless(lines[:skipped], separator, len(first))
    return _Dialect(separator, decimal, header, skipped, encoding, _unique(names))


def _first_lines(path: Path) -> tuple[list[str], str]:
    import gzip  # noqa: PLC0415  (for few files alone)

    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
        start = file.read(1 << 16)
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if b"\0" in start and encoding != "utf-16":
        raise ValueError(f"{path}: expected text, found bytes that are none")
    text = start.decode(encoding, errors="ignore")
    try:
        start[:4096].decode(encoding)
    except UnicodeDecodeError as error:
        if error.end < min(len(start), 4096) - 4:
            encoding, text = "latin-1", start.decode("latin-1")
    lines = text.splitlines()
    whole = len(start) < 1 << 16
    return (lines if whole else lines[:-1])[:_LINES], encoding


def _separator(lines: list[str]) -> str:
    for separator in _SEPARATORS:
        if all(separator in line for line in lines):
            # a lone number with a decimal comma is no row of two
            lone = separator == "," and all(_DECIMAL_COMMA.fullmatch(line.strip()) for line in lines[1:])
            return " " if lone and len(lines) > 1 else separator
    # a header in quotes or of one word
    return " " if all(len(line.split()) == len(lines[0].split()) for line in lines) and '"' not in lines[0] else ","


def _cells(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.split()
    quoted = re.findall(rf'(?:^|{re.escape(separator)})\s*("(?:[^"]|"")*"|[^{re.escape(separator)}]*)', line)
    return [cell.strip().strip('"').strip() for cell in quoted]


def _headless(comments: list[str], separator: str, count: int) -> list[str]:
    """Return the names of columns without a header: of the last comment, if it has as many, or numbers."""
    said = _cells(comments[-1].lstrip("# "), separator) if comments else []
    if len(said) == count:
        return said
    return [f"column {i + 1}" for i in range(count)]


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    unique = []
    for place, name in enumerate(names, start=1):
        name = name or f"column {place}"  # noqa: PLW2901
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}.{seen[name] - 1}")
    return unique


def _long(path: Path, frame: pd.DataFrame) -> list[Table]:
    """Return a table per run of a file that has a row per metric and step, as MLflow exports charts."""
    lower = {name.lower().strip(): name for name in frame.columns}
    metric = next((lower[name] for name in ("metric", "key", "tag") if name in lower), None)
    if metric is None or "value" not in lower or "step" not in lower:
        return []
    run = next((lower[name] for name in ("run", "run_name", "run name", "run_id", "run id") if name in lower), None)
    groups = [("", frame)] if run is None else [(str(key), own) for key, own in frame.groupby(run, sort=False)]
    tables = []
    for label, own in groups:
        raw = Table(path, own.reset_index(drop=True))
        at, values = raw.numbers(lower["step"]), raw.numbers(lower["value"])
        names = own[metric].astype(str).to_numpy()
        series = ((name, at[names == name], values[names == name]) for name in dict.fromkeys(names))
        tables.append(Table(path, merged(series, "step"), name=label if len(groups) > 1 else "", sparse=True))
    return tables


def _wandb(path: Path, frame: pd.DataFrame) -> list[Table]:
    """Return a table per run of an export of a chart by W&B: columns `run - metric`, and their bounds."""
    matches = {name: match for name in frame.columns if (match := _WANDB.fullmatch(name))}
    if not matches or len(matches) < len(frame.columns) - 2:
        return []
    at = next((name for name in frame.columns if name not in matches), None)
    runs: dict[str, dict[str, str]] = {}
    for name, match in matches.items():
        if match["bound"] is None and match["metric"] != "_step":
            runs.setdefault(match["run"], {})[name] = match["metric"]
    places = {} if at is None else {at: at}
    return [
        Table(path, frame[[*places, *columns]].rename(columns=columns), name=run, sparse=True)
        for run, columns in runs.items()
    ]
