"""How a simulated object is observed: flux calibration, noise and gaps, like those of BOSS spectra."""

from __future__ import annotations

import numpy as np

from quasarcurves.spectra.grid import LOGARITHMIC, N_BINS, WAVELENGTH

# Noise of a sky-limited spectrum by wavelength, relative to its median: the median of the 40 BOSS and eBOSS
# spectra of the reference set. Blue: throughput falls off. 5700 to 6000 A: both arms lose light at the
# dichroic. Red: OH.
_NOISE_KNOTS = (
    (3600, 7.8),
    (3630, 6.4),
    (3665, 4.8),
    (3700, 4.0),
    (3750, 3.35),
    (3810, 2.7),
    (3870, 2.2),
    (4000, 1.95),
    (4100, 1.75),
    (4250, 1.47),
    (4430, 1.3),
    (4700, 1.12),
    (5000, 1.01),
    (5300, 0.95),
    (5650, 0.95),
    (5800, 1.08),
    (5950, 1.2),
    (6100, 1.04),
    (6300, 0.86),
    (6600, 0.71),
    (7000, 0.63),
    (7600, 0.62),
    (8400, 0.62),
    (9100, 0.61),
    (9300, 0.75),
    (9500, 0.88),
    (9700, 0.85),
    (9850, 1.1),
    (10000, 1.5),
)

# Sky features (Angstrom in vacuum: first, last) and the noise in them relative to that between them; from the
# same spectra. Mercury and sodium lamps, [O I], OH bands, and the oxygen and water bands of the atmosphere,
# where the correction of the flux raises the noise.
_SKY = (
    (4358, 4366, 1.18),
    (4978, 4988, 1.12),
    (5461, 5466, 1.12),
    (5572, 5582, 1.4),
    (5684, 5694, 1.3),
    (5888, 5901, 1.14),
    (6298, 6306, 1.3),
    (6362, 6370, 1.12),
    (6828, 6870, 1.2),
    (6870, 6935, 1.08),
    (7240, 7285, 1.2),
    (7312, 7345, 1.15),
    (7590, 7640, 1.55),
    (7710, 7760, 1.25),
    (7790, 7860, 1.28),
    (7910, 7920, 1.45),
    (7948, 8030, 1.15),
    (8276, 8300, 1.3),
    (8340, 8355, 1.6),
    (8380, 8475, 1.25),
    (8613, 8622, 1.6),
    (8645, 8655, 1.5),
    (8765, 8795, 1.6),
    (8825, 8960, 1.25),
    (9000, 9010, 1.2),
    (9300, 9400, 1.4),
    (9400, 9590, 1.12),
    (9695, 9730, 1.2),
    (9785, 9800, 1.35),
    (9860, 9885, 1.25),
)

NOISE_LEVEL = 0.1
"""Median noise of a faint spectrum per bin, 1e-17 erg/s/cm2/A, of the reference spectra."""
_NOISE_LEVEL_SCATTER = 0.2
_SOURCE_NOISE = 0.013
"""Variance of the source relative to that of the sky, per flux/noise: fits the reference spectra from S/N 3
to 100."""

_TILT_SCATTER = 0.06
"""Exponent by which the noise curve differs between spectra: 15 % scatter at the blue end."""
_CALIBRATION = (0.03, 0.02, 0.01)
"""Scatter of the linear, quadratic and cubic flux calibration error: a few per cent (Dawson et al. 2013, AJ
145, 10)."""
_ARM_SCATTER = 0.01
"""Scatter of the step between the blue and the red arm at 6000 A."""
_DICHROIC = 6000.0
_GAP_SHARE, _GAP_BINS = 0.06, (3, 30)
_LOST_ARM_SHARE = 0.004


def _noise_curve() -> np.ndarray:
    """Relative noise of each bin.

    Returns
    -------
    (443,) float32 array
    """
    wavelengths, noise = zip(*_NOISE_KNOTS, strict=True)
    bins = np.arange(N_BINS)
    curve = np.interp(WAVELENGTH, wavelengths, noise)
    for first, last, factor in _SKY:
        touched = (LOGARITHMIC.bin_index(np.array(first)) <= bins) & (bins <= LOGARITHMIC.bin_index(np.array(last)))
        curve[touched] *= factor
    return (curve / np.median(curve)).astype(np.float32)


NOISE_CURVE = _noise_curve()
_ARM = np.where(WAVELENGTH > _DICHROIC, 1.0, -1.0).astype(np.float32)
_POLYNOMIALS = np.polynomial.legendre.legvander(np.linspace(-1, 1, N_BINS), 3)[:, 1:].astype(np.float32)


def calibrate(flux: np.ndarray, rng: np.random.Generator) -> None:
    """Apply flux calibration errors in place: a smooth factor and a step between the arms.

    Parameters
    ----------
    flux : (n, 443) float32 array
    rng : Generator
    """
    smooth = rng.standard_normal((len(flux), 3), np.float32) * np.array(_CALIBRATION, np.float32)
    step = np.float32(_ARM_SCATTER) * rng.standard_normal((len(flux), 1), np.float32)
    flux *= 1 + smooth @ _POLYNOMIALS.T + step * _ARM


def inverse_variance(flux: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Inverse variance of sky and source noise.

    Parameters
    ----------
    flux : (n, 443) float32 array
        Without noise, 1e-17 erg/s/cm2/A.
    rng : Generator

    Returns
    -------
    (n, 443) float32 array
    """
    n = len(flux)
    level = NOISE_LEVEL * np.exp(_NOISE_LEVEL_SCATTER * rng.standard_normal((n, 1), np.float32))
    tilt = 1 + np.float32(_TILT_SCATTER) * rng.standard_normal((n, 1), np.float32)
    sky_ivar = np.exp(-2 * tilt * np.log(NOISE_CURVE)) / level**2
    return sky_ivar / (1 + np.float32(_SOURCE_NOISE) * np.maximum(flux, 0) / level)


def mask(ivar: np.ndarray, rng: np.random.Generator) -> None:
    """Set ivar to 0 in place: a gap in some spectra, the blue or red arm missing in a few.

    Parameters
    ----------
    ivar : (n, 443) float32 array
    rng : Generator
    """
    n, bins = len(ivar), np.arange(N_BINS)
    start = rng.integers(0, N_BINS, (n, 1))
    stop = start + rng.integers(*_GAP_BINS, (n, 1))
    has_gap = rng.random((n, 1)) < _GAP_SHARE
    ivar[has_gap & (bins >= start) & (bins < stop)] = 0
    lost = rng.choice((-1.0, 0.0, 1.0), (n, 1), p=(_LOST_ARM_SHARE / 2, 1 - _LOST_ARM_SHARE, _LOST_ARM_SHARE / 2))
    ivar[lost == _ARM] = 0


def observe(flux: np.ndarray, snr: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observe objects: scale them to the wanted signal-to-noise ratio, then calibrate, add noise and mask.

    Parameters
    ----------
    flux : (n, 443) float32 array
        Without noise, any unit.
    snr : (n,) array
        Wanted ratio of median flux to median sky noise, per bin.
    rng : Generator

    Returns
    -------
    flux, ivar : (n, 443) float32 array
        1e-17 erg/s/cm2/A and its inverse variance; both 0 in masked bins.
    noiseless : (n, 443) float32 array
        The flux before noise was added and bins were masked.
    """
    scale = NOISE_LEVEL * snr / np.median(flux, axis=1)
    noiseless = flux * scale.astype(np.float32)[:, None]
    calibrate(noiseless, rng)
    ivar = inverse_variance(noiseless, rng)
    observed = noiseless + rng.standard_normal(flux.shape, np.float32) / np.sqrt(ivar)
    mask(ivar, rng)
    observed[ivar == 0] = 0
    return observed, ivar, noiseless


def observe_nothing(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Observe with fibres that hold no object: the noise of the sky alone.

    Parameters
    ----------
    n : int
    rng : Generator

    Returns
    -------
    flux, ivar : (n, 443) float32 array
        As of `observe`.
    """
    ivar = inverse_variance(np.zeros((n, N_BINS), np.float32), rng)
    observed = rng.standard_normal(ivar.shape, np.float32) / np.sqrt(ivar)
    mask(ivar, rng)
    observed[ivar == 0] = 0
    return observed, ivar
