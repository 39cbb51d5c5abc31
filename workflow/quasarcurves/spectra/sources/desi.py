"""DESI coadd and spectra files: many spectra each, in the arms B, R and Z.

Keys: `spectra`, a file, list or glob; `catalogue`, a FITS or CSV table with TARGETID, Z and SPECTYPE, and perhaps
ZWARN. An arm is the HDUs {B,R,Z}_WAVELENGTH, _FLUX, _IVAR and, if there, _MASK (not 0: the pixel does not count). A
coadd across cameras has one arm, BRZ say; it is read where there are no single ones.
TARGETID comes from the table FIBERMAP; without one it is the row number, counted through all files.

SPECTYPE is STAR, GALAXY or QSO; anything else, or ZWARN other than 0, gives the label BAD.

A study needs the catalogue: there is nothing to train on without labels. `read_chunks` alone reads spectra without a
catalogue too, for use outside of a study; their labels are UNKNOWN.

All exposures of a target within a file become one spectrum. Exposures in different files stay separate
spectra that share their target id, so that no more than one file has to be looked through at a time.

Rows are read as they are needed; a compressed file is held in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quasarcurves.spectra.grid import Grid, grid_of, rebin
from quasarcurves.spectra.reading import catalogue
from quasarcurves.spectra.reading.binned import DEFAULT_ROWS, Binned
from quasarcurves.spectra.reading.catalogue import Column
from quasarcurves.spectra.reading.file_lists import files, one_file
from quasarcurves.spectra.reading.fits_files import (
    BadFile,
    check_files,
    hdu,
    is_compressed,
    is_table,
    open_fits,
)
from quasarcurves.spectra.reading.selection import INVALID_TARGET_ID, select
from quasarcurves.spectra.reading.truth import Known, Truth, label_from_class
from quasarcurves.spectra.table import Spectra

if TYPE_CHECKING:
    from astropy.io import fits

SCHEMA = {
    "required": ["spectra", "catalogue"],
    "properties": {
        "spectra": {"description": "List or glob of coadd or spectra files.", "$ref": "#/$defs/files"},
        "catalogue": {
            "description": "FITS or CSV table of TARGETID, Z, SPECTYPE.",
            "type": "string",
            "minLength": 1,
        },
    },
}

BYTES_PER_SPECTRUM = 100_000

ARMS = ("B", "R", "Z")
_ACROSS = ("BRZ", "BR", "BZ", "RZ")
"""Arms of coadds across cameras."""

_ANY_ARM = "B_FLUX, R_FLUX or Z_FLUX, or BRZ_FLUX of a coadd across cameras"

_FIBERMAP = "FIBERMAP"
_TARGET_ID = (Column("TARGETID", int),)
_CATALOGUE = (
    Column("TARGETID", int),
    Column("Z"),
    Column("SPECTYPE", str),
    Column("ZWARN", int, needed=False),
)
_BLOCK_ROWS = 128
"""Rows whose pixels are in memory at a time: a spectrum has 8,000 of them, and some 450 bins."""


def check(config: Mapping[str, Any]) -> None:
    """Refuse a `data` block whose files are missing, damaged, without an arm or without a needed column.

    Raises
    ------
    ValueError, OSError
        With the file, what was found and what was expected.
    """
    check_files(spectra_files(config), check_spectrum)
    if config.get("catalogue") is not None:
        catalogue.check(one_file(config, "catalogue"), _CATALOGUE)


def input_files(config: Mapping[str, Any]) -> list[Path]:
    """List every file that is read."""
    return [*spectra_files(config), *(files(config, "catalogue") if config.get("catalogue") else [])]


def spectra_files(config: Mapping[str, Any]) -> list[Path]:
    """List the files that hold spectra."""
    return files(config, "spectra")


def read_chunks(config: Mapping[str, Any], rows: int = DEFAULT_ROWS) -> Iterator[Spectra]:
    """Read the spectra, at most `rows` exposures at a time (or all those of one target, if they are more).

    Parameters
    ----------
    config : mapping
        `spectra` and `catalogue`, which may be missing outside of a study.
    rows : int

    Yields
    ------
    Spectra
        One per target and file, in the order of the files and of each target's first row. Rejected spectra are
        counted per target and file too, but rows with target id -1 are counted one by one.
    """
    truth = read_catalogue(one_file(config, "catalogue")) if config.get("catalogue") is not None else None
    for binned in read_binned(config, rows):
        known = Known.nothing(binned.key) if truth is None else truth.look_up(binned.key)
        yield select(binned.flux, binned.ivar, known, "desi", grid_of(config))


def read_binned(config: Mapping[str, Any], rows: int = DEFAULT_ROWS) -> Iterator[Binned]:
    """Read the spectra without looking into the catalogue, one per target and file; see `read_chunks`."""
    spectra, first_row = spectra_files(config), 0
    for number, path in enumerate(spectra):
        with open_fits(path) as hdus:
            arms = check_spectrum(hdus, path)
            target_id, read = _target_ids(hdus, path, first_row), 0
            first_row += len(target_id)
            for order, starts in _exposures(target_id, rows):
                flux, ivar = _combine(*_rebin_rows(hdus, arms, order, grid_of(config)), starts)
                read += len(order)
                done = (number + read / len(target_id)) / len(spectra)
                yield Binned(target_id[order[starts]], flux, ivar, done)


def read_catalogue(path: Path) -> Truth:
    """Read the catalogue.

    Raises
    ------
    ValueError
        If a column is missing, or a target has rows that disagree.
    """
    columns = catalogue.read(path, _CATALOGUE)
    n = len(columns["Z"])
    trusted = columns["ZWARN"] == 0 if "ZWARN" in columns else np.ones(n, bool)
    return Truth(
        key=columns["TARGETID"],
        z=columns["Z"],
        label=label_from_class(columns["SPECTYPE"], columns["Z"], f"{path}: column SPECTYPE", trusted),
        bal=np.zeros(n, np.int8),
        name=f"TARGETID in {path}",
    )


def check_spectrum(hdus: fits.HDUList, path: Path) -> list[str]:
    """Return the arms that a file has, once the shapes of their parts are found to fit."""
    arms = _arms(hdus)
    if not arms:
        found = ", ".join(each.name for each in hdus if each.name)
        raise BadFile(f"{path}: expected {_ANY_ARM}, found {found or 'no named HDU'}")
    n = _length(hdus, path, arms)
    for arm in arms:
        shape = hdus[f"{arm}_FLUX"].shape
        expected = {"FLUX": (n, *shape[1:2]), "IVAR": shape, "WAVELENGTH": shape[1:]}
        if f"{arm}_MASK" in hdus:
            expected["MASK"] = shape
        for part, wanted in expected.items():
            found = hdu(hdus, path, f"{arm}_{part}").shape
            if found != wanted:
                raise BadFile(f"{path}: {arm}_{part} has shape {found}, expected {wanted}")
    return arms


def _arms(hdus: fits.HDUList) -> list[str]:
    single = [arm for arm in ARMS if f"{arm}_FLUX" in hdus]
    return single or [arm for arm in _ACROSS if f"{arm}_FLUX" in hdus][:1]


def _length(hdus: fits.HDUList, path: Path, arms: list[str]) -> int:
    """Return the number of rows in a file: of its FIBERMAP if it has one, else of its first arm."""
    if _FIBERMAP not in hdus:
        shape = hdus[f"{arms[0]}_FLUX"].shape
        return shape[0] if shape else 0
    table = hdus[_FIBERMAP]
    if not is_table(table):
        raise BadFile(f"{path}: FIBERMAP is no table, expected one with TARGETID")
    catalogue.check_table(table, path, _TARGET_ID)
    return table.header["NAXIS2"]


def _target_ids(hdus: fits.HDUList, path: Path, first_row: int) -> np.ndarray:
    if _FIBERMAP in hdus:
        return catalogue.read_table(hdus[_FIBERMAP], path, _TARGET_ID)["TARGETID"]
    n = hdus[f"{_arms(hdus)[0]}_FLUX"].shape[0]
    return np.arange(first_row, first_row + n, dtype=np.int64)


def _exposures(target_id: np.ndarray, rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Divide the rows of a file into chunks that keep the exposures of a target together.

    Parameters
    ----------
    target_id : (n,) int64 array
    rows : int
        Size of a chunk, unless one target has more.

    Yields
    ------
    order : (m,) int64 array
        Rows of the file, those of a target next to each other.
    starts : (t,) int64 array
        Where in `order` each target begins.
    """
    _, first, target = np.unique(target_id, return_index=True, return_inverse=True)
    first = first[target]
    # rows without an id may be of different targets, so each stays by itself
    without_id = target_id == INVALID_TARGET_ID
    first[without_id] = np.flatnonzero(without_id)
    order = np.argsort(first, kind="stable")
    starts = np.flatnonzero(np.diff(first[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    begin = 0
    while begin < len(starts):
        stop = max(begin + 1, int(np.searchsorted(ends, starts[begin] + rows, side="right")))
        yield order[starts[begin] : ends[stop - 1]], starts[begin:stop] - starts[begin]
        begin = stop


def _rebin_rows(hdus: fits.HDUList, arms: list[str], order: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Rebin some rows of all arms together: flux and ivar, (m, bins) float64 each."""
    wavelength = np.concatenate([np.array(hdus[f"{arm}_WAVELENGTH"].data, np.float64) for arm in arms])
    flux, ivar = np.empty((2, len(order), grid.n))
    for start in range(0, len(order), _BLOCK_ROWS):
        block = order[start : start + _BLOCK_ROWS]
        pixels = [_read_arm(hdus, arm, block) for arm in arms]
        of_all, weight = (np.concatenate(part, axis=1) for part in zip(*pixels, strict=True))
        rows = slice(start, start + len(block))
        flux[rows], ivar[rows] = rebin(wavelength, of_all, weight, grid)
    return flux, ivar


def _read_arm(hdus: fits.HDUList, arm: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flux, ivar = (_read_rows(hdus, f"{arm}_{part}", rows) for part in ("FLUX", "IVAR"))
    if f"{arm}_MASK" in hdus:
        ivar = np.where(_read_rows(hdus, f"{arm}_MASK", rows) != 0, 0.0, ivar)
    return flux, ivar


def _read_rows(hdus: fits.HDUList, name: str, rows: np.ndarray) -> np.ndarray:
    """Read some rows of an image and no others; of a compressed file, read all rows once."""
    image = hdus[name]
    if is_compressed(Path(hdus.filename())):
        # going back in such a file means decompressing it from its start
        return image.data[rows]
    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    return np.concatenate([image.section[run[0] : run[-1] + 1] for run in runs])


def _combine(flux: np.ndarray, ivar: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Combine exposures by ivar; on the grid this equals combining their pixels before rebinning."""
    if len(starts) == len(flux):
        return flux, ivar
    weighted, total = np.add.reduceat(flux * ivar, starts), np.add.reduceat(ivar, starts)
    np.divide(weighted, total, out=weighted, where=total > 0)
    return weighted, total
