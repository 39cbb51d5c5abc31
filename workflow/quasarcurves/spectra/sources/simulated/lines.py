"""Spectral lines of the simulated objects: the tables, and how a line is put into the bins of the grid.

All wavelengths are in vacuum and all equivalent widths and widths in the rest frame (Angstrom).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quasarcurves.spectra.grid import LOG_START, LOG_STEP, N_BINS, WAVELENGTH

SPEED_OF_LIGHT = 299792.458
"""km/s."""

KM_S_PER_BIN = SPEED_OF_LIGHT * np.log(10) * LOG_STEP
"""690 km/s: one bin as a velocity."""

_REACH = 3.5
"""A line is followed to this many standard deviations; 5e-4 of it lies beyond."""

_BIN_WIDTH = (WAVELENGTH * (10**LOG_STEP - 1)).astype(np.float32)
"""(443,) Angstrom per bin."""


class Line(NamedTuple):
    """A line: laboratory or observed wavelength, equivalent width and standard deviation, in Angstrom."""

    wavelength: float
    width: float
    sigma: float


QUASAR_BROAD = {
    "OVI": Line(1033.03, 9.77, 7.76),
    "LyA": Line(1216.25, 74.0, 12.0),
    "NV": Line(1240.0, 19.0, 11.0),
    "SiII": Line(1262.6, 1.2, 5.0),
    "OI": Line(1305.42, 1.7, 5.4),
    "CII": Line(1336.6, 0.7, 3.9),
    "SiIV": Line(1396.76, 8.13, 14.2),
    "CIV": Line(1546.15, 23.78, 14.33),
    "HeII": Line(1637.8, 2.5, 14.0),
    "OIII]": Line(1664.7, 2.0, 10.0),
    "AlIII": Line(1857.0, 1.8, 11.0),
    "SiIII]": Line(1890.0, 3.0, 11.0),
    "CIII]": Line(1906.5, 18.0, 21.0),
    "CII]": Line(2326.4, 2.0, 15.0),
    "MgII": Line(2800.26, 32.28, 26.0),
    "Hdelta": Line(4102.73, 5.05, 18.62),
    "Hgamma": Line(4346.42, 12.62, 20.32),
    "Hbeta": Line(4863.0, 46.21, 40.44),
    "HeI": Line(5877.41, 4.94, 23.45),
    "Halpha": Line(6564.93, 190.0, 47.39),
}
"""Composite quasar of Vanden Berk et al. (2001), AJ 122, 549, table 2: measured wavelength (so that C IV has
its blueshift), equivalent width and standard deviation. Where the table gives one number for a blend it is
shared out here: Ly-alpha + N V (93 A in all), C III] + Si III] + Al III (23 A) and He II + O III]. Weak
lines are rounded. Mg II is narrower than there (35 A), because the iron under it is added on its own."""

FAINT_QUASARS = {"OVI": 1.5, "SiIV": 1.3, "CIV": 1.7, "HeII": 2.2, "OIII]": 2.0, "CIII]": 1.15, "MgII": 1.25}
"""Factors by which lines of BOSS quasars are stronger than in the composite, whose quasars are brighter
(the Baldwin effect): from the medians of the quasars of the reference set, C IV 48 A, Mg II 36 A, the blend
at C III] 27 A and that at Si IV 11 A. The C IV of 40 A is between theirs and the composite's."""

QUASAR_NARROW = {
    "[NeV]": Line(3426.84, 1.2, 4.0),
    "[OII]": Line(3729.66, 1.56, 3.3),
    "[NeIII]": Line(3869.77, 1.4, 5.3),
    "[OIII]4960": Line(4960.36, 3.50, 3.85),
    "[OIII]5008": Line(5008.22, 13.23, 6.04),
    "[NII]": Line(6585.6, 2.0, 4.0),
    "[SII]": Line(6725.0, 2.5, 6.0),
}
"""Narrow lines of the same table. The weakest are rounded, the [S II] pair is taken as one."""

QUASAR_IRON = {
    "FeIII2077": Line(2076.6, 4.0, 25.0),
    "FeII2480": Line(2480.0, 36.0, 90.0),
    "FeII2960": Line(2960.0, 18.0, 60.0),
    "Balmer continuum": Line(3300.0, 60.0, 280.0),
    "FeII4570": Line(4570.0, 20.0, 55.0),
    "FeII5270": Line(5270.0, 22.0, 75.0),
}
"""Fe II and Balmer pseudo-continuum as broad bumps where its complexes are: the "small blue bump" from
2000 to 4000 A of Vanden Berk et al. (2001) and the optical complexes of Boroson & Green (1992),
ApJS 80, 109, whose median equivalent width of Fe II 4570 is about 20 A (half of that of H beta)."""

BALMER = {
    "Halpha": Line(6564.6, 0.75, 1.0),
    "Hbeta": Line(4862.7, 1.0, 1.0),
    "Hgamma": Line(4341.7, 1.0, 0.95),
    "Hdelta": Line(4102.9, 1.0, 0.9),
    "Hepsilon": Line(3971.2, 0.85, 0.8),
    "H8": Line(3890.2, 0.65, 0.6),
    "H9": Line(3836.5, 0.5, 0.45),
    "H10": Line(3799.0, 0.35, 0.35),
}
"""Balmer absorption; equivalent width and standard deviation relative to those of H beta. The higher ones
get narrower as they run into each other before the Balmer jump."""

METALS = {
    "CaK": Line(3934.8, 1.0, 4.5),
    "CaH": Line(3969.6, 0.8, 4.5),
    "CaI": Line(4227.9, 0.12, 3.0),
    "Gband": Line(4305.6, 0.55, 9.0),
    "Mgb": Line(5176.6, 0.5, 11.0),
    "Fe5270": Line(5271.5, 0.25, 7.0),
    "Fe5335": Line(5336.0, 0.22, 7.0),
    "NaD": Line(5894.6, 0.35, 5.0),
    "CaT8500": Line(8500.4, 0.12, 3.5),
    "CaT8544": Line(8544.4, 0.35, 4.0),
    "CaT8664": Line(8664.5, 0.28, 4.0),
}
"""Metal absorption of late-type stars; equivalent width relative to that of Ca II K. Positions from the SDSS
table of stellar lines, proportions as in a G star (Pickles 1998, PASP 110, 863, library)."""

NEBULAR = {
    "[OII]": Line(3728.8, 20.0, 2.6),
    "[NeIII]": Line(3869.9, 1.5, 1.9),
    "Hgamma": Line(4341.7, 3.5, 2.1),
    "Hbeta": Line(4862.7, 8.0, 2.4),
    "[OIII]4960": Line(4960.3, 2.3, 2.4),
    "[OIII]5008": Line(5008.2, 7.0, 2.4),
    "HeI": Line(5877.2, 1.0, 2.9),
    "[NII]6550": Line(6549.9, 4.0, 3.2),
    "Halpha": Line(6564.6, 34.0, 3.2),
    "[NII]6585": Line(6585.3, 12.0, 3.2),
    "[SII]6718": Line(6718.3, 6.0, 3.3),
    "[SII]6733": Line(6732.7, 4.5, 3.3),
}
"""Emission of a star-forming galaxy: wavelengths of the SDSS line table, 150 km/s wide, ratios fixed by
atomic physics ([O III] 1:3, [N II] 1:3, H alpha/H beta 2.9 and some dust) or of an Sb/Sc galaxy (Kennicutt
1992, ApJ 388, 310)."""


def bin_position(wavelength: np.ndarray | float) -> np.ndarray:
    """Position on the grid in bins: i at the lower edge of bin i, i + 1 at its upper one.

    Parameters
    ----------
    wavelength : array or float
        Angstrom in vacuum.

    Returns
    -------
    array of the same shape
    """
    return (np.log10(wavelength) - LOG_START) / LOG_STEP


class LineFlux:
    """Line flux of n spectra, collected line by line and then taken relative to the continuum.

    Lines are Gaussians, integrated over each bin because narrow lines are narrower than a bin: a bin gets
    width * (1 + z) * (share of the line in the bin) / (width of the bin). Only bins near a line are touched.

    Parameters
    ----------
    one_plus_z : (n,) array
        1 + redshift.
    """

    def __init__(self, one_plus_z: np.ndarray) -> None:
        self._one_plus_z = one_plus_z
        # the additional column takes lines outside of the grid
        self._flux = np.zeros((len(one_plus_z), N_BINS + 1), np.float32)

    def add(
        self, wavelength: float, width: np.ndarray, sigma: np.ndarray | float, shift: np.ndarray | float = 0.0
    ) -> None:
        """Add one line to every spectrum.

        Parameters
        ----------
        wavelength : float
            Angstrom, rest frame.
        width, sigma : (n,) array or float
            Equivalent width (below 0 for absorption) and standard deviation, Angstrom, rest frame.
        shift : (n,) array or float
            Velocity relative to the object's redshift, km/s.
        """
        observed = wavelength * self._one_plus_z * (1 + shift / SPEED_OF_LIGHT)
        centre = bin_position(observed)
        sigma = np.broadcast_to(sigma / (wavelength * np.log(10) * LOG_STEP), centre.shape)
        reach = int(np.ceil(_REACH * sigma.max(initial=0.0))) + 1
        rows = np.flatnonzero((centre > -reach) & (centre < N_BINS + reach) & (width != 0))
        first = np.floor(centre[rows]).astype(np.intp) - reach
        edges = np.arange(2 * reach + 2, dtype=np.float32) - column(centre[rows] - first)
        share = np.diff(_normal_cdf(edges / column(sigma[rows])), axis=1)
        bins = first[:, None] + np.arange(2 * reach + 1)
        bins[(bins < 0) | (bins >= N_BINS)] = N_BINS
        bins += rows[:, None] * (N_BINS + 1)
        self._flux.reshape(-1)[bins] += column((width * self._one_plus_z)[rows]) * share

    def relative(self) -> np.ndarray:
        """Return the flux of all lines relative to the continuum.

        Returns
        -------
        (n, 443) float32 array
        """
        return self._flux[:, :N_BINS] / _BIN_WIDTH


def column(values: np.ndarray) -> np.ndarray:
    """Turn one number per spectrum into a column that broadcasts over bins.

    Returns
    -------
    (n, 1) float32 array
    """
    return values.astype(np.float32)[:, None]


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    """Normal distribution function to 2e-4 (Page 1977, Applied Statistics 26, 75); faster than exact."""
    return 0.5 + 0.5 * np.tanh(x * (np.float32(0.797885) + np.float32(0.035677) * x * x))
