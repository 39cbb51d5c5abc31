"""Preparing a study's spectra: from a source to one table, in bounded memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quasarcurves.spectra.sources import read_chunks
from quasarcurves.spectra.table import write_chunks

logger = logging.getLogger(__name__)


def prepare(config: Mapping[str, Any], path: Path) -> None:
    """Read the spectra of a study's `data` block and write them to `path`.

    Raises
    ------
    ValueError
        If no spectrum is usable: with the number rejected for each reason.
    """
    kept, rejected = write_chunks(path, read_chunks(config))
    reasons = ", ".join(f"{reason} {count}" for reason, count in rejected.items()) or "none"
    if not kept:
        path.unlink()
        raise ValueError(f"data: the source {config['source']} gives no usable spectra (rejected: {reasons})")
    logger.info("%d spectra kept, rejected: %s", kept, reasons)
