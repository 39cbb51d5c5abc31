"""Writers of spectra, redshifts and classes in the layouts of QuasarNET, SDSS and DESI files."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

TRUTH_COLUMNS = {
    "THING_ID": "K", "Z_VI": "D", "CLASS_PERSON": "I", "Z_CONF_PERSON": "I", "BAL_FLAG_VI": "D", "BI_CIV": "D",
}  # fmt: skip
"""Columns of the truth that QuasarNET is trained on, with their FITS formats."""


def compress(path: Path) -> Path:
    """Replace a file by its gzip version, and return the name of that."""
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), compresslevel=1))
    path.unlink()
    return packed


def table(columns: Mapping[str, tuple[str, Any]], name: str | None = None) -> fits.BinTableHDU:
    """Make a FITS table of columns, each with its format and values."""
    made = [fits.Column(column, kind, array=np.array(values)) for column, (kind, values) in columns.items()]
    return fits.BinTableHDU.from_columns(made, name=name)


def write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV table with a header line."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
    return path


def write_pair_spectra(
    path: Path, target_id: Sequence[int], flux: np.ndarray, ivar: np.ndarray, dtype: str = "float32"
) -> None:
    """Write the first file of QuasarNET's pair: an image (n, 886) of flux and ivar, and a table of TARGETID.

    Parameters
    ----------
    path : Path
    target_id : (n,) ints
    flux, ivar : (n, 443) array
        On the grid.
    dtype : str
        Of the image. FITS stores every type with its most significant byte first.
    """
    image = np.concatenate([flux, ivar], axis=1).astype(dtype)
    hdus = [fits.PrimaryHDU(image), table({"TARGETID": ("K", target_id)})]
    fits.HDUList(hdus).writeto(path, overwrite=True)


def write_truth(
    path: Path,
    rows: Sequence[Sequence[float]],
    names: Sequence[str] = tuple(TRUTH_COLUMNS),
    leave_out: Sequence[str] = (),
) -> None:
    """Write the second file of QuasarNET's pair: a row per object, with values in the order of `TRUTH_COLUMNS`."""
    columns = {
        name: (kind, [row[i] for row in rows])
        for i, (name, kind) in enumerate(zip(names, TRUTH_COLUMNS.values(), strict=True))
        if name not in leave_out
    }
    fits.HDUList([fits.PrimaryHDU(), table(columns)]).writeto(path, overwrite=True)


def write_spec(
    path: Path,
    loglam: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    and_mask: np.ndarray | None = None,
    leave_out: Sequence[str] = (),
) -> None:
    """Write an SDSS `spec-PLATE-MJD-FIBER.fits` file with the eight columns of its pixels.

    Parameters
    ----------
    path : Path
    loglam, flux, ivar : (p,) array
        log10 of the wavelength in Angstrom, flux density, inverse variance; float32 in the file.
    and_mask : (p,) int array, optional
        0 unless given.
    leave_out : sequence of str
        Columns that the file lacks.
    """
    p = len(loglam)
    zeros, ones = np.zeros(p), np.ones(p)
    mask = np.zeros(p, np.int32) if and_mask is None else and_mask
    columns = {
        "FLUX": ("E", flux), "LOGLAM": ("E", loglam), "IVAR": ("E", ivar), "AND_MASK": ("J", mask),
        "OR_MASK": ("J", mask), "WDISP": ("E", ones), "SKY": ("E", zeros), "MODEL": ("E", flux),
    }  # fmt: skip
    pixels = table({name: column for name, column in columns.items() if name not in leave_out})
    pipeline = table({"Z": ("E", [1.0]), "CLASS": ("6A", ["QSO"]), "ZWARNING": ("J", [0])})
    lines = table({"LINENAME": ("13A", ["Ly_alpha"]), "LINEWAVE": ("D", [1215.67])})
    fits.HDUList([fits.PrimaryHDU(), pixels, pipeline, lines]).writeto(path, overwrite=True)


def write_coadd(
    path: Path,
    wavelength: Mapping[str, np.ndarray],
    arms: Mapping[str, tuple[np.ndarray, np.ndarray]],
    target_id: Sequence[int] | None = None,
    mask: Mapping[str, np.ndarray] | None = None,
    leave_out: Sequence[str] = (),
) -> None:
    """Write a DESI coadd: images per arm, and a FIBERMAP if target ids are given.

    Parameters
    ----------
    path : Path
    wavelength : mapping of str to (p,) array
        Angstrom, of each arm.
    arms : mapping of str to (flux, ivar)
        (n, p) arrays each; an arm that is not named here is missing in the file.
    target_id : (n,) ints, optional
    mask : mapping of str to (n, p) int array, optional
    leave_out : sequence of str
        Names of HDUs that the file lacks.
    """
    hdus: list[Any] = [fits.PrimaryHDU()]
    if target_id is not None:
        hdus.append(table({"TARGETID": ("K", np.array(target_id, np.int64))}, name="FIBERMAP"))
    for arm, (flux, ivar) in arms.items():
        parts = {"WAVELENGTH": wavelength[arm], "FLUX": flux, "IVAR": ivar, **({"MASK": mask[arm]} if mask else {})}
        hdus += [fits.ImageHDU(data, name=f"{arm}_{part}") for part, data in parts.items()]
    fits.HDUList([each for each in hdus if each.name not in leave_out]).writeto(path, overwrite=True)
