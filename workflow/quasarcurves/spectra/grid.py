"""The wavelength grids that QuasarNET sees: rebinning any spectrum onto one, and normalising.

Definitions follow Busca & Balland (2018), arXiv:1808.09955, and the code published with it
(github.com/ngbusca/QuasarNET): 443 bins of 1e-3 in log10(wavelength) from 3600 Angstrom. DESI's own networks have a
linear grid of 458 bins, each 17 of its pixels (github.com/desihub/QuasarNP, from 0.2 on).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

LINEAR_SPACING, LOGARITHMIC_SPACING = "linear", "logarithmic"

_EDGE_TOLERANCE = 1e-9
"""Pixels this close (in bins) below an edge count as on it: log10(10**x) differs from x in the last digits."""

_DECIMALS = 10
"""Of a position on a linear grid, in bins: those that QuasarNP rounds it to."""

_UNEVEN = 0.01
"""Bins of a grid with constant spacing lie within this share of a bin of where they should: files round wavelengths."""


@dataclass(frozen=True)
class Grid:
    """A grid of bins of constant width, in wavelength or in its logarithm.

    Parameters
    ----------
    spacing : {"linear", "logarithmic"}
    start : float
        Lower edge of the first bin, Angstrom in vacuum.
    step : float
        Width of a bin: Angstrom, or dex.
    n : int
        Number of bins.
    """

    spacing: str
    start: float
    step: float
    n: int

    @cached_property
    def wavelength(self) -> np.ndarray:
        """(n,) float64, Angstrom in vacuum: the lower edge of each bin."""
        return self.at(np.arange(self.n))

    @cached_property
    def centre(self) -> np.ndarray:
        """(n,) float64, Angstrom in vacuum: the middle of each bin, on a logarithmic grid that of the logarithm."""
        return self.at(np.arange(self.n) + 0.5)

    def at(self, position: np.ndarray) -> np.ndarray:
        """Return wavelengths (Angstrom) at positions in bins: i is the lower edge of bin i, i + 1 its upper one."""
        if self.spacing == LINEAR_SPACING:
            # 13.6 has no exact binary form: without rounding, edges differ from the published ones in the last digits
            return np.round(self.start + self.step * position, 6)
        return 10 ** (np.log10(self.start) + self.step * position)

    def bin_index(self, wavelength: np.ndarray) -> np.ndarray:
        """Index of the bin that each wavelength falls into.

        Parameters
        ----------
        wavelength : (p,) array
            Angstrom in vacuum, above 0.

        Returns
        -------
        (p,) int64 array
            Below 0 or at least n where the wavelength is outside of the grid.
        """
        if self.spacing == LINEAR_SPACING:
            return np.floor(np.round((wavelength - self.start) / self.step, _DECIMALS)).astype(np.int64)
        position = (np.log10(wavelength) - np.log10(self.start)) / self.step
        return np.floor(position + _EDGE_TOLERANCE).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """Return the grid as JSON can hold it; files of prepared spectra name it so."""
        if self.spacing == LINEAR_SPACING:
            return {"start": self.start, "step": self.step, "n_bins": self.n}
        return {"log10_start": float(np.log10(self.start)), "log10_step": self.step, "n_bins": self.n}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Grid:
        """Return the grid that `to_json` wrote.

        Raises
        ------
        ValueError
            If the values are of no grid.
        """
        for grid in GRIDS.values():
            if values == grid.to_json():
                return grid
        if values.keys() == {"start", "step", "n_bins"}:
            return cls(LINEAR_SPACING, values["start"], values["step"], values["n_bins"])
        if values.keys() == {"log10_start", "log10_step", "n_bins"}:
            return cls(LOGARITHMIC_SPACING, float(10 ** values["log10_start"]), values["log10_step"], values["n_bins"])
        raise ValueError(
            f"{dict(values)} is no grid, expected start, step and n_bins, or log10_start, log10_step and n_bins"
        )

    @classmethod
    def of_wavelengths(cls, wavelength: np.ndarray) -> Grid:
        """Return the grid with these lower edges of bins.

        Parameters
        ----------
        wavelength : (n,) array
            Angstrom in vacuum.

        Raises
        ------
        ValueError
            If the spacing is constant neither in wavelength nor in its logarithm.
        """
        wavelength = np.asarray(wavelength, np.float64)
        rises = wavelength.ndim == 1 and len(wavelength) > 2 and wavelength[0] > 0 and (np.diff(wavelength) > 0).all()
        if not rises or not np.isfinite(wavelength).all():
            raise ValueError(
                f"wavelengths of shape {wavelength.shape} are no grid, expected at least 3 that rise from above 0"
            )
        for grid in GRIDS.values():
            if len(wavelength) == grid.n and np.allclose(wavelength, grid.wavelength, rtol=1e-6, atol=0):
                return grid
        for spacing, values in ((LINEAR_SPACING, wavelength), (LOGARITHMIC_SPACING, np.log10(wavelength))):
            step = (values[-1] - values[0]) / (len(values) - 1)
            if np.abs(values - values[0] - step * np.arange(len(values))).max() < _UNEVEN * step:
                return cls(spacing, float(wavelength[0]), float(step), len(values))
        raise ValueError(
            f"{len(wavelength)} bins from {wavelength[0]:.6g} to {wavelength[-1]:.6g} Angstrom have no constant "
            "spacing, neither in wavelength nor in its logarithm"
        )

    def __str__(self) -> str:
        unit = "Angstrom" if self.spacing == LINEAR_SPACING else "in log10(wavelength)"
        return f"{self.n} bins of {self.step:.6g} {unit} from {self.start:.6g} Angstrom"


LOGARITHMIC = Grid(LOGARITHMIC_SPACING, 3600.0, 1e-3, 443)
"""QuasarNET's own grid: the whole bins between 3600 and 10,000 Angstrom."""

LINEAR = Grid(LINEAR_SPACING, 3600.0, 13.6, 458)
"""DESI's grid: bins of 17 pixels of 0.8 Angstrom."""

GRIDS = {grid.spacing: grid for grid in (LOGARITHMIC, LINEAR)}
"""The grids that a study may name."""

LOG_START, LOG_STEP = np.log10(LOGARITHMIC.start), LOGARITHMIC.step
N_BINS, WAVELENGTH = LOGARITHMIC.n, LOGARITHMIC.wavelength
"""Of the logarithmic grid, which spectra are simulated on; (443,) float64, Angstrom in vacuum."""

MIN_RMS = 1e-6
"""A spectrum counts as constant if its rms is not above this: rounding leaves rms that are not exactly 0."""


def grid_with(bins: int) -> Grid:
    """Return the grid of `GRIDS` with a number of bins.

    Raises
    ------
    ValueError
        If there is none.
    """
    known = {grid.n: grid for grid in GRIDS.values()}
    if bins not in known:
        raise ValueError(f"no grid has {bins} bins, expected {' or '.join(map(str, known))}")
    return known[bins]


def grid_of(config: Mapping[str, Any]) -> Grid:
    """Return the grid that a `data` block asks for: logarithmic, unless it has `grid`, as of `Grid.to_json`."""
    return Grid.from_json(config["grid"]) if "grid" in config else LOGARITHMIC


def rebin(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, grid: Grid = LOGARITHMIC
) -> tuple[np.ndarray, np.ndarray]:
    """Rebin spectra onto a grid: ivar-weighted mean flux and summed ivar of the pixels in each bin.

    Several cameras are combined by concatenating their pixels, in any order. Pixels outside of the grid
    are left out, and so are those with non-finite flux or ivar, or ivar below 0.

    Parameters
    ----------
    wavelength : (p,) array
        Angstrom in vacuum, shared by all spectra.
    flux, ivar : (n, p) or (p,) array
        Flux density (any unit) and its inverse variance (1/unit^2).
    grid : Grid
        Of b bins.

    Returns
    -------
    flux, ivar : (n, b) float64 array
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
    index = grid.bin_index(wavelength)
    pixels = np.flatnonzero((index >= 0) & (index < grid.n))
    pixels = pixels[np.argsort(index[pixels], kind="stable")]
    filled, starts = np.unique(index[pixels], return_index=True)
    flux, ivar = flux[:, pixels].astype(np.float64), ivar[:, pixels].astype(np.float64)
    good = np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)
    ivar = np.where(good, ivar, 0.0)
    weighted = ivar * np.where(good, flux, 0.0)

    binned_flux, binned_ivar = np.zeros((2, len(flux), grid.n))
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
    flux, ivar : (n, b) array

    Returns
    -------
    normalised : (n, b) float32 array
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
    flux, ivar : (n, b) array

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
