"""The FITS pair that QuasarNET is trained from: spectra already on a grid, and a table of inspections.

Keys: `spectra`, files whose first HDU is an image (n, 886) of 443 flux and 443 ivar columns (916 and 458 on the linear
grid) and whose second is a table with TARGETID in the same row order; `truth`, files whose first table has THING_ID,
Z_VI, CLASS_PERSON and Z_CONF_PERSON, and may have BAL_FLAG_VI and BI_CIV. The rows of all truth files form one table,
in which TARGETID is looked up as THING_ID.

Compressed files work, but have to be decompressed twice in full: prefer plain ones for large sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quasarcurves.spectra.grid import GRIDS, LOGARITHMIC, Grid, grid_of
from quasarcurves.spectra.reading import catalogue
from quasarcurves.spectra.reading.binned import DEFAULT_ROWS, Binned
from quasarcurves.spectra.reading.catalogue import Column
from quasarcurves.spectra.reading.file_lists import files
from quasarcurves.spectra.reading.fits_files import BadFile, check_files, hdu, is_table, open_fits
from quasarcurves.spectra.reading.selection import select
from quasarcurves.spectra.reading.truth import (
    Truth,
    bal_from_inspection,
    label_from_inspection,
    was_inspected,
)
from quasarcurves.spectra.table import Spectra

if TYPE_CHECKING:
    from astropy.io import fits

SCHEMA = {
    "required": ["spectra", "truth"],
    "properties": {
        "spectra": {
            "description": "FITS files of spectra on the network's grid, flux and ivar side by side, with TARGETID.",
            "$ref": "#/$defs/files",
        },
        "truth": {
            "description": (
                "FITS files with THING_ID, Z_VI, CLASS_PERSON, Z_CONF_PERSON and, if known, BAL_FLAG_VI and BI_CIV."
            ),
            "$ref": "#/$defs/files",
        },
    },
}

BYTES_PER_SPECTRUM = 2 * 4 * LOGARITHMIC.n

_TARGET_ID = (Column("TARGETID", int),)
_TRUTH = (
    Column("THING_ID", int),
    Column("Z_VI"),
    Column("CLASS_PERSON", int),
    Column("Z_CONF_PERSON", int),
    Column("BAL_FLAG_VI", needed=False),
    Column("BI_CIV", needed=False),
)


def check(config: Mapping[str, Any]) -> None:
    """Refuse a `data` block whose files are missing, damaged, or not built as described above.

    Raises
    ------
    ValueError, OSError
        With the file, what was found and what was expected.
    """
    spectra, truth = spectra_files(config), files(config, "truth")
    check_files(spectra, partial(_check_on, grid_of(config)))
    for path in truth:
        catalogue.check(path, _TRUTH)


def input_files(config: Mapping[str, Any]) -> list[Path]:
    """List every file that is read."""
    return [*spectra_files(config), *files(config, "truth")]


def spectra_files(config: Mapping[str, Any]) -> list[Path]:
    """List the files that hold spectra."""
    return files(config, "spectra")


def read_chunks(config: Mapping[str, Any], rows: int = DEFAULT_ROWS) -> Iterator[Spectra]:
    """Read the spectra, at most `rows` input spectra at a time.

    Parameters
    ----------
    config : mapping
        The `data` block.
    rows : int

    Yields
    ------
    Spectra
        In the order of the files and of their rows.
    """
    truth = read_truth(files(config, "truth"))
    for binned in read_binned(config, rows):
        yield select(binned.flux, binned.ivar, truth.look_up(binned.key), "quasarnet_fits", grid_of(config))


def read_binned(config: Mapping[str, Any], rows: int = DEFAULT_ROWS) -> Iterator[Binned]:
    """Read the spectra without looking into the truth, at most `rows` at a time."""
    spectra = spectra_files(config)
    for number, path in enumerate(spectra):
        with open_fits(path) as hdus:
            _check_on(grid_of(config), hdus, path)
            target_id = catalogue.read_table(hdus[1], path, _TARGET_ID)["TARGETID"]
            n = len(target_id)
            for start in range(0, n, rows):
                end = min(start + rows, n)
                flux, ivar = _read_rows(hdus[0], slice(start, end))
                yield Binned(target_id[start:end], flux, ivar, (number + end / n) / len(spectra))


def read_truth(paths: list[Path]) -> Truth:
    """Read the truth of all files together.

    Raises
    ------
    ValueError
        If a column is missing, or an object has rows that disagree.
    """
    tables = [catalogue.read(path, _TRUTH) for path in paths]
    needed = [column.name for column in _TRUTH if column.needed]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in needed}
    inspection = columns["CLASS_PERSON"], columns["Z_CONF_PERSON"]
    return Truth(
        key=columns["THING_ID"],
        z=columns["Z_VI"],
        label=label_from_inspection(*inspection, columns["Z_VI"]),
        bal=np.concatenate([bal_from_inspection(table, len(table["Z_VI"])) for table in tables]),
        inspected=was_inspected(*inspection),
        name=f"THING_ID in {', '.join(map(str, paths))}",
    )


def check_spectrum(hdus: fits.HDUList, path: Path) -> None:
    """Refuse a file that is not built as described above, by its headers."""
    image, table = hdu(hdus, path, 0), hdu(hdus, path, 1)
    if len(image.shape) != 2 or image.shape[1] not in {2 * grid.n for grid in GRIDS.values()}:
        expected = " or ".join(f"(n, {2 * grid.n})" for grid in GRIDS.values())
        raise BadFile(f"{path}: its first HDU is an image {image.shape}, expected {expected}")
    if not is_table(table):
        raise BadFile(f"{path}: its second HDU is no table, expected one with TARGETID")
    catalogue.check_table(table, path, _TARGET_ID)
    if table.header["NAXIS2"] != image.shape[0]:
        raise BadFile(f"{path}: its image has {image.shape[0]} rows, its table {table.header['NAXIS2']}")


def _check_on(grid: Grid, hdus: fits.HDUList, path: Path) -> None:
    """Refuse a file that is not built as described above, or whose spectra have another number of bins than a grid."""
    check_spectrum(hdus, path)
    if hdus[0].shape[1] != 2 * grid.n:
        raise BadFile(f"{path}: its spectra have {hdus[0].shape[1] // 2} bins, expected {grid}")


def _read_rows(image: fits.PrimaryHDU, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Read flux and ivar of some rows, (r, bins) float64 each; bins not finite or without weight become 0."""
    # a section reads these rows only; mapped pages would stay with the process to the end of the file
    block = image.section[rows.start : min(rows.stop, image.shape[0])].astype(np.float64)
    flux, ivar = np.split(block, 2, axis=1)
    good = np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)
    if not good.all():
        flux, ivar = np.where(good, flux, 0.0), np.where(good, ivar, 0.0)
    return flux, ivar
