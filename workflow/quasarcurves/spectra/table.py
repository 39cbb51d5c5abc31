"""Spectra: the prepared data set, in memory and as an HDF5 file.

The file's `flux` is one contiguous block, so that any of its rows can be read (or mapped) without the others. Its
length is known only after the last chunk, so chunks go to a plain file first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

import h5py
import numpy as np

from quasarcurves.files import whole_file
from quasarcurves.spectra.grid import LOGARITHMIC, Grid
from quasarcurves.spectra.row_reader import read_rows

STAR, GALAXY, QSO_LOW, QSO_HIGH, BAD = range(5)
UNKNOWN = 255
"""Label of a spectrum without truth: it can be classified, but neither trained on nor scored."""

QSO_SPLIT_Z = 2.1
"""Redshift that divides QSO_LOW from QSO_HIGH."""

_DTYPES = {
    "flux": np.float32,
    "z": np.float64,
    "label": np.uint8,
    "bal": np.int8,
    "target_id": np.int64,
    "snr": np.float32,
}
_COPY_ROWS = 512


@dataclass
class Spectra:
    """Normalised spectra on a grid with what is known of each object.

    Parameters
    ----------
    flux : (n, bins) float32 array
        Normalised flux, see `quasarcurves.spectra.grid.normalise`.
    z : (n,) float64 array
        True redshift; NaN where unknown.
    label : (n,) uint8 array
        0 STAR, 1 GALAXY, 2 QSO z < 2.1, 3 QSO z >= 2.1, 4 BAD (class or redshift not trusted), 255 UNKNOWN.
    bal : (n,) int8 array
        1 broad absorption line quasar, -1 not one, 0 unknown.
    target_id : (n,) int64 array
        Identifies the object: repeat observations share it.
    snr : (n,) float32 array
        Median signal-to-noise ratio per bin.
    rejected : mapping of str to int
        Number of input spectra left out, by reason.
    source : str
        Name of the source they were read from.
    grid : Grid

    Raises
    ------
    ValueError
        If a column has another length than `flux`, or `flux` another width than the grid.
    """

    flux: np.ndarray
    z: np.ndarray
    label: np.ndarray
    bal: np.ndarray
    target_id: np.ndarray
    snr: np.ndarray
    rejected: Mapping[str, int] = field(default_factory=dict)
    source: str = ""
    grid: Grid = LOGARITHMIC

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            setattr(self, name, np.asarray(getattr(self, name), dtype))
        n = len(self.flux)
        if self.flux.shape != (n, self.grid.n):
            raise ValueError(f"flux has shape {self.flux.shape}, expected (n, {self.grid.n})")
        for name in _DTYPES:
            if len(getattr(self, name)) != n:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows, flux has {n}")

    def __len__(self) -> int:
        return len(self.flux)

    @property
    def is_quasar(self) -> np.ndarray:
        """(n,) bool: trusted quasars of any redshift."""
        return is_quasar(self.label)

    def take(self, rows: np.ndarray) -> Spectra:
        """Return the spectra of some rows (index or bool array), with `rejected` of the whole."""
        columns = {name: getattr(self, name)[rows] for name in _DTYPES}
        return Spectra(**columns, rejected=dict(self.rejected), source=self.source, grid=self.grid)

    @classmethod
    def concatenate(cls, chunks: Iterable[Spectra]) -> Spectra:
        """Join chunks in order; their `rejected` counts add up."""
        chunks = list(chunks)
        if not chunks:
            raise ValueError("no spectra to join")
        columns = {name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in _DTYPES}
        rejected = sum((Counter(chunk.rejected) for chunk in chunks), Counter())
        return cls(**columns, rejected=dict(rejected), source=chunks[0].source, grid=chunks[0].grid)

    def save(self, path: str | Path) -> None:
        """Write to an HDF5 file."""
        write_chunks(path, [self])

    @classmethod
    def load(cls, path: str | Path, rows: np.ndarray | None = None) -> Spectra:
        """Read from an HDF5 file, all rows or the given ones (int array, any order).

        Raises
        ------
        ValueError
            If the file holds no spectra table.
        """
        with _open(path) as file:
            columns = {name: _read(file, name, rows) for name in _DTYPES}
            rejected, source = json.loads(file.attrs["rejected"]), file.attrs["source"]
            return cls(**columns, rejected=rejected, source=source, grid=_grid(file))


def write_chunks(path: str | Path, chunks: Iterable[Spectra]) -> tuple[int, dict[str, int]]:
    """Write chunks of spectra to one HDF5 file, holding one chunk in memory at a time.

    Parameters
    ----------
    path : str or Path
        The file, which gets this name once it is whole.
    chunks : iterable of Spectra

    Returns
    -------
    n : int
        Number of spectra written.
    rejected : dict of str to int
        Number left out, by reason.
    """
    columns: dict[str, list[np.ndarray]] = {name: [] for name in _DTYPES if name != "flux"}
    rejected: Counter[str] = Counter()
    source, grid = "", LOGARITHMIC
    with whole_file(path) as temporary, TemporaryFile(dir=temporary.parent) as staging:
        for chunk in chunks:
            chunk.flux.tofile(staging)
            for name, parts in columns.items():
                parts.append(getattr(chunk, name))
            rejected.update(chunk.rejected)
            source, grid = chunk.source, chunk.grid
        n = sum(map(len, columns["z"]))
        with h5py.File(temporary, "w") as file:
            file.attrs.update(grid=json.dumps(grid.to_json()), source=source, rejected=json.dumps(dict(rejected)))
            for name, parts in columns.items():
                file[name] = np.concatenate(parts) if parts else np.empty(0, _DTYPES[name])
            flux = file.create_dataset("flux", (n, grid.n), np.float32)
            staging.seek(0)
            for start in range(0, n, _COPY_ROWS):
                rows = min(_COPY_ROWS, n - start)
                block = np.fromfile(staging, np.float32, rows * grid.n)
                flux[start : start + rows] = block.reshape(rows, grid.n)
    return n, dict(rejected)


def load_column(path: str | Path, name: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Read one column of an HDF5 file of spectra and no other.

    Parameters
    ----------
    path : str or Path
    name : str
    rows : (n,) int array, optional
        In any order; all of them unless given.

    Raises
    ------
    ValueError
        If the file holds no spectra table.
    """
    with _open(path) as file:
        return _read(file, name, rows)


def check_grid(path: str | Path, expected: Grid) -> None:
    """Refuse a file of spectra that are on another grid.

    Raises
    ------
    ValueError
        With both grids.
    """
    with _open(path) as file:
        found = _grid(file)
    if found != expected:
        raise ValueError(f"{path}: its spectra are on {found}, expected {expected}")


def is_quasar(label: np.ndarray) -> np.ndarray:
    """Return (n,) bool: whether labels are of trusted quasars, of any redshift."""
    return (label == QSO_LOW) | (label == QSO_HIGH)


@contextmanager
def _open(path: str | Path) -> Iterator[h5py.File]:
    """Open a file of spectra; refuse a file of anything else."""
    with h5py.File(path, "r") as file:
        missing = [name for name in _DTYPES if name not in file]
        if missing:
            raise ValueError(f"{path}: not a file of spectra, {', '.join(missing)} missing")
        yield file


def _grid(file: h5py.File) -> Grid:
    try:
        return Grid.from_json(json.loads(file.attrs["grid"]))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{file.filename}: its attribute grid cannot be read ({error})") from error


def _read(file: h5py.File, name: str, rows: np.ndarray | None) -> np.ndarray:
    rows = np.arange(len(file["flux"])) if rows is None else np.asarray(rows)
    if name != "flux":
        # a few bytes per spectrum, so all are read
        return file[name][:][rows]
    flux = file[name]
    # HDF5 allocates nothing for a data set without rows
    offset = flux.id.get_offset() if len(flux) else 0
    if offset is None:
        raise ValueError(f"{file.filename}: its flux is stored in chunks, expected one contiguous block")
    return read_rows(file.filename, offset, flux.shape, rows)
