"""FITS files opened with errors that name the file and say what is wrong with it."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.io import fits

_MAGIC = {"gzip": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\x00", "compress": b"\x1f\x9d"}
"""First bytes of compressed files: their names are not to be relied on."""

_QUICK_BYTES = 64 * 2**20
"""A check does not read compressed files above this size: it would have to decompress them to reach their end."""

_LOOK_INTO = 50
"""Of very many files a check opens about this many, evenly spread; of the others it reads the first bytes only."""


class BadFile(ValueError):
    """A file that is not as needed; the message names it, what was found and what was expected."""


def compression(path: Path) -> str | None:
    """Return how a file is compressed as a whole, by its first bytes: gzip, bz2, xz, compress; None if it is not.

    Raises
    ------
    FileNotFoundError
    """
    try:
        with path.open("rb") as file:
            start = file.read(6)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    return next((name for name, magic in _MAGIC.items() if start.startswith(magic)), None)


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed as a whole, so that its rows cannot be reached at random."""
    return compression(path) is not None


@contextmanager
def open_fits(path: Path, *, memmap: bool = False, all_headers: bool = True) -> Iterator[fits.HDUList]:
    """Open a FITS file; an error raised while it is open is reported with the name of the file.

    Parameters
    ----------
    path : Path
    memmap : bool
        Map the data, so that any rows can be picked. If not mapped, `hdu.section[rows]` reads those rows only, and no
        pages of the file stay with the process. Compressed files are never mapped.
    all_headers : bool
        Read every header at once, by which a file that was cut short is noticed before its data are read.

    Yields
    ------
    astropy.io.fits.HDUList

    Raises
    ------
    FileNotFoundError, OSError
        If it is missing, not FITS, or damaged.
    """
    # importing it takes half a second, which a study of simulated spectra does not need
    from astropy.io import fits  # noqa: PLC0415

    try:
        # opened here: a file that astropy refuses would stay open
        with path.open("rb") as file:
            with warnings.catch_warnings():
                # astropy only warns of a file that was cut short, within its data or within a header
                warnings.filterwarnings("error", message=".*(truncated|Error validating header)")
                hdus = fits.open(file, memmap=memmap, lazy_load_hdus=not all_headers)
            with hdus:
                yield hdus
    except (BadFile, FileNotFoundError):
        raise
    except (OSError, EOFError, zlib.error, ValueError, Warning) as error:
        raise OSError(f"{path}: cannot be read, expected a whole FITS file ({error})") from error


def hdu(hdus: fits.HDUList, path: Path, name: int | str) -> fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU:
    """Return one HDU by number or name.

    Raises
    ------
    BadFile
        If the file has none, listing those it has.
    """
    try:
        return hdus[name]
    except (IndexError, KeyError):
        found = ", ".join(f"{number} {each.name}".strip() for number, each in enumerate(hdus))
        raise BadFile(f"{path}: expected an HDU {name}, found {found}") from None


def is_table(one: object) -> bool:
    """Whether an HDU is a table; a compressed image is stored as one, but is none."""
    from astropy.io import fits  # noqa: PLC0415

    return isinstance(one, (fits.BinTableHDU, fits.TableHDU)) and not isinstance(one, fits.CompImageHDU)


def check_files(paths: Sequence[Path], check_one: Callable[[fits.HDUList, Path], object]) -> None:
    """Refuse files that are missing, not FITS, cut short, or refused by `check_one`.

    It must be fast, as it runs whenever a study is read. So it reads no data, and of very many files it opens only
    some. Faults in the others are found, with the same messages, when the spectra are read.

    Parameters
    ----------
    paths : sequence of Path
    check_one : callable
        Takes the open file and its path; raises `BadFile`. What it returns is not used.

    Raises
    ------
    BadFile, OSError
    """
    for path in paths:
        _check_signature(path)
    step = -(-len(paths) // _LOOK_INTO) or 1
    for path in paths[::step]:
        if is_compressed(path) and path.stat().st_size > _QUICK_BYTES:
            continue
        is_gzip = compression(path) == "gzip"
        if is_gzip:
            _check_gzip(path)
        # _check_gzip has seen the end of the file already
        with open_fits(path, all_headers=not is_gzip) as hdus:
            check_one(hdus, path)


def _check_signature(path: Path) -> None:
    """Refuse a file that does not begin as FITS; gzip files are looked into, other compressions not."""
    compressed = compression(path)
    if compressed not in (None, "gzip"):
        return
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            start = file.read(8)
    except (OSError, EOFError, zlib.error) as error:
        raise OSError(f"{path}: cannot be read ({error})") from error
    if start != b"SIMPLE  ":
        raise BadFile(f"{path}: not a FITS file, it begins with {start!r}")


def _check_gzip(path: Path) -> None:
    """Refuse a gzip file that was cut short: astropy takes the cut for the end of the file."""
    try:
        with gzip.open(path) as file:
            while file.read(2**20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise OSError(f"{path}: cannot be read ({error})") from error
