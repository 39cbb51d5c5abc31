"""Spectra on the grid, before anything is asked of them: what every source that reads files begins with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DEFAULT_ROWS = 512
"""Input spectra at a time: so few stay in a processor's cache from one operation to the next."""


@dataclass(frozen=True)
class Binned:
    """Spectra on the grid, not normalised.

    Parameters
    ----------
    key : (n,) int64 array
        What their object is looked up by: TARGETID, or plate, MJD and fibre in one number (SDSS).
    flux, ivar : (n, 443) float64 array
        As of `grid.rebin`.
    done : float
        Share of the input that has been read with them, 0 to 1; every file counts the same.
    """

    key: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    done: float

    def __len__(self) -> int:
        return len(self.key)
