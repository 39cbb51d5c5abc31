"""One module per input format, each with the same functions, found by the name of the source.

check(config)              refuses what can be known to be wrong before any spectrum is read
read_chunks(config, rows)  yields Spectra of at most `rows` input spectra each, in bounded memory

Sources that read files have three more, which need no catalogue or truth:

spectra_files(config)      the files that hold spectra
check_spectrum(hdus, path) refuses a file that is not of this format
read_binned(config, rows)  yields every spectrum on the grid, whatever is known of it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from quasarcurves.spectra.sources.reading.binned import DEFAULT_ROWS, Binned
from quasarcurves.spectra.sources.reading.fits_files import check_files, open_fits
from quasarcurves.spectra.table import Spectra

FILE_SOURCES = ("quasarnet_fits", "sdss", "desi")
SOURCES = ("simulated", *FILE_SOURCES)


def _module(config: Mapping[str, Any], known: Sequence[str] = SOURCES) -> ModuleType:
    source = config.get("source")
    if source not in known:
        raise ValueError(f"data.source is {source!r}, expected one of {', '.join(known)}")
    return import_module(f"{__name__}.{source}")


def check(config: Mapping[str, Any]) -> None:
    """Refuse a `data` block whose files are missing, unreadable or lack a needed column.

    Raises
    ------
    ValueError, OSError
        With the file, what was found and what was expected.
    """
    _module(config).check(config)


def input_files(config: Mapping[str, Any]) -> list[Path]:
    """List every file that the spectra of a `data` block are read from; none for simulated spectra."""
    return _module(config).input_files(config)


def read_chunks(config: Mapping[str, Any], rows: int = DEFAULT_ROWS) -> Iterator[Spectra]:
    """Read the spectra of a study's `data` block, at most `rows` input spectra at a time.

    Parameters
    ----------
    config : mapping
        The `data` block: `source` and the keys of that source.
    rows : int
        Bounds the memory needed.

    Yields
    ------
    Spectra
        Those kept of each chunk, with the number rejected by reason.
    """
    yield from _module(config).read_chunks(config, rows)


def read(config: Mapping[str, Any]) -> Spectra:
    """Read all spectra of a study's `data` block into memory."""
    return Spectra.concatenate(read_chunks(config))


def guess(spectra: Sequence[str]) -> str:
    """Name the source that reads files, from the first of them.

    Parameters
    ----------
    spectra : sequence of str
        As the key `spectra` of a `data` block.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If no source reads it, with what each of them misses.
    """
    reasons = []
    for source in FILE_SOURCES:
        module = _module({"source": source})
        try:
            path = module.spectra_files({"spectra": spectra})[0]
            with open_fits(path) as hdus:
                module.check_spectrum(hdus, path)
            return source
        except ValueError as error:
            reasons.append(f"\n  {source}: {error}")
    raise ValueError(f"{spectra[0]}: no source reads it{''.join(reasons)}")


def check_spectra(config: Mapping[str, Any]) -> None:
    """Refuse what `read_binned` cannot read, before any spectrum is read.

    Raises
    ------
    ValueError, OSError
        With the file, what was found and what was expected.
    """
    module = _module(config, FILE_SOURCES)
    check_files(module.spectra_files(config), module.check_spectrum)


def read_binned(config: Mapping[str, Any], rows: int = DEFAULT_ROWS) -> Iterator[Binned]:
    """Read spectra to be classified: all of them, without truth.

    Parameters
    ----------
    config : mapping
        `source`, of those that read files, and `spectra`; no catalogue or truth is looked into.
    rows : int
        Input spectra at a time: bounds the memory needed.

    Yields
    ------
    Binned
        In the order of the files and of their rows, those without any signal too.
    """
    yield from _module(config, FILE_SOURCES).read_binned(config, rows)
