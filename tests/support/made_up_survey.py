"""A folder of made-up spectra in the layout of the reference spectra, with the truth planted in it.

Quasars of redshift above 2 have Lyman-alpha in the middle of a box of the network, well above everything else, so that
`keras2_weights.lyman_alpha_finder`, which the folder's weights are of, finds them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from support.keras2_weights import lyman_alpha_finder, write_weights
from support.spectra_files import compress, write_coadd, write_csv, write_pair_spectra, write_spec, write_truth

BINS = 443
LOG_START, LOG_STEP = np.log10(3600.0), 1e-3
LYMAN_ALPHA = 1215.67
BOX_REDSHIFTS = 3600 * 10 ** (1e-3 * (np.arange(9) + 0.5) * BINS / 13) / LYMAN_ALPHA - 1
"""Of quasars with Lyman-alpha in the middle of boxes 0 to 8: 2.08 to 4.77."""

_LINES = {LYMAN_ALPHA: 8.0, 1548.2049: 1.2, 1908.734: 0.8, 2796.3511: 1.0, 4862.68: 0.5}
"""Height of each line above a continuum of 1."""
_LINE_SIGMA = 0.008
"""Of log10 of the wavelength."""

KEPT = {"star": 480, "galaxy": 160, "qso_low": 340, "qso_high": 800, "bad": 140}
"""Rows of the pair that are fit for use."""
DEFECTS = {"invalid_target_id": 20, "not_in_truth": 20, "zero_ivar": 15, "constant_flux": 10, "not_inspected": 15}
BALS, DISAGREEING = 140, 35
REPEATED = 120
"""Rows that are the second observation of an object in another row."""
ROWS = sum(KEPT.values()) + sum(DEFECTS.values())

WITHOUT_SIGNAL = 11
"""Row of the coadd whose ivar is 0."""
FIBRES = 25
_DESI_ARMS = {"B": (3600, 5800), "R": (5760, 7620), "Z": (7520, 9824)}

Spectrum = Callable[[np.ndarray], np.ndarray]


def make(folder: Path) -> Path:
    """Write `boss_like`, `sdss_spec` and `desi` into a folder."""
    for name, write in {"boss_like": write_pair, "sdss_spec": write_sdss, "desi": write_desi}.items():
        (folder / name).mkdir(parents=True)
        write(folder / name)
    return folder


def quasar(z: float) -> Spectrum:
    """Return the flux of a quasar by wavelength: a flat continuum and emission lines."""

    def flux(wavelength: np.ndarray) -> np.ndarray:
        distance = {line: np.log10(wavelength / (line * (1 + z))) / _LINE_SIGMA for line in _LINES}
        return 1 + sum(height * np.exp(-0.5 * distance[line] ** 2) for line, height in _LINES.items())

    return flux


def star(wavelength: np.ndarray) -> np.ndarray:
    """Return the flux of a star by wavelength: a flat continuum and absorption lines."""
    distance = np.log10(wavelength[:, None] / np.array([3934.8, 4862.7, 6564.6])) / 0.003
    return 1 - 0.7 * np.exp(-0.5 * distance**2).sum(axis=1)


def observe(spectrum: Spectrum, wavelength: np.ndarray, noise: float, rng: np.random.Generator) -> tuple:
    """Return flux with noise and its ivar, (p,) each: noise in units of the continuum, a tenth larger at the ends."""
    sigma = noise * (1 + 0.1 * np.linspace(-1, 1, len(wavelength)) ** 2)
    return spectrum(wavelength) + sigma * rng.standard_normal(len(wavelength)), sigma**-2


# the pair of QuasarNET


def write_pair(folder: Path) -> None:
    """Write `data.fits` and `truth.fits`: rows as `KEPT` and `DEFECTS` say, in mixed order.

    The truth has 50 objects without a spectrum and 3 rows without an id as well.
    """
    rng = np.random.default_rng(1)
    kind = np.concatenate([np.repeat(list(KEPT), list(KEPT.values())), np.full(sum(DEFECTS.values()), "star")])
    target_id, truth = _objects(kind, rng)
    flux, ivar = _observe_all(kind, truth[:, 1], rng)
    _plant_defects(target_id, truth, flux, ivar)
    order = rng.permutation(ROWS)
    write_pair_spectra(folder / "data.fits", target_id[order], flux[order], ivar[order])
    without_spectrum = [(10**6 + i, 2.5, 3, 3, 0, 0) for i in range(50)]
    nobody = [(-1, 0.5, 4, 3, 0, 0)] * 3
    rows = {tuple(row) for row in truth[target_id != -1] if row[0] > 0}
    write_truth(folder / "truth.fits", sorted([*rows, *without_spectrum, *nobody]))


def _objects(kind: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the id of every row and its row of the truth (n, 6), in the order of `TRUTH_COLUMNS`."""
    n = len(kind)
    z = np.where(kind == "galaxy", rng.uniform(0.1, 0.9, n), 0.0)
    z = np.where((kind == "qso_low") | (kind == "bad"), rng.uniform(0.5, 2.0, n), z)
    # the first redshift is below 2.1
    z = np.where(kind == "qso_high", rng.choice(BOX_REDSHIFTS[1:], n), z)
    flag, index = np.zeros((2, n))
    bals = np.flatnonzero(kind == "qso_high")[-BALS - DISAGREEING :]
    flag[bals[: BALS + 25]], index[bals[:BALS]], index[bals[BALS + 25 :]] = 1, 800, 50
    person = np.select([kind == "star", kind == "galaxy", (flag > 0) & (index > 0)], [1, 4, 30], default=3)
    confidence = np.where(kind == "bad", 1 + np.arange(n) % 2, 3)
    target_id = 1000 + 7 * np.arange(n)
    # most of the repeated objects are quasars
    for name, pairs in {"qso_high": 90, "star": REPEATED - 90}.items():
        first = np.flatnonzero(kind == name)[:pairs]
        target_id[first + pairs], z[first + pairs] = target_id[first], z[first]
    return target_id, np.column_stack([target_id, z, person, confidence, flag, index])


def _observe_all(kind: np.ndarray, z: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and ivar (n, 443); one spectrum in five has a masked gap of ten bins."""
    wavelength = 10 ** (LOG_START + LOG_STEP * (np.arange(BINS) + 0.5))
    flux, ivar = np.empty((2, len(kind), BINS))
    for row, (each, redshift) in enumerate(zip(kind, z, strict=True)):
        spectrum = star if each in ("star", "galaxy") else quasar(redshift)
        flux[row], ivar[row] = observe(spectrum, wavelength, 0.1 if each != "bad" else 0.7, rng)
        if row % 5 == 0:
            gap = slice(350, 360)
            flux[row, gap] = ivar[row, gap] = 0
    return flux, ivar


def _plant_defects(target_id: np.ndarray, truth: np.ndarray, flux: np.ndarray, ivar: np.ndarray) -> None:
    """Change the last rows as `DEFECTS` says, in that order."""
    starts = ROWS - np.cumsum(list(DEFECTS.values())[::-1])[::-1]
    rows = {name: np.arange(start, start + DEFECTS[name]) for name, start in zip(DEFECTS, starts, strict=True)}
    target_id[rows["invalid_target_id"]] = -1
    truth[rows["not_in_truth"], 0] = -1
    ivar[rows["zero_ivar"]] = 0
    # in five of them the flux is left
    flux[rows["zero_ivar"][:10]] = 0
    values = [0, 0, 0, 0, 1, 1, 2, 1.7, 0.3, 11.3]
    flux[rows["constant_flux"]], ivar[rows["constant_flux"]] = np.array(values)[:, None], 2.0
    truth[rows["not_inspected"], 1:4] = -1, 0, 0


# spec files of SDSS


def write_sdss(folder: Path) -> None:
    """Write 40 compressed spec files and `catalogue.csv`: 39 quasars and a galaxy, two quasars observed twice."""
    rng = np.random.default_rng(2)
    observations = [
        (10656, 58163, 366), *((3655, 55240, 26 + 28 * i) for i in range(34)),
        *((9367, 57758, fiber) for fiber in (345, 396, 457, 500, 601)),
    ]  # fmt: skip
    again = {(9367, 57758, 396): (3655, 55240, 194), (9367, 57758, 457): (3655, 55240, 306)}
    redshift = dict(zip(observations, np.resize(BOX_REDSHIFTS[:8], 40), strict=True))
    redshift |= {second: redshift[first] for second, first in again.items()}
    galaxy = (3655, 55240, 670)
    rows = []
    for number, (plate, mjd, fiber) in enumerate(observations):
        key = plate, mjd, fiber
        spectrum = star if key == galaxy else quasar(redshift[key])
        name, snr = _write_spec(folder / f"spec-{plate}-{mjd}-{fiber:04d}.fits", spectrum, number, rng)
        thing_id = 400_000_000 + observations.index(again.get(key, key))
        z, kind = (0.052, "GALAXY") if key == galaxy else (redshift[key], "QSO")
        rows.append((name, plate, mjd, fiber, thing_id, f"{z:.6f}", kind, 0, f"{snr:.3f}"))
    names = ("file", "plate", "mjd", "fiber", "thing_id", "z", "class", "zwarning", "sn_median_all")
    write_csv(folder / "catalogue.csv", names, rows)


def _write_spec(path: Path, spectrum: Spectrum, number: int, rng: np.random.Generator) -> tuple[str, float]:
    """Write one file; return its name and the median S/N of its pixels. Bright sky covers 60 of them."""
    # real spectra begin and end at other pixels
    loglam = 3.55 + 1e-4 * np.arange(4590 + number)
    flux, ivar = observe(spectrum, 10**loglam, 0.5, rng)
    mask = np.zeros(len(loglam), np.int32)
    mask[2500:2560] = 1 << 25
    flux[2500:2560] += 100
    mask[3000:3050] = 1 << 24
    write_spec(path, loglam, flux, ivar, mask)
    return compress(path).name, float(np.median(flux * np.sqrt(ivar)))


# a coadd of DESI


def write_desi(folder: Path) -> None:
    """Write `test_coadd.fits` without FIBERMAP, `coadd_x.npy`, what it becomes, and `test_weights.h5`.

    Every other fibre is of a quasar; that of row 11 has no signal.
    """
    rng = np.random.default_rng(3)
    wavelength = {arm: np.arange(first, last + 0.1, 0.8) for arm, (first, last) in _DESI_ARMS.items()}
    arms = {arm: np.empty((2, FIBRES, len(each)), np.float32) for arm, each in wavelength.items()}
    for row in range(FIBRES):
        spectrum = quasar(BOX_REDSHIFTS[row // 2 % 8]) if row % 2 == 0 else star
        for arm, each in wavelength.items():
            arms[arm][:, row] = observe(spectrum, each, 0.5, rng)
    for _, ivar in arms.values():
        ivar[WITHOUT_SIGNAL] = 0
        ivar[:, 100:120] = 0
    write_coadd(folder / "test_coadd.fits", wavelength, {arm: tuple(pixels) for arm, pixels in arms.items()})
    np.save(folder / "coadd_x.npy", _rebinned_by_hand(wavelength, arms))
    write_weights(folder / "test_weights.h5", lyman_alpha_finder())


def _rebinned_by_hand(wavelength: dict[str, np.ndarray], arms: dict[str, np.ndarray]) -> np.ndarray:
    """Rebin and normalise spectrum by spectrum, without those that have no signal, (m, 443)."""
    index = np.floor(np.round((np.log10(np.concatenate(list(wavelength.values()))) - LOG_START) / LOG_STEP, 9))
    pixels = np.concatenate(list(arms.values()), axis=-1).astype(np.float64)
    rows = []
    for flux, ivar in zip(*pixels, strict=True):
        total = np.bincount(index.astype(int), ivar, BINS)[:BINS]
        if not total.any():
            continue
        binned = np.bincount(index.astype(int), flux * ivar, BINS)[:BINS] / np.where(total > 0, total, 1)
        mean = np.average(binned, weights=total)
        rows.append((binned - mean) / np.sqrt(np.average((binned - mean) ** 2, weights=total)))
    return np.array(rows)
