"""What the emission of the sky leaves in a spectrum that it is badly subtracted from.

The lines stand at the same observed wavelengths in all spectra, and are narrower than a bin. How much of them is left,
or taken too much, differs from spectrum to spectrum and between families of lines, as these vary on their own. The
errors of the flux do not tell of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from quasarcurves.spectra.grid import LOGARITHMIC, N_BINS, WAVELENGTH


class SkyLine(NamedTuple):
    """A line of the night sky: wavelength in air (Angstrom), strength of what is left of it, family."""

    wavelength: float
    strength: float
    family: int


GREEN, RED, LAMPS, OH = range(4)
"""Families: [O I] 5577; [O I] 6300 and 6364; sodium and mercury; the bands of OH."""

LINES = (
    SkyLine(5577.34, 1.0, GREEN),
    SkyLine(6300.30, 0.6, RED),
    SkyLine(6363.78, 0.25, RED),
    SkyLine(4358.3, 0.15, LAMPS),
    SkyLine(5460.7, 0.15, LAMPS),
    SkyLine(5889.95, 0.3, LAMPS),
    SkyLine(5895.92, 0.25, LAMPS),
    *(
        SkyLine(wavelength, strength, OH)
        for wavelength, strength in (
            (6863.96, 0.25), (6923.22, 0.2), (7276.41, 0.3), (7316.28, 0.45), (7340.89, 0.4), (7571.75, 0.2),
            (7750.64, 0.6), (7794.11, 0.6), (7821.50, 0.5), (7913.71, 0.7), (7964.65, 0.6), (7993.33, 0.6),
            (8025.81, 0.4), (8344.60, 0.8), (8399.17, 0.9), (8430.17, 0.8), (8465.36, 0.6), (8493.39, 0.3),
            (8778.33, 0.5), (8827.10, 0.9), (8885.85, 0.9), (8919.64, 0.8), (8957.93, 0.5), (9001.35, 0.4),
            (9375.96, 0.8), (9419.73, 0.7), (9439.66, 0.8), (9476.8, 0.5), (9552.55, 0.5), (9719.80, 0.6),
            (9791.28, 0.7), (9872.14, 0.7), (9914.7, 0.4),
        )
    ),
)  # fmt: skip
"""Bright lines, with the wavelengths of Osterbrock et al. (1996), PASP 108, 277; their strengths are rough."""

_AIR = 1.000275
"""Wavelength in vacuum over that in air."""
_SIGMA = 1.6
"""Angstrom: resolution of BOSS, 2000 at 7500 Angstrom."""
_COMMON = 0.7
"""Correlation of the residuals of two families is the square of it."""


def _patterns() -> np.ndarray:
    """Return what is left of each family in each bin, (4, 443) float32; at most 1."""
    edges = np.append(WAVELENGTH, LOGARITHMIC.at(np.array([float(N_BINS)])))
    patterns = np.zeros((OH + 1, N_BINS))
    for line in LINES:
        # scipy has it too, but takes 40 MB to import
        below = [math.erf((edge - line.wavelength * _AIR) / (math.sqrt(2) * _SIGMA)) / 2 for edge in edges]
        patterns[line.family] += line.strength * np.diff(below)
    return (patterns / patterns.max()).astype(np.float32)


PATTERNS = _patterns()


def residuals(ivar: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Draw residuals of the sky for n spectra.

    Parameters
    ----------
    ivar : (n, 443) float32 array
        Inverse variance of the flux.
    strength : float
        Standard deviation, from spectrum to spectrum, of the residual in the bin that has most, over the noise there.
    rng : Generator

    Returns
    -------
    (n, 443) float32 array
        Flux to be added; 0 where ivar is 0.
    """
    n = len(ivar)
    common, own = rng.standard_normal((n, 1), np.float32), rng.standard_normal((n, len(PATTERNS)), np.float32)
    amplitude = np.float32(strength) * (_COMMON * common + np.sqrt(np.float32(1 - _COMMON**2)) * own)
    noise = np.divide(1, np.sqrt(ivar), out=np.zeros_like(ivar), where=ivar > 0)
    return (amplitude @ PATTERNS * noise).astype(np.float32)
