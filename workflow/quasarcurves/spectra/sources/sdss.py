"""SDSS spec files, one spectrum each, and a catalogue of them.

Keys: `spectra`, a folder, list or glob of files `spec-PLATE-MJD-FIBER.fits` of SDSS, BOSS and eBOSS, or
`spec-FIELD-MJD-CATALOGID.fits` of SDSS-V, compressed or not; `catalogue`, a CSV or FITS table with Z and CLASS, and
perhaps THING_ID, BAL_FLAG_VI, BI_CIV. Its rows are found by PLATE, MJD and FIBERID (or FIBER); in SDSS-V by CATALOGID.

CLASS is STAR, GALAXY or QSO in any case; anything else gives the label BAD. Every other row is trusted: leave rows that
are not to be trusted out of the catalogue, or change their class. A catalogue of quasars (DR16Q) has IS_QSO_FINAL in
place of CLASS: 1 is a quasar, anything else BAD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quasarcurves.spectra.grid import LOGARITHMIC, Grid, grid_of, rebin
from quasarcurves.spectra.reading import catalogue
from quasarcurves.spectra.reading.binned import DEFAULT_ROWS, Binned
from quasarcurves.spectra.reading.catalogue import Column
from quasarcurves.spectra.reading.file_lists import files, one_file
from quasarcurves.spectra.reading.fits_files import BadFile, check_files, hdu, is_table, open_fits
from quasarcurves.spectra.reading.selection import select
from quasarcurves.spectra.reading.truth import Truth, bal_from_inspection, label_from_class
from quasarcurves.spectra.table import Spectra

if TYPE_CHECKING:
    from astropy.io import fits

SCHEMA = {
    "required": ["spectra", "catalogue"],
    "properties": {
        "spectra": {
            "description": "Folder, list or glob of files spec-PLATE-MJD-FIBER.fits or spec-FIELD-MJD-CATALOGID.fits.",
            "$ref": "#/$defs/files",
        },
        "catalogue": {
            "description": (
                "CSV or FITS table of z, class, and plate, mjd, fiberid (or fiber), or catalogid; thing_id and BAL "
                "columns if known."
            ),
            "type": "string",
            "minLength": 1,
        },
    },
}

BYTES_PER_SPECTRUM = 100_000

_ENDING = r"( ?\(\d+\))?\.fits(\.\w+)?"  # copies of files are called `spec-3655-55240-0026 (1).fits`
_NAME = re.compile(r"spec-(\d+)-(\d+)-(\d{1,4})" + _ENDING, re.IGNORECASE)
_NAME_SDSS_V = re.compile(r"spec-\w+-\d+-(\d{5,19})" + _ENDING, re.IGNORECASE)
_IN_FOLDER = "spec-*.fits*"
_BAD_SKY_BIT = 25
"""Bit of AND_MASK that QuasarNET drops: the sky is bright and badly subtracted in every exposure."""

_PIXELS = (Column("FLUX"), Column("LOGLAM"), Column("IVAR"), Column("AND_MASK", int))
_FIBRE = (Column("PLATE", int), Column("MJD", int), Column("FIBERID", int, ("FIBER",)))
_CATALOGUE = (
    Column("Z"),
    Column("THING_ID", int, needed=False),
    Column("BAL_FLAG_VI", needed=False),
    Column("BI_CIV", needed=False),
)


def check(config: Mapping[str, Any]) -> None:
    """Refuse a `data` block whose files are missing, damaged, wrongly named or without a needed column.

    Raises
    ------
    ValueError, OSError
        With the file, what was found and what was expected.
    """
    spectra = spectra_files(config)
    for path in spectra:
        observation(path)
    check_files(spectra, check_spectrum)
    path = one_file(config, "catalogue")
    catalogue.check(path, _catalogue_columns(path))


def input_files(config: Mapping[str, Any]) -> list[Path]:
    """List every file that is read."""
    return [*spectra_files(config), one_file(config, "catalogue")]


def spectra_files(config: Mapping[str, Any]) -> list[Path]:
    """List the files that hold spectra."""
    return files(config, "spectra", _IN_FOLDER)


def read_chunks(config: Mapping[str, Any], rows: int = DEFAULT_ROWS) -> Iterator[Spectra]:
    """Read the spectra, at most `rows` files at a time.

    Parameters
    ----------
    config : mapping
        The `data` block.
    rows : int

    Yields
    ------
    Spectra
        In the order of the files. The target id is THING_ID where the catalogue has one above 0, else
        it is made of plate, MJD and fibre, above any THING_ID.
    """
    for path in spectra_files(config):
        observation(path)
    truth = read_catalogue(one_file(config, "catalogue"))
    for binned in read_binned(config, rows):
        yield select(binned.flux, binned.ivar, truth.look_up(binned.key), "sdss", grid_of(config))


def read_binned(config: Mapping[str, Any], rows: int = DEFAULT_ROWS) -> Iterator[Binned]:
    """Read the spectra without looking into the catalogue, at most `rows` files at a time.

    Files of other names, which no catalogue could speak of, are numbered.
    """
    spectra, grid = spectra_files(config), grid_of(config)
    for start in range(0, len(spectra), rows):
        paths = spectra[start : start + rows]
        key = np.array([_observation_or(start + row, path) for row, path in enumerate(paths)], np.int64)
        flux, ivar = np.empty((2, len(paths), grid.n))
        for row, path in enumerate(paths):
            flux[row], ivar[row] = read_spectrum(path, grid)
        yield Binned(key, flux, ivar, (start + len(paths)) / len(spectra))


def read_spectrum(path: Path, grid: Grid = LOGARITHMIC) -> tuple[np.ndarray, np.ndarray]:
    """Read one spec file and rebin it.

    Parameters
    ----------
    path : Path
    grid : Grid

    Returns
    -------
    flux, ivar : (bins,) float64 array
        1e-17 erg/s/cm2/Angstrom and its inverse variance; pixels with bit 25 of AND_MASK do not count.
    """
    # the second table has some thousand header cards that are not needed here
    with open_fits(path, all_headers=False) as hdus:
        check_spectrum(hdus, path)
        pixels = catalogue.read_table(hdus[1], path, _PIXELS)
    masked = (pixels["AND_MASK"] & (1 << _BAD_SKY_BIT)) != 0
    ivar = np.where(masked, 0.0, pixels["IVAR"])
    flux, ivar = rebin(10 ** pixels["LOGLAM"], pixels["FLUX"], ivar, grid)
    return flux[0], ivar[0]


def read_catalogue(path: Path) -> Truth:
    """Read the catalogue, to be looked up by `observation`.

    Raises
    ------
    ValueError
        If a column is missing, or a spectrum has rows that disagree.
    """
    columns = catalogue.read(path, _catalogue_columns(path))
    key, name = _keys(columns, path)
    thing_id = columns.get("THING_ID", key)
    if "CLASS" in columns:
        label = label_from_class(columns["CLASS"], columns["Z"], f"{path}: column CLASS")
    else:
        is_quasar = np.where(columns["IS_QSO_FINAL"] == 1, "QSO", "NOT 1")
        label = label_from_class(is_quasar, columns["Z"], f"{path}: column IS_QSO_FINAL as class")
    return Truth(
        key=key,
        z=columns["Z"],
        label=label,
        bal=bal_from_inspection(columns, len(key)),
        target_id=np.where(thing_id > 0, thing_id, key),
        name=f"{name} in {path}",
    )


def _catalogue_columns(path: Path) -> tuple[Column, ...]:
    """Return the columns to read of a catalogue: how its rows are found, and what it knows, depends on its kind."""
    has = catalogue.names(path)
    by_catalogid = "CATALOGID" in has and not {"PLATE", "MJD"} <= has
    classes = Column("IS_QSO_FINAL", int) if "CLASS" not in has and "IS_QSO_FINAL" in has else Column("CLASS", str)
    return *((Column("CATALOGID", int),) if by_catalogid else _FIBRE), classes, *_CATALOGUE


def _keys(columns: Mapping[str, np.ndarray], path: Path) -> tuple[np.ndarray, str]:
    """Return the key of each row of a catalogue, and what it is made of."""
    if "CATALOGID" in columns:
        return columns["CATALOGID"], "CATALOGID"
    return _key(columns["PLATE"], columns["MJD"], columns["FIBERID"], path), "PLATE, MJD, FIBERID (in one number)"


def observation(path: Path) -> int:
    """Return the number that stands for the observation of a spec file, from its name: its catalogue id in SDSS-V.

    Others are made of plate, MJD and fibre. They lie below 10^15 and above 10^11; catalogue ids are smaller or larger.

    Raises
    ------
    ValueError
        If the file has another name.
    """
    if match := _NAME.fullmatch(path.name):
        plate, mjd, fiber = (np.array([int(each)]) for each in match.groups()[:3])
        return int(_key(plate, mjd, fiber, path)[0])
    if match := _NAME_SDSS_V.fullmatch(path.name):
        return int(match[1])
    raise BadFile(f"{path}: expected a name such as spec-3655-55240-0026.fits or spec-015000-59146-4375786580.fits")


def _observation_or(number: int, path: Path) -> int:
    return observation(path) if _NAME.fullmatch(path.name) or _NAME_SDSS_V.fullmatch(path.name) else number


def _key(plate: np.ndarray, mjd: np.ndarray, fiber: np.ndarray, path: Path) -> np.ndarray:
    """Write plate, MJD and fibre one after the other: 3655, 55240, 26 gives 3655_55240_0026."""
    for name, values, digits in (("plate", plate, 6), ("MJD", mjd, 5), ("fibre", fiber, 4)):
        wrong = values[(values < 0) | (values >= 10**digits)]
        if len(wrong):
            raise BadFile(f"{path}: {name} {wrong[0]} found, expected 0 to {10**digits - 1}")
    return (plate.astype(np.int64) * 10**5 + mjd) * 10**4 + fiber


def check_spectrum(hdus: fits.HDUList, path: Path) -> None:
    """Refuse a file that is no spec file, by its headers."""
    table = hdu(hdus, path, 1)
    if not is_table(table):
        raise BadFile(f"{path}: its second HDU is no table, expected one with FLUX, LOGLAM, IVAR, AND_MASK")
    catalogue.check_table(table, path, _PIXELS)
