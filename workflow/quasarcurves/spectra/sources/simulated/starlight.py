"""Simulated spectra made of starlight: stars, galaxies; and featureless power laws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quasarcurves.spectra.grid import LOG_STEP, N_BINS, WAVELENGTH
from quasarcurves.spectra.sources.simulated.lines import (
    BALMER,
    METALS,
    NEBULAR,
    SPEED_OF_LIGHT,
    LineFlux,
    bin_position,
    column,
)

_CENTRES = WAVELENGTH * 10 ** (LOG_STEP / 2)
_H_C_PER_K = 1.438777e8
"""Second radiation constant, Angstrom Kelvin."""

_VELOCITY_SCATTER, _MAX_VELOCITY = 130.0, 600.0
"""Of stars, km/s: disc and halo; faster ones are rare."""


class StarType(NamedTuple):
    """A kind of star; equivalent widths and line widths in Angstrom, depths as ln(flux ratio)."""

    share: float
    cool: float
    hot: float
    balmer: float
    balmer_sigma: float
    jump: float
    metals: float
    blanketing: float
    tio: float


STAR_TYPES = {
    "OB": StarType(0.04, 12000, 30000, 6.0, 6.5, 0.15, 0.1, 0.0, 0.0),
    "A": StarType(0.23, 7600, 10500, 13.0, 9.5, 0.75, 1.0, 0.1, 0.0),
    "F": StarType(0.31, 5900, 7300, 5.0, 4.5, 0.25, 5.0, 0.6, 0.0),
    "G": StarType(0.13, 5200, 5900, 2.8, 3.5, 0.05, 9.0, 1.1, 0.0),
    "K": StarType(0.09, 4200, 5200, 1.0, 3.0, 0.0, 12.0, 1.9, 0.15),
    "M": StarType(0.12, 3000, 3700, 0.0, 3.0, 0.0, 9.0, 2.0, 1.0),
    "WD": StarType(0.08, 9000, 25000, 32.0, 26.0, 0.35, 0.0, 0.0, 0.0),
}
"""Shares as in the boss-like reference set (2,000 stars from survey templates, hot ones over-represented
because quasar targets are blue). Temperatures: Pecaut & Mamajek (2013), ApJS 208, 9; strengths of H beta
and Ca II K, Balmer jump and line blanketing by eye from the library of Pickles (1998), PASP 110, 863; white
dwarfs (DA) after Eisenstein et al. (2006), ApJS 167, 40."""

_TIO_HEADS = {
    4762: 0.4,
    4956: 0.65,
    5168: 0.5,
    5449: 0.45,
    5848: 0.35,
    6160: 0.5,
    6653: 0.3,
    7055: 0.75,
    7593: 0.6,
    8207: 0.1,
    8433: 0.45,
    8860: 0.2,
}
"""Heads of the TiO (and VO) bands in Angstrom, from which absorption fades to the red, and their depths
(Kirkpatrick, Henry & McCarthy 1991, ApJS 77, 417; depths by eye for type M4)."""

# Rest-frame galaxy continua per Angstrom: wavelength, an old population, with the 4000 A break of 1.8 (Balogh
# et al. 1999, ApJ 527, 54) and a star-forming one (shapes of Kinney et al. 1996, ApJ 467, 38: E and Sc/SB).
_GALAXY_CONTINUA = (
    (1700, 0.04, 1.5),
    (2200, 0.06, 1.25),
    (2600, 0.1, 1.12),
    (2900, 0.18, 1.0),
    (3300, 0.28, 0.92),
    (3600, 0.36, 0.88),
    (3850, 0.39, 0.94),
    (3960, 0.42, 1.05),
    (4050, 0.66, 1.25),
    (4300, 0.74, 1.25),
    (4600, 0.9, 1.15),
    (5000, 0.95, 1.06),
    (5600, 1.0, 1.0),
    (6500, 1.03, 0.9),
    (7500, 1.02, 0.8),
    (8700, 0.98, 0.7),
    (10500, 0.85, 0.6),
)
_GALAXY_SIGMA = 200.0
"""Velocity dispersion of the stars, km/s."""

_KNOTS, _OLD, _YOUNG = np.array(_GALAXY_CONTINUA).T

_TABLE_START = int(bin_position(1700.0)) - 2
_TABLE_CENTRES = _CENTRES[0] * 10 ** (LOG_STEP * np.arange(_TABLE_START, N_BINS + 4))
"""Rest-frame grid, the same bins carried on to 1700 A."""


def _blanketing() -> np.ndarray:
    """Optical depth of the many weak metal lines, for the Sun about 0.25 at 3700 A and 0.03 beyond 6000 A.

    The pattern of lines is arbitrary but always the same, as in nature.

    Returns
    -------
    (bins of the rest-frame grid,) array
    """
    lines = np.random.default_rng(4861).gamma(2.0, 0.5, len(_TABLE_CENTRES))
    lines = np.convolve(lines, (0.25, 0.5, 0.25), mode="same")
    return lines * (0.02 + 0.22 * np.exp(-((_TABLE_CENTRES / 3700) ** 4 - 1).clip(-1) / 1.5))


def _tio() -> np.ndarray:
    """Optical depth of the titanium oxide bands of a middle M star.

    Returns
    -------
    (bins of the rest-frame grid,) array
    """
    depth = np.zeros(len(_TABLE_CENTRES))
    for head, strength in _TIO_HEADS.items():
        redward = _TABLE_CENTRES - head
        depth += np.where(redward > 0, strength * np.exp(-redward / (0.03 * head)), 0)
    return np.convolve(depth, (0.25, 0.5, 0.25), mode="same")


_TABLES = {
    "blanketing": _blanketing(),
    "tio": _tio(),
    "old": np.interp(_TABLE_CENTRES, _KNOTS, _OLD),
    "young": np.interp(_TABLE_CENTRES, _KNOTS, _YOUNG),
}
"""Rest-frame spectra that are shifted to the redshift of each object."""


def _redshifted(name: str, one_plus_z: np.ndarray) -> np.ndarray:
    """Look up a rest-frame table at the observed bins, by linear interpolation.

    Returns
    -------
    (n, 443) float32 array
    """
    shift = np.log10(one_plus_z) / LOG_STEP + _TABLE_START
    first = np.floor(-shift).astype(np.intp)
    part = (-shift - first).astype(np.float32)[:, None]
    table = _TABLES[name].astype(np.float32)
    index = first[:, None] + np.arange(N_BINS)
    return (1 - part) * table[index] + part * table[index + 1]


def draw_stars(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Simulate stars without noise.

    Parameters
    ----------
    n : int
    rng : Generator

    Returns
    -------
    flux : (n, 443) float32 array
        Flux density per Angstrom, arbitrary unit.
    z : (n,) array
        Velocity over speed of light.
    """
    velocity = (_VELOCITY_SCATTER * rng.standard_normal(n)).clip(-_MAX_VELOCITY, _MAX_VELOCITY)
    z = velocity / SPEED_OF_LIGHT
    return stars(z, rng), z


def stars(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate stars of drawn types: a black body with Balmer, metal and molecular absorption.

    Parameters
    ----------
    z : (n,) array
        Velocity over speed of light, within 0.002.
    rng : Generator

    Returns
    -------
    (n, 443) float32 array
    """
    n, one_plus_z = len(z), 1 + z
    table = np.array(list(STAR_TYPES.values()))
    kind = rng.choice(len(table), n, p=table[:, 0] / table[:, 0].sum())
    drawn = StarType(*table[kind].T)
    temperature = drawn.cool * (drawn.hot / drawn.cool) ** rng.random(n)
    strength = np.exp(0.25 * rng.standard_normal((4, n)))

    flux = planck(temperature)
    depth = _balmer_jump(one_plus_z, drawn.jump * strength[0])
    depth += _redshifted("blanketing", one_plus_z) * column(drawn.blanketing * strength[1])
    depth += _redshifted("tio", one_plus_z) * column(drawn.tio * strength[2] * (3700 / temperature) ** 2)
    flux *= np.exp(-depth)

    lines = LineFlux(one_plus_z)
    absorb_lines(lines, drawn.balmer * strength[0], drawn.balmer_sigma, drawn.metals * strength[3])
    flux *= _not_below(1 + lines.relative())
    return flux


def _not_below(transmission: np.ndarray, floor: float = 0.05) -> np.ndarray:
    """Keep overlapping absorption lines, which are added up, from absorbing more than there is."""
    return np.maximum(transmission, np.float32(floor))


def planck(temperature: np.ndarray) -> np.ndarray:
    """Black body per Angstrom, relative to that at 5500 A.

    Parameters
    ----------
    temperature : (n,) array
        Kelvin.

    Returns
    -------
    (n, 443) float32 array
    """
    wavelength = _CENTRES.astype(np.float32)
    exponent = column(_H_C_PER_K / temperature)
    scale = column(np.expm1(_H_C_PER_K / temperature / 5500))
    return scale * (wavelength / 5500) ** -5 / np.expm1(exponent / wavelength)


def _balmer_jump(one_plus_z: np.ndarray, jump: np.ndarray) -> np.ndarray:
    """Optical depth of the Balmer continuum, with the crowded high lines leading up to it at 3646 A.

    Returns
    -------
    (n, 443) float32 array
    """
    rest = _CENTRES / one_plus_z[:, None]
    return (jump[:, None] / (1 + np.exp((rest - 3690) / 25))).astype(np.float32)


def absorb_lines(
    lines: LineFlux,
    balmer: np.ndarray,
    balmer_sigma: np.ndarray | float,
    metals: np.ndarray,
    dispersion: float = 0.0,
) -> None:
    """Add Balmer and metal absorption of stars or galaxies to their line flux.

    Parameters
    ----------
    lines : LineFlux
        Of n spectra.
    balmer, balmer_sigma, metals : (n,) array
        Equivalent width and standard deviation of H beta, equivalent width of Ca II K; Angstrom.
    dispersion : float
        Velocity dispersion of the stars, km/s.
    """
    for wavelength, width, sigma in BALMER.values():
        lines.add(wavelength, -width * balmer, sigma * balmer_sigma)
    for wavelength, width, sigma in METALS.values():
        lines.add(wavelength, -width * metals, np.hypot(sigma, wavelength * dispersion / SPEED_OF_LIGHT))


def draw_galaxies(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Simulate galaxies without noise, redshift 0.05 to 0.9.

    Parameters
    ----------
    n : int
    rng : Generator

    Returns
    -------
    flux : (n, 443) float32 array
        Flux density per Angstrom, arbitrary unit.
    z : (n,) array
    """
    z = 0.05 + 0.85 * rng.beta(2.0, 2.2, n)
    return galaxies(z, rng), z


def galaxies(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate galaxies: 40 % passive, the others with young stars and nebular lines.

    Parameters
    ----------
    z : (n,) array
        Up to 1.1.
    rng : Generator

    Returns
    -------
    (n, 443) float32 array
    """
    n, one_plus_z = len(z), 1 + z
    star_forming = rng.random(n) < 0.6
    young = np.where(star_forming, rng.beta(2.0, 4.0, n), 0.02 * rng.random(n))
    flux = column(1 - young) * _redshifted("old", one_plus_z)
    flux += column(young) * _redshifted("young", one_plus_z)
    flux *= np.exp(-_redshifted("blanketing", one_plus_z) * column(1.2 - young))
    # dust: a power law of slope 0.7 (Charlot & Fall 2000, ApJ 539, 718)
    dust = rng.exponential(0.3, n)
    flux *= np.exp(-column(dust * one_plus_z**0.7) * ((_CENTRES / 5500) ** -0.7).astype(np.float32))

    stellar = LineFlux(one_plus_z)
    absorb_lines(stellar, 1.5 + 3.5 * young, 5.0, 10.0 * (1 - 0.7 * young), _GALAXY_SIGMA)
    emission = np.where(star_forming, 10 ** (0.3 * rng.standard_normal(n)) * (0.1 + 2.0 * young), 0.0)
    excitation = 10 ** (0.2 * rng.standard_normal(n))
    nebular = LineFlux(one_plus_z)
    for name, (wavelength, width, sigma) in NEBULAR.items():
        ionised = excitation if name.startswith(("[OIII]", "[NeIII]")) else 1.0
        nebular.add(wavelength, width * emission * ionised, sigma)
    return flux * (_not_below(1 + stellar.relative()) + nebular.relative())


def power_laws(n: int, rng: np.random.Generator) -> np.ndarray:
    """Simulate featureless spectra, as of BL Lac objects and of failed reductions.

    Parameters
    ----------
    n : int
    rng : Generator

    Returns
    -------
    (n, 443) float32 array
    """
    slope = rng.normal(-1.0, 1.0, n).astype(np.float32)
    return np.exp(slope[:, None] * np.log(_CENTRES / 6000).astype(np.float32))
