"""Spectra on a grid as they are read from files, before any is left out or normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DEFAULT_ROWS = 512
"""Input spectra at a time; few enough to stay in a processor's cache from one operation to the next."""


@dataclass(frozen=True)
class Binned:
    """Spectra on a grid, not normalised.

    Parameters
    ----------
    key : (n,) int64 array
        The truth is looked up by it: TARGETID, or plate, MJD and fibre in one number (SDSS).
    flux, ivar : (n, bins) float64 array
        As of `grid.rebin`.
    done : float
        Share of the input that has been read, these spectra included, 0 to 1; every file counts the same.
    """

    key: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    done: float

    def __len__(self) -> int:
        return len(self.key)
