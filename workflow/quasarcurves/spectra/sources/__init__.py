"""Sources of spectra: every module of this package is one, and its name is that of the source.

A source has

SCHEMA                     JSON schema of its keys of the `data` block: `required` and `properties`
check(config)              refuse what can be known to be wrong before any spectrum is read
input_files(config)        list the files that are read
read_chunks(config, rows)  yield Spectra of at most `rows` input spectra each, in bounded memory

Sources that read files have four more, which need no catalogue or truth:

BYTES_PER_SPECTRUM         of the files, roughly; for plans made before the spectra are read
spectra_files(config)      list the files that hold spectra
check_spectrum(hdus, path) refuse a file that is not of this format
read_binned(config, rows)  yield every spectrum on the grid, with or without truth

and one that reads what is known of objects: read_catalogue(path), or read_truth(paths) if there may be several.

A source is imported only when it is used: what another one does is no part of a study's results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from quasarcurves.spectra.reading.binned import DEFAULT_ROWS, Binned
from quasarcurves.spectra.reading.fits_files import check_files, open_fits
from quasarcurves.spectra.reading.truth import Truth
from quasarcurves.spectra.table import Spectra


@cache
def names() -> tuple[str, ...]:
    """Return the names of all sources, sorted."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


@cache
def file_sources() -> tuple[str, ...]:
    """Return the names of the sources that read files, sorted."""
    return tuple(name for name in names() if hasattr(_import(name), "read_binned"))


def schemas() -> dict[str, Mapping[str, Any]]:
    """Return the schema of each source's keys of the `data` block, by the name of the source."""
    return {name: _import(name).SCHEMA for name in names()}


def bytes_per_spectrum(source: str) -> int:
    """Return the size of a spectrum in the files of a source, roughly."""
    return _import(source).BYTES_PER_SPECTRUM


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
    """Return the name of the source that reads files, from the first of them.

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
    for source in file_sources():
        module = _import(source)
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
    module = _file_module(config)
    check_files(module.spectra_files(config), module.check_spectrum)


def read_binned(config: Mapping[str, Any], rows: int = DEFAULT_ROWS) -> Iterator[Binned]:
    """Read spectra to be classified: all of them, without truth.

    Parameters
    ----------
    config : mapping
        `source`, of those that read files, and `spectra`; no catalogue or truth is read.
    rows : int
        Input spectra at a time: bounds the memory needed.

    Yields
    ------
    Binned
        In the order of the files and of their rows, including spectra without signal.
    """
    yield from _file_module(config).read_binned(config, rows)


def read_truth(source: str, paths: Sequence[Path]) -> Truth:
    """Read what is known of objects: the catalogue of a source that reads files, or the truth files of QuasarNET.

    Raises
    ------
    ValueError, OSError
        If there are more files than the source takes, one cannot be read, or the source reads none.
    """
    module = _file_module({"source": source})
    if hasattr(module, "read_truth"):
        return module.read_truth(list(paths))
    if len(paths) != 1:
        raise ValueError(f"{', '.join(map(str, paths))}: expected one catalogue for spectra of {source}")
    return module.read_catalogue(paths[0])


def _import(source: str) -> ModuleType:
    return import_module(f"{__name__}.{source}")


def _module(config: Mapping[str, Any]) -> ModuleType:
    if config.get("source") not in names():
        raise _unknown(config, names())
    return _import(config["source"])


def _file_module(config: Mapping[str, Any]) -> ModuleType:
    module = _module(config)
    if not hasattr(module, "read_binned"):
        raise _unknown(config, file_sources())
    return module


def _unknown(config: Mapping[str, Any], known: Sequence[str]) -> ValueError:
    return ValueError(f"data.source is {config.get('source')!r}, expected one of {', '.join(known)}")
