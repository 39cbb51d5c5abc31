"""The wavelength grid that QuasarNET sees: rebinning any spectrum onto it, and normalising.

Definitions follow Busca & Balland (2018), arXiv:1808.09955, and the code published with it
(github.com/ngbusca/QuasarNET): 443 bins of 1e-3 in log10(wavelength) from 3600 Angstrom.
"""

from __future__ import annotations

import numpy as np

LOG_START = np.log10(3600.0)
LOG_STEP = 1e-3
N_BINS = int((np.log10(10000.0) - LOG_START) / LOG_STEP)
WAVELENGTH = 10 ** (LOG_START + LOG_STEP * np.arange(N_BINS))
"""(443,) float64, Angstrom in vacuum: the lower edge of each bin."""

MIN_RMS = 1e-6
"""A spectrum counts as constant if its rms is not above this: rounding leaves rms that are not exactly 0."""

_EDGE_TOLERANCE = 1e-9
"""Pixels this close (in bins) below an edge count as on it: log10(10**x) differs from x in the last digits."""


def bin_index(wavelength: np.ndarray) -> np.ndarray:
    """Index of the bin that each wavelength falls into.

    Parameters
    ----------
    wavelength : (p,) array
        Angstrom in vacuum, above 0.

    Returns
    -------
    (p,) int64 array
        Below 0 or at least 443 where the wavelength is outside of the grid.
    """
    position = (np.log10(wavelength) - LOG_START) / LOG_STEP
    return np.floor(position + _EDGE_TOLERANCE).astype(np.int64)


def rebin(wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rebin spectra onto the grid: ivar-weighted mean flux and summed ivar of the pixels in each bin.

    Several cameras are combined by concatenating their pixels, in any order. Pixels outside of the grid
    are left out, and so are those with non-finite flux or ivar, or ivar below 0.

    Parameters
    ----------
    wavelength : (p,) array
        Angstrom in vacuum, shared by all spectra.
    flux, ivar : (n, p) or (p,) array
        Flux density (any unit) and its inverse variance (1/unit^2).

    Returns
    -------
    flux, ivar : (n, 443) float64 array
        Flux is 0 where ivar is 0.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    wavelength, flux, ivar = np.asarray(wavelength), np.atleast_2d(flux), np.atleast_2d(ivar)
    if flux.shape != ivar.shape or wavelength.shape != flux.shape[1:]:
        raise ValueError(
            f"wavelength {wavelength.shape}, flux {flux.shape} and ivar {ivar.shape} "
            "do not fit: expected (p,), (n, p), (n, p)"
        )
    index = bin_index(wavelength)
    pixels = np.flatnonzero((index >= 0) & (index < N_BINS))
    pixels = pixels[np.argsort(index[pixels], kind="stable")]
    filled, starts = np.unique(index[pixels], return_index=True)
    flux, ivar = flux[:, pixels].astype(np.float64), ivar[:, pixels].astype(np.float64)
    good = np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)
    ivar = np.where(good, ivar, 0.0)
    weighted = ivar * np.where(good, flux, 0.0)

    binned_flux, binned_ivar = np.zeros((2, len(flux), N_BINS))
    if pixels.size:
        binned_ivar[:, filled] = np.add.reduceat(ivar, starts, axis=1)
        binned_flux[:, filled] = np.add.reduceat(weighted, starts, axis=1)
    np.divide(binned_flux, binned_ivar, out=binned_flux, where=binned_ivar > 0)
    return binned_flux, binned_ivar


def normalise(flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subtract each spectrum's ivar-weighted mean and divide by its ivar-weighted rms about it.

    Bins with ivar 0 have no weight, but are shifted and scaled like the others.

    Parameters
    ----------
    flux, ivar : (n, 443) array

    Returns
    -------
    normalised : (n, 443) float32 array
        0 where a spectrum is not kept.
    keep : (n,) bool array
        False where all ivar is 0 or the flux is constant (rms at most 1e-6).
    """
    flux, ivar = np.asarray(flux, np.float64), np.asarray(ivar, np.float64)
    total = ivar.sum(axis=1)
    weight = np.where(total > 0, total, 1.0)
    mean = np.einsum("ij,ij->i", flux, ivar) / weight
    residual = flux - mean[:, None]
    rms = np.sqrt(np.einsum("ij,ij,ij->i", residual, residual, ivar) / weight)
    keep = (total > 0) & (rms > MIN_RMS)
    residual /= np.where(keep, rms, 1.0)[:, None]
    residual[~keep] = 0.0
    return residual.astype(np.float32), keep


def median_snr(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Median signal-to-noise ratio per bin, over the bins that have data.

    Parameters
    ----------
    flux, ivar : (n, 443) array

    Returns
    -------
    (n,) float32 array
        0 where no bin has data.
    """
    # sorting is many times faster than numpy's nanmedian; bins without data sort to the end as NaN
    ratio = np.sort(np.where(ivar > 0, flux * np.sqrt(np.maximum(ivar, 0.0)), np.nan), axis=1)
    count = np.count_nonzero(~np.isnan(ratio), axis=1)
    rows, last = np.arange(len(ratio)), np.maximum(count - 1, 0)
    middle = 0.5 * (ratio[rows, last // 2] + ratio[rows, (last + 1) // 2])
    return np.where(count > 0, middle, 0.0).astype(np.float32)
