"""Simulated BOSS-like spectra: a data set of any size that needs no files.

The mixture of objects is that of visually inspected BOSS targets in the boss-like reference set: 60 % quasars, of which
70 % beyond z = 2.1, 25 % stars, 8 % galaxies, 7 % not trusted. `quasars` and `starlight` make the objects,
`observation` observes them.

Spectra are drawn on the logarithmic grid. For another one, each bin is cut into parts of equal flux, which are
rebinned: where its bins are the narrower ones, the noise of neighbours is correlated.

Fibres that hold no object, and residuals of the sky, are drawn by generators of their own: other spectra are the same
with and without them.

Spectra are made in blocks of fixed size, each with a random generator of its own, so spectrum i depends on
the seed and on i alone: a larger set starts with the smaller one, and chunks do not change the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from quasarcurves.spectra.empty_fibres import empty_id
from quasarcurves.spectra.grid import LOGARITHMIC, Grid, grid_of, median_snr, normalise, rebin
from quasarcurves.spectra.sources.simulated.observation import observe, observe_nothing
from quasarcurves.spectra.sources.simulated.quasars import simulate_quasars
from quasarcurves.spectra.sources.simulated.sky import residuals
from quasarcurves.spectra.sources.simulated.starlight import draw_galaxies, draw_stars, power_laws
from quasarcurves.spectra.table import BAD, GALAXY, QSO_HIGH, QSO_LOW, QSO_SPLIT_Z, STAR, Spectra

SCHEMA = {
    "required": ["n_spectra"],
    "properties": {
        "n_spectra": {
            "description": "Number of spectra to simulate.",
            "type": "integer",
            "minimum": 1,
            "maximum": 1_000_000_000,
        },
        "seed": {
            "description": "Seed of the simulation; the study's unless given.",
            "type": "integer",
            "minimum": 0,
            "maximum": 2**53 - 1,
        },
        "sky_residuals": {
            "description": "What badly subtracted emission of the sky leaves, over the noise; 0 unless given.",
            "type": "number",
            "minimum": 0,
            "maximum": 100,
        },
        "noise_only": {
            "description": "Share of fibres without an object, which have noise alone; 0 unless given.",
            "type": "number",
            "minimum": 0,
            "exclusiveMaximum": 1,
        },
    },
}

DEFAULT_SEED = 1
BLOCK = 512
"""Spectra that share a random generator."""
_STREAM = 443
"""Keeps these generators apart from others seeded with the same number."""
_EMPTY_STREAM, _SKY_STREAM = 1, 2
"""Keeps what is added to a block apart from the block."""

STAR_KIND, GALAXY_KIND, QUASAR_KIND, FEATURELESS_KIND, EMPTY_KIND = range(5)
QUASAR_SHARE, STAR_SHARE, GALAXY_SHARE, BAD_SHARE = 0.60, 0.25, 0.08, 0.07
FEATURELESS_SHARE = 0.25
"""Of the BAD ones; the others are of any kind, but too faint."""

# Number of quasars per redshift: those of DR12Q (Paris et al. 2017, A&A 597, A79) peak at 2.3,
# where Ly-alpha enters the spectrograph and the target selection aims; linear between these knots.
_REDSHIFT_DENSITY = (
    (0.30, 0.35),
    (0.60, 0.70),
    (1.00, 0.74),
    (1.60, 0.95),
    (2.05, 1.00),
    (2.15, 3.40),
    (2.30, 4.70),
    (2.60, 2.55),
    (3.00, 1.05),
    (3.50, 0.65),
    (4.00, 0.30),
)

# Signal-to-noise ratio per bin: log-normal, median 10. In the boss-like set 9 (3.0 per native pixel), 16th to
# 84th percentile 3.6 to 19, which is a scatter of a factor of about 2.
_SNR, _SNR_SCATTER, _SNR_RANGE = 10.0, 0.75, (1.5, 50.0)
_BAD_SNR, _BAD_SNR_SCATTER = 1.4, 0.35
"""0.44 per native pixel of 1e-4, as in the boss-like set, is 1.4 per bin."""
_PARTS = 16
"""Parts that a bin is cut into on its way to another grid."""

_SNR_OF_LUMINOSITY = 0.5
"""Correlation of luminosity and signal-to-noise ratio; observing conditions make it less than 1."""


@dataclass(frozen=True)
class Simulated:
    """Simulated spectra before normalisation, with their truth.

    Parameters
    ----------
    flux : (n, 443) float32 array
        1e-17 erg/s/cm2/A, with noise; 0 where ivar is 0.
    ivar : (n, 443) float32 array
        Inverse variance of flux.
    noiseless : (n, 443) float32 array
        Flux before noise and gaps.
    z : (n,) float64 array
        True redshift; NaN of featureless and empty spectra.
    label : (n,) uint8 array
        0 STAR, 1 GALAXY, 2 QSO z < 2.1, 3 QSO z >= 2.1, 4 BAD.
    bal : (n,) int8 array
        1 broad absorption line quasar, -1 not one, 0 unknown or no trusted quasar.
    kind : (n,) uint8 array
        True kind, also of objects labelled BAD: 0 star, 1 galaxy, 2 quasar, 3 featureless, 4 no object.
    target_id : (n,) int64 array
        Number of the spectrum, from 0; of a fibre without an object -1 less the number.
    """

    flux: np.ndarray
    ivar: np.ndarray
    noiseless: np.ndarray
    z: np.ndarray
    label: np.ndarray
    bal: np.ndarray
    kind: np.ndarray
    target_id: np.ndarray

    def __len__(self) -> int:
        return len(self.flux)


def check(config: Mapping[str, Any]) -> None:
    """Refuse a `data` block whose number of spectra, seed, residuals or share of empty fibres cannot be used.

    Raises
    ------
    ValueError
        With the key, what was found and what was expected.
    """
    n, seed = config.get("n_spectra"), config.get("seed", DEFAULT_SEED)
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"data.n_spectra is {n!r}, expected an integer above 0")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"data.seed is {seed!r}, expected an integer, 0 or above")
    for key, most in (("sky_residuals", 100), ("noise_only", 1)):
        value = config.get(key, 0)
        usable = isinstance(value, int | float) and not isinstance(value, bool)
        if not (usable and 0 <= value <= most) or (key == "noise_only" and value == 1):
            end = "below 1" if key == "noise_only" else f"at most {most}"
            raise ValueError(f"data.{key} is {value!r}, expected a number, 0 or above and {end}")


def input_files(config: Mapping[str, Any]) -> list[Path]:
    """List the files read: none."""
    return []


def read_chunks(config: Mapping[str, Any], rows: int) -> Iterator[Spectra]:
    """Simulate the `n_spectra` spectra of a `data` block, at most `rows` at a time.

    Parameters
    ----------
    config : mapping
        `n_spectra`, and optionally `seed` (default 1), `sky_residuals` and `noise_only` (default 0).
    rows : int
        Bounds the memory needed; does not change the spectra.

    Yields
    ------
    Spectra
        Normalised.
    """
    check(config)
    n, seed = config["n_spectra"], config.get("seed", DEFAULT_SEED)
    sky_residuals, noise_only = float(config.get("sky_residuals", 0)), float(config.get("noise_only", 0))
    for first in range(0, n, rows):
        raw = simulate(min(rows, n - first), seed, first, sky_residuals, noise_only)
        yield _normalised(raw, grid_of(config))


def simulate(
    n: int, seed: int = DEFAULT_SEED, first: int = 0, sky_residuals: float = 0.0, noise_only: float = 0.0
) -> Simulated:
    """Simulate the spectra numbered first to first + n - 1 of a seed.

    Parameters
    ----------
    n : int
        How many, at least 1.
    seed : int
        0 or above.
    first : int
        Number of the first one.
    sky_residuals : float
        See `sky.residuals`; 0 for none.
    noise_only : float
        Share of fibres without an object. With a larger share the same fibres, and more, are empty.

    Returns
    -------
    Simulated
    """
    stop = first + n
    parts = []
    for index in range(first // BLOCK, -(-stop // BLOCK)):
        start = index * BLOCK
        wanted = slice(max(first - start, 0), min(stop - start, BLOCK))
        parts.append([column[wanted] for column in _columns(_block(seed, index, sky_residuals, noise_only))])
    return Simulated(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _columns(spectra: Simulated) -> list[np.ndarray]:
    return [getattr(spectra, field.name) for field in fields(spectra)]


def _normalised(raw: Simulated, grid: Grid) -> Spectra:
    """Normalise spectra on a grid, leave out those that cannot be normalised, and count them by reason."""
    binned, ivar = (raw.flux, raw.ivar) if grid == LOGARITHMIC else _carried(raw.flux, raw.ivar, grid)
    flux, keep = normalise(binned, ivar)
    empty = ~(ivar > 0).any(axis=1)
    reasons = {"zero_ivar": int(empty.sum()), "constant_flux": int((~keep & ~empty).sum())}
    return Spectra(
        flux=flux[keep],
        z=raw.z[keep],
        label=raw.label[keep],
        bal=raw.bal[keep],
        target_id=raw.target_id[keep],
        snr=median_snr(binned[keep], ivar[keep]),
        rejected={reason: count for reason, count in reasons.items() if count},
        source="simulated",
        grid=grid,
    )


def _carried(flux: np.ndarray, ivar: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Carry spectra from the logarithmic grid to another one: flux and ivar, (n, bins) float64 each."""
    middles = LOGARITHMIC.at((np.arange(LOGARITHMIC.n * _PARTS) + 0.5) / _PARTS)
    # a part of a bin has as much less weight: parts add up to the bin
    return rebin(middles, np.repeat(flux, _PARTS, axis=1), np.repeat(ivar / _PARTS, _PARTS, axis=1), grid)


# chunks smaller than a block need the same block several times, so the last one is kept
@lru_cache(maxsize=1)
def _block(seed: int, index: int, sky_residuals: float, noise_only: float) -> Simulated:
    """Simulate one block of spectra; its arrays are shared and must not be changed."""
    block = _objects_alone(seed, index)
    if noise_only:
        _empty(block, noise_only, np.random.default_rng([_STREAM, seed, index, _EMPTY_STREAM]))
    if sky_residuals:
        rng = np.random.default_rng([_STREAM, seed, index, _SKY_STREAM])
        block.flux[:] += residuals(block.ivar, sky_residuals, rng)
    return block


def _empty(block: Simulated, share: float, rng: np.random.Generator) -> None:
    """Put fibres without an object in the place of a share of the spectra."""
    chosen = rng.random(len(block)) < share
    flux, ivar = observe_nothing(len(block), rng)
    block.flux[chosen], block.ivar[chosen], block.noiseless[chosen] = flux[chosen], ivar[chosen], 0
    block.z[chosen], block.bal[chosen] = np.nan, 0
    block.label[chosen], block.kind[chosen] = BAD, EMPTY_KIND
    block.target_id[chosen] = empty_id(block.target_id[chosen])


def _objects_alone(seed: int, index: int) -> Simulated:
    """Simulate one block of spectra, an object in each."""
    rng = np.random.default_rng([_STREAM, seed, index])
    kind, is_bad = draw_kinds(BLOCK, rng)
    snr, luminosity = draw_brightness(is_bad & (kind != FEATURELESS_KIND), rng)
    flux, z, bal = _objects(kind, luminosity, rng)
    observed, ivar, noiseless = observe(flux, snr, rng)
    label = np.choose(kind, (STAR, GALAXY, QSO_LOW, BAD)).astype(np.uint8)
    label[(kind == QUASAR_KIND) & (z >= QSO_SPLIT_Z)] = QSO_HIGH
    label[is_bad] = BAD
    bal[is_bad] = 0
    target_id = np.arange(index * BLOCK, (index + 1) * BLOCK, dtype=np.int64)
    return Simulated(observed, ivar, noiseless, z, label, bal, kind, target_id)


def draw_kinds(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the kind of each object and whether it is labelled BAD.

    Parameters
    ----------
    n : int
    rng : Generator

    Returns
    -------
    kind : (n,) uint8 array
    is_bad : (n,) bool array
    """
    shares = np.array((STAR_SHARE, GALAXY_SHARE, QUASAR_SHARE))
    kind = rng.choice(3, n, p=shares / shares.sum()).astype(np.uint8)
    is_bad = rng.random(n) < BAD_SHARE
    kind[is_bad & (rng.random(n) < FEATURELESS_SHARE)] = FEATURELESS_KIND
    return kind, is_bad


def draw_brightness(faint: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the signal-to-noise ratio per bin and the luminosity of quasars, which are correlated.

    Parameters
    ----------
    faint : (n,) bool array
        Too faint to be classified.
    rng : Generator

    Returns
    -------
    snr : (n,) array
    luminosity : (n,) array
        In standard deviations.
    """
    brightness, other = rng.standard_normal((2, len(faint)))
    snr = (_SNR * np.exp(_SNR_SCATTER * brightness)).clip(*_SNR_RANGE)
    snr[faint] = (_BAD_SNR * np.exp(_BAD_SNR_SCATTER * brightness))[faint]
    luminosity = _SNR_OF_LUMINOSITY * brightness + np.sqrt(1 - _SNR_OF_LUMINOSITY**2) * other
    return snr, luminosity


def draw_redshifts(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw redshifts of quasars.

    Parameters
    ----------
    n : int
    rng : Generator

    Returns
    -------
    (n,) array
        0.3 to 4.
    """
    knots, density = np.array(_REDSHIFT_DENSITY).T
    z = np.linspace(knots[0], knots[-1], 1000)
    cumulative = np.cumsum(np.interp(z, knots, density))
    return np.interp(rng.random(n), (cumulative - cumulative[0]) / (cumulative[-1] - cumulative[0]), z)


def _objects(
    kind: np.ndarray, luminosity: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate objects of the given kinds without noise: flux, redshift and BAL status."""
    rows = [np.flatnonzero(kind == value) for value in range(4)]
    counts = [len(row) for row in rows]
    z = np.full(len(kind), np.nan)
    bal = np.zeros(len(kind), np.int8)
    z[rows[QUASAR_KIND]] = draw_redshifts(counts[QUASAR_KIND], rng)
    of_quasars, bal[rows[QUASAR_KIND]] = simulate_quasars(z[rows[QUASAR_KIND]], luminosity[rows[QUASAR_KIND]], rng)
    of_stars, z[rows[STAR_KIND]] = draw_stars(counts[STAR_KIND], rng)
    of_galaxies, z[rows[GALAXY_KIND]] = draw_galaxies(counts[GALAXY_KIND], rng)
    parts = of_stars, of_galaxies, of_quasars, power_laws(counts[FEATURELESS_KIND], rng)
    flux = np.empty((len(kind), parts[0].shape[1]), np.float32)
    for row, part in zip(rows, parts, strict=True):
        flux[row] = part
    return flux, z, bal
