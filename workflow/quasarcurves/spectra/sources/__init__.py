"""One module per input format, each with the same two functions, found by the name of the source.

check(config)              refuses what can be known to be wrong before any spectrum is read
read_chunks(config, rows)  yields Spectra of at most `rows` input spectra each, in bounded memory
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from quasarcurves.spectra.table import Spectra

SOURCES = ("simulated", "quasarnet_fits", "sdss", "desi")
DEFAULT_ROWS = 4096


def _module(config: Mapping[str, Any]) -> ModuleType:
    source = config.get("source")
    if source not in SOURCES:
        raise ValueError(f"data.source is {source!r}, expected one of {', '.join(SOURCES)}")
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
