"""Simulated quasars: continuum, emission lines, reddening, broad absorption lines, intergalactic gas."""

from __future__ import annotations

import numpy as np

from quasarcurves.spectra.grid import LOG_STEP, N_BINS, WAVELENGTH
from quasarcurves.spectra.sources.simulated.lines import (
    FAINT_QUASARS,
    KM_S_PER_BIN,
    QUASAR_BROAD,
    QUASAR_IRON,
    QUASAR_NARROW,
    Line,
    LineFlux,
    bin_position,
    column,
)

LYMAN_ALPHA, LYMAN_LIMIT = 1215.67, 911.75

_LN_WAVELENGTH = np.log(WAVELENGTH * 10 ** (LOG_STEP / 2)).astype(np.float32)
"""(443,) of the centre of each bin."""

# Continuum slopes in wavelength. 1300 to 5000 A and redder (there with the host's light): Vanden Berk et al.
# (2001), alpha_nu -0.44 and -2.45; bluer than Ly-alpha: Telfer et al. (2002), ApJ 565, 773, alpha_nu -1.76.
# Scatter: Richards et al. (2003), AJ 126, 1131.
_SLOPE, _SLOPE_SCATTER = -1.56, 0.3
_RED_BREAK, _RED_SLOPE = 5000.0, 0.45
_BLUE_BREAK, _BLUE_SLOPE = 1215.67, -0.24
_REFERENCE = 3000.0

# SMC-like dust, A(lambda) = 4.39 E(B-V) (lambda/4400 A)^-1.2 (Prevot et al. 1984, A&A 132, 389; Richards et
# al. 2003, who find 6 % of quasars beyond E(B-V) = 0.055 and most near none).
_DUST, _DUST_POWER, _MEAN_REDDENING = 4.39, -1.2, 0.02

# Scatter of log10 equivalent width: shared by all broad lines, of each line, of narrow lines; Baldwin effect
# of luminosity (EW ~ L^-0.2 for C IV, weaker elsewhere; Baldwin 1977, ApJ 214, 679; Dietrich et al. 2002, ApJ
# 581, 912).
_SHARED, _SINGLE, _NARROW, _IRON = 0.12, 0.10, 0.30, 0.20
_BALDWIN, _LUMINOSITY_SCATTER = -0.15, 0.4

_BROADENING = 0.1
"""Scatter of log10 width of the broad lines (Shen et al. 2011, ApJS 194, 45)."""

# A broad line is a core and a base: together they have the standard deviation of the table, but the cuspy
# peak seen in single quasars. Shares and relative standard deviations: 0.45 * 0.5^2 + 0.55 * 1.27^2 = 1.
_PROFILE = ((0.45, 0.5), (0.55, 1.27))

# Velocity scatter about the shift of the composite, km/s (Shen et al. 2016, ApJ 831, 7: about 400 for the
# broad lines, 50 for [O III] and [O II]).
_BROAD_SHIFT, _NARROW_SHIFT = 400.0, 50.0

# Ly-alpha forest: effective optical depth 0.00554 (1 + z)^3.182 (Kamble et al. 2020, ApJ 892, 70) and higher
# lines of the same gas, optical depths in proportion to oscillator strength times wavelength.
FOREST_AMPLITUDE, FOREST_POWER = 0.00554, 3.182
_HIGHER_LINES = ((1025.72, 0.1603), (972.54, 0.0558), (949.74, 0.0262))
_FOREST_BINS = int(bin_position(LYMAN_ALPHA * 5.2)) + 1
"""Quasars beyond z = 4.2 are not simulated: no forest redder than this."""
_FOREST_SCATTER = 1.0
"""Standard deviation of ln(optical depth) of a bin: gives the transmission a scatter of 0.15 at z = 2.5."""
_FOREST_SMOOTHING = 0.35
"""Weight of each neighbouring bin: correlates neighbours by about 0.55."""

BAL_SHARE = 0.15
"""Of quasars whose C IV is covered (Gibson et al. 2009, ApJ 692, 758)."""
BAL_UNSURE_SHARE = 0.03
"""Visual inspection and balnicity index disagree (boss-like catalogues: 2 to 3 %)."""
BAL_MIN_Z = 1.45
"""From here on C IV troughs up to 18,000 km/s lie in the grid."""
_TROUGHS = {1549.06: 1.0, 1396.76: 0.65, 1240.81: 0.8, LYMAN_ALPHA: 0.5}
"""Wavelength of C IV, Si IV, N V and Ly-alpha, and the depth of their troughs relative to C IV."""
_TROUGH_BINS = int(30000 / KM_S_PER_BIN)


def simulate_quasars(z: np.ndarray, luminosity: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Simulate quasars without noise.

    Parameters
    ----------
    z : (n,) array
        Redshift, at most 4.2.
    luminosity : (n,) array
        In standard deviations from the mean of log luminosity.
    rng : Generator

    Returns
    -------
    flux : (n, 443) float32 array
        Flux density per Angstrom, arbitrary unit.
    bal : (n,) int8 array
        1 broad absorption lines, -1 none, 0 unknown.
    """
    one_plus_z = 1 + z
    flux = continuum(z, rng)
    flux *= 1 + emission_lines(one_plus_z, luminosity, rng)
    has_trough, bal = draw_bal(z, rng)
    absorb_troughs(flux, np.flatnonzero(has_trough), one_plus_z, rng)
    absorb_forest(flux, one_plus_z, rng)
    absorb_lyman_limit(flux, one_plus_z, rng)
    return flux, bal


def continuum(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Broken power law with scatter in slope, reddened at the quasar.

    Parameters
    ----------
    z : (n,) array
    rng : Generator

    Returns
    -------
    (n, 443) float32 array
    """
    n = len(z)
    slope = _SLOPE + _SLOPE_SCATTER * rng.standard_normal(n)
    reddening = rng.exponential(_MEAN_REDDENING, n)
    ln_rest = _LN_WAVELENGTH - column(np.log(1 + z))
    ln_flux = column(slope) * (ln_rest - np.float32(np.log(_REFERENCE)))
    ln_flux += (_RED_SLOPE - _SLOPE) * np.maximum(ln_rest - np.float32(np.log(_RED_BREAK)), 0)
    ln_flux += (_BLUE_SLOPE - _SLOPE) * np.minimum(ln_rest - np.float32(np.log(_BLUE_BREAK)), 0)
    # the dust law is a power law too, so its redshift dependence is a factor per spectrum
    dust = np.exp(_DUST_POWER * (_LN_WAVELENGTH - np.float32(np.log(4400.0))))
    depth = 0.4 * np.log(10) * _DUST * reddening * (1 + z) ** -_DUST_POWER
    ln_flux -= column(depth) * dust
    return np.exp(ln_flux)


def emission_lines(one_plus_z: np.ndarray, luminosity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flux of all emission lines and of the iron pseudo-continuum, relative to the continuum.

    Parameters
    ----------
    one_plus_z, luminosity : (n,) array
    rng : Generator

    Returns
    -------
    (n, 443) float32 array
    """
    n = len(one_plus_z)
    flux = LineFlux(one_plus_z)
    shared = _SHARED * rng.standard_normal(n) + _BALDWIN * _LUMINOSITY_SCATTER * luminosity
    broadening = 10 ** (_BROADENING * rng.standard_normal(n).clip(-2, 2))
    for name, line in QUASAR_BROAD.items():
        widths, shift = _scatter(line, shared, _BROAD_SHIFT, rng)
        widths *= FAINT_QUASARS.get(name, 1.0)
        for share, relative_sigma in _PROFILE:
            flux.add(line.wavelength, share * widths, relative_sigma * line.sigma * broadening, shift)
    for lines, scatter, velocity in (
        (QUASAR_NARROW, _NARROW, _NARROW_SHIFT),
        (QUASAR_IRON, _IRON, _BROAD_SHIFT),
    ):
        strength = scatter * rng.standard_normal(n)
        for line in lines.values():
            widths, shift = _scatter(line, strength, velocity, rng)
            flux.add(line.wavelength, widths, line.sigma, shift)
    return flux.relative()


def _scatter(
    line: Line, strength: np.ndarray, velocity: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw equivalent widths (Angstrom) and velocity shifts (km/s) of one line about those of its group."""
    widths = line.width * 10 ** (strength + _SINGLE * rng.standard_normal(len(strength)))
    return widths, velocity * rng.standard_normal(len(strength))


def draw_bal(z: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw which quasars have broad absorption troughs, and what is known about it.

    Parameters
    ----------
    z : (n,) array
    rng : Generator

    Returns
    -------
    has_trough : (n,) bool array
    bal : (n,) int8 array
        0 where C IV is not covered, and for the few on which the criteria disagree.
    """
    covered = z >= BAL_MIN_Z
    has_trough = covered & (rng.random(len(z)) < BAL_SHARE)
    bal = np.where(has_trough, 1, -1).astype(np.int8)
    bal[~covered | (rng.random(len(z)) < BAL_UNSURE_SHARE)] = 0
    return has_trough, bal


def absorb_troughs(flux: np.ndarray, rows: np.ndarray, one_plus_z: np.ndarray, rng: np.random.Generator) -> None:
    """Absorb broad troughs blueward of C IV, Si IV, N V and Ly-alpha, in place.

    All ions share the outflow's velocity profile: from 1,000 to 9,000 km/s on, 2,000 to 12,000 km/s wide (the
    traditional balnicity index needs 2,000; Weymann et al. 1991, ApJ 373, 23), smooth edges, uneven depth.

    Parameters
    ----------
    flux : (n, 443) float32 array
    rows : (m,) int array
        The spectra that have troughs.
    one_plus_z : (n,) array
    rng : Generator
    """
    m = len(rows)
    near = rng.uniform(1000, 9000, (m, 1))
    far = near + rng.uniform(2500, 12000, (m, 1))
    depth = rng.uniform(0.5, 1.0, (m, 1))
    waves = rng.uniform(0, 2 * np.pi, (m, 1)), rng.uniform(2000, 6000, (m, 1))
    for wavelength, relative_depth in _TROUGHS.items():
        centre = bin_position(wavelength * one_plus_z[rows])[:, None]
        bins = np.floor(centre).astype(np.intp) - np.arange(_TROUGH_BINS)
        velocity = (centre - bins - 0.5) * KM_S_PER_BIN
        edge = np.clip((velocity - near) / 600, 0, 1) * np.clip((far - velocity) / 1200, 0, 1)
        uneven = 0.85 + 0.15 * np.sin(velocity / waves[1] * 2 * np.pi + waves[0])
        inside = (bins >= 0) & (bins < N_BINS)
        row = np.broadcast_to(rows[:, None], bins.shape)[inside]
        flux[row, bins[inside]] *= (1 - relative_depth * depth * edge * uneven)[inside].astype(np.float32)


def mean_transmission(wavelength: np.ndarray) -> np.ndarray:
    """Mean transmission of the Ly-alpha line of the intergalactic gas, at observed wavelengths.

    Kamble et al. (2020), ApJ 892, 70: exp(-0.00554 (1 + z)^3.182) with 1 + z = wavelength / 1215.67 A.

    Parameters
    ----------
    wavelength : array
        Angstrom.

    Returns
    -------
    array of the same shape
    """
    return np.exp(-FOREST_AMPLITUDE * (wavelength / LYMAN_ALPHA) ** FOREST_POWER)


def _median_depth() -> np.ndarray:
    """Median optical depth of each bin: that for which log-normal scatter gives the mean transmission.

    Returns
    -------
    (bins of the forest,) float32 array
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    depth = np.geomspace(1e-3, 10, 300)
    transmission = np.exp(-depth[:, None] * np.exp(_FOREST_SCATTER * nodes)) @ weights / weights.sum()
    wanted = mean_transmission(np.exp(_LN_WAVELENGTH[:_FOREST_BINS].astype(np.float64)))
    return np.interp(-wanted, -transmission, depth).astype(np.float32)


_MEDIAN_DEPTH = _median_depth()


def absorb_forest(flux: np.ndarray, one_plus_z: np.ndarray, rng: np.random.Generator) -> None:
    """Absorb the Lyman series of the intergalactic gas in front of each quasar, in place.

    The optical depth of a bin is log-normal and correlated between neighbours. Gas absorbs in Ly-alpha in one
    bin and in Ly-beta, -gamma and -delta in bins a fixed number bluer, in proportion.

    Parameters
    ----------
    flux : (n, 443) float32 array
    one_plus_z : (n,) array
    rng : Generator
    """
    last = np.floor(bin_position(LYMAN_ALPHA * one_plus_z)).astype(np.intp)
    rows = np.flatnonzero(last > 0)
    field = rng.standard_normal((len(rows), _FOREST_BINS + 2), np.float32)
    field = field[:, 1:-1] + np.float32(_FOREST_SMOOTHING) * (field[:, :-2] + field[:, 2:])
    field *= np.float32(_FOREST_SCATTER / np.sqrt(1 + 2 * _FOREST_SMOOTHING**2))
    alpha = np.exp(field, out=field) * _MEDIAN_DEPTH
    alpha *= np.arange(_FOREST_BINS) < last[rows, None]
    depth = alpha.copy()
    for wavelength, strength in _HIGHER_LINES:
        bluer = round(np.log10(LYMAN_ALPHA / wavelength) / LOG_STEP)
        depth[:, :-bluer] += np.float32(strength) * alpha[:, bluer:]
    flux[rows, :_FOREST_BINS] *= np.exp(-depth)


def absorb_lyman_limit(flux: np.ndarray, one_plus_z: np.ndarray, rng: np.random.Generator) -> None:
    """Absorb the Lyman continuum of the first thick absorber in front of each quasar, in place.

    Its distance is exponential with the mean free path of Worseck et al. (2014), MNRAS 445, 1745:
    37 ((1 + z)/5)^-5.4 Mpc, which is 0.36 in redshift at z = 3.5 (H0 = 70, matter density 0.3) and
    goes with (1 + z)^-2.9.

    Parameters
    ----------
    flux : (n, 443) float32 array
    one_plus_z : (n,) array
    rng : Generator
    """
    n = len(one_plus_z)
    absorber = one_plus_z - rng.exponential(0.36, n) * (one_plus_z / 4.5) ** -2.9
    depth = 10 ** rng.uniform(0.5, 1.5, n)
    edge = bin_position(LYMAN_LIMIT * np.maximum(absorber, 1.0))
    rows = np.flatnonzero(edge > 0)
    if not rows.size:
        return
    bins = np.arange(int(edge.max()) + 1)
    below = (edge[rows, None] - bins - 0.5) * (np.log(10) * LOG_STEP)
    # photoionisation cross-section falls with the cube of the frequency
    thick = np.where(below > 0, depth[rows, None] * np.exp(-3 * below), 0.0)
    flux[rows[:, None], bins] *= np.exp(-thick).astype(np.float32)
