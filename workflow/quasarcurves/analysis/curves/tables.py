"""A file of losses as a table, before it is known which of its columns are losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

EPOCH, STEP = "epoch", "step"


@dataclass(frozen=True)
class Table:
    """Columns of a file, as a reader of its format returns them.

    Parameters
    ----------
    source : Path
        The file, or the folder.
    columns : DataFrame
    name : str
        Of one of several tables of a file; empty for a single one.
    per : str
        `epoch` or `step` where the format says what a row is of, else empty.
    first_row : int
        Row of the file that the first one here is, for messages; 0 where rows have no number in the file.
    sparse : bool
        Whether a missing value means that nothing was recorded there, not that the loss was no number.
    single : bool
        Whether the losses are known to be those of single steps, as trained.
    facts : mapping
        What the file says of the training: `examples`, `batch_size`, `steps_per_epoch`.
    notes : tuple of str
        What the reader took for granted, or found amiss.
    """

    source: Path
    columns: pd.DataFrame
    name: str = ""
    per: str = ""
    first_row: int = 0
    sparse: bool = False
    single: bool = False
    facts: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name of the table, or of its file."""
        return self.name or self.source.stem

    def numbers(self, column: str) -> np.ndarray:
        """Return a column as numbers (rows,), NaN where a cell is empty.

        Raises
        ------
        ValueError
            If a cell is no number, with its row.
        """
        values = self.columns[column]
        if pd.api.types.is_numeric_dtype(values):
            return values.to_numpy(np.float64, na_value=np.nan)
        text = values.astype(object).map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
        empty = text.isna() | text.isin(["", "None", "null", "NA", "N/A"])
        numbers = pd.to_numeric(text.mask(empty), errors="coerce")
        spelt_nan = text.map(lambda cell: isinstance(cell, str) and cell.lower().lstrip("+-") == "nan")
        wrong = np.flatnonzero((numbers.isna() & ~empty & ~spelt_nan).to_numpy())
        if len(wrong):
            row = f"row {self.first_row + wrong[0]}, " if self.first_row else ""
            raise ValueError(f"{self.source}: {row}column {column!r}: expected a number, found {text.iloc[wrong[0]]!r}")
        return numbers.to_numpy(np.float64)


def recorded(value: Any) -> Any:
    """Return a value of a sparse table: a loss that is no number becomes infinite, as NaN says that none is there."""
    return np.inf if isinstance(value, float) and np.isnan(value) else value


def merged(series: Iterable[tuple[str, np.ndarray, np.ndarray]], at: str) -> pd.DataFrame:
    """Return series that were recorded at places of their own as one table, with NaN where one has no value.

    Parameters
    ----------
    series : iterable of (name, (n,) places, (n,) values)
        Places may be repeated, as a resumed run does: then all of them are kept.
    at : str
        Name of the column of the places.
    """
    found: dict[str, pd.Series] = {}
    for name, places, values in series:
        index = pd.MultiIndex.from_arrays([_epochs_of_recording(places), places], names=["part", at])
        one = pd.Series(np.where(np.isnan(values), np.inf, values), index=index)  # as `recorded`
        found[name] = one[~one.index.duplicated(keep="last")]
    if not found:
        return pd.DataFrame({at: []})
    table = pd.DataFrame(found)
    return table.sort_index().reset_index().drop(columns="part")


def _epochs_of_recording(places: np.ndarray) -> np.ndarray:
    """Number the parts (n,) that a recording consists of: another begins where its places go back."""
    return np.cumsum(np.diff(places, prepend=places[:1]) < 0)
