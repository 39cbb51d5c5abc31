"""Which spectra are kept: the same rules, in the same order, for every source."""

from __future__ import annotations

import numpy as np

from quasarcurves.spectra.grid import LOGARITHMIC, Grid, median_snr, normalise
from quasarcurves.spectra.reading.truth import Known
from quasarcurves.spectra.table import Spectra

INVALID_TARGET_ID = -1

REASONS = ("invalid_target_id", "not_in_truth", "not_inspected", "zero_ivar", "constant_flux")
"""Why a spectrum is left out; it counts under the first reason that applies."""

_KEPT = len(REASONS)


def select(flux: np.ndarray, ivar: np.ndarray, known: Known, source: str, grid: Grid = LOGARITHMIC) -> Spectra:
    """Normalise spectra on a grid, keep the usable ones, and count the others by reason.

    Parameters
    ----------
    flux, ivar : (n, bins) array
    known : Known
        Of the n spectra.
    source : str
        Name of the source.
    grid : Grid

    Returns
    -------
    Spectra
        At most n, in the order given.
    """
    reason = np.select([known.target_id == INVALID_TARGET_ID, ~known.found, ~known.inspected], [0, 1, 2], default=_KEPT)
    rows = np.flatnonzero(reason == _KEPT)
    if len(rows) < len(reason):
        flux, ivar = flux[rows], ivar[rows]
    normalised, usable = normalise(flux, ivar)
    has_ivar = (ivar > 0).any(axis=1)
    reason[rows] = np.select([~has_ivar, ~usable], [3, 4], default=_KEPT)
    if not usable.all():
        rows, normalised, flux, ivar = rows[usable], normalised[usable], flux[usable], ivar[usable]
    counts = np.bincount(reason, minlength=len(REASONS) + 1)
    return Spectra(
        flux=normalised,
        z=known.z[rows],
        label=known.label[rows],
        bal=known.bal[rows],
        target_id=known.target_id[rows],
        snr=median_snr(flux, ivar),
        rejected={name: int(count) for name, count in zip(REASONS, counts, strict=False) if count},
        source=source,
        grid=grid,
    )
