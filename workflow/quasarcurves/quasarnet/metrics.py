"""Quality of redshifts and of a list of quasars: dv, purity, completeness, and where the last two are equal.

Definitions are those of Farr, Font-Ribera & Pontzen (2020, arXiv:2007.10348), in whose published analysis the speed of
light is 300,000 km/s.
"""

from __future__ import annotations

import numpy as np

SPEED_OF_LIGHT = 300_000.0
"""km/s."""

DV_MAX = 6000.0
"""A redshift is good if it is off by no more than this many km/s."""

THRESHOLDS = np.linspace(0, 1, 101)
"""Confidences above which a line is taken for found."""


def velocity(z: np.ndarray, z_true: np.ndarray) -> np.ndarray:
    """Error of a redshift as a velocity, 300,000 (z - z_true) / (1 + z_true).

    Parameters
    ----------
    z, z_true : (n,) array

    Returns
    -------
    (n,) float64 array
        km/s; NaN where the true redshift is not known, not finite where it is -1.
    """
    z, z_true = np.asarray(z, np.float64), np.asarray(z_true, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return SPEED_OF_LIGHT * (z - z_true) / (1 + z_true)


def has_good_redshift(z: np.ndarray, z_true: np.ndarray, dv_max: float = DV_MAX) -> np.ndarray:
    """(n,) bool: the redshift is off by no more than `dv_max` km/s; not so where the true one is not known."""
    return np.abs(velocity(z, z_true)) <= dv_max


def purity_completeness(
    called: np.ndarray,
    z: np.ndarray,
    is_qso: np.ndarray,
    is_galaxy: np.ndarray,
    is_bad: np.ndarray,
    z_true: np.ndarray,
    dv_max: float = DV_MAX,
) -> tuple[float, float]:
    """Purity and completeness of what a classifier calls quasars.

    Purity is the share, of all that are called quasars and whose truth is trusted, that are quasars or galaxies with a
    good redshift. Completeness is the share of all quasars that are called so with a good redshift.

    Parameters
    ----------
    called : (n,) bool array
        Called a quasar.
    z : (n,) array
        Redshift found.
    is_qso, is_galaxy, is_bad : (n,) bool arrays
        The truth; `is_bad` where class or redshift is not trusted.
    z_true : (n,) array
    dv_max : float
        Largest error of a good redshift, km/s.

    Returns
    -------
    purity, completeness : float
        NaN where nothing of known truth is called, or there is no quasar.

    Raises
    ------
    ValueError
        If the arrays differ in length.
    """
    columns = [np.asarray(each) for each in (called, z, is_qso, is_galaxy, is_bad, z_true)]
    if len(shapes := {each.shape for each in columns}) > 1:
        raise ValueError(f"expected six arrays of one length, found shapes {sorted(shapes)}")
    good = has_good_redshift(columns[1], columns[5], dv_max)
    called, is_qso, is_galaxy, is_bad = (columns[i].astype(bool) for i in (0, 2, 3, 4))
    right = called & good
    purity = share(np.sum(right & (is_qso | is_galaxy) & ~is_bad), np.sum(called & ~is_bad))
    return float(purity), float(share(np.sum(right & is_qso), np.sum(is_qso)))


def crossing_of(
    confidence: np.ndarray,
    z: np.ndarray,
    is_qso: np.ndarray,
    is_galaxy: np.ndarray,
    is_bad: np.ndarray,
    z_true: np.ndarray,
) -> float:
    """Crossing point of the purity and completeness of a classifier.

    Parameters
    ----------
    confidence : (n,) array
        Called a quasar at thresholds below it.
    z, is_qso, is_galaxy, is_bad, z_true : (n,) arrays
        As in `purity_completeness`.

    Returns
    -------
    float
        NaN where the curves do not cross, or there is no quasar.
    """
    called = np.asarray(confidence)[:, None] > THRESHOLDS
    right = called & has_good_redshift(z, z_true)[:, None]
    trusted = ~np.asarray(is_bad, bool)
    among = (np.asarray(is_qso, bool) | np.asarray(is_galaxy, bool)) & trusted
    purity = share(right[among].sum(axis=0), called[trusted].sum(axis=0))
    completeness = share(right[np.asarray(is_qso, bool)].sum(axis=0), np.sum(is_qso))
    return float(crossing(purity, completeness)[0])


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole as float64; NaN where the whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(whole) > 0, np.divide(part, whole, dtype=np.float64), np.nan)


def crossing(purity: np.ndarray, completeness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where purity and completeness are equal, as the confidence threshold rises.

    Both are interpolated linearly between thresholds. Completeness never rises with the threshold, so the first of
    several crossings has the highest value and is returned. There is none if one curve is above the other at all
    thresholds, if the only one lies beyond the last threshold at which anything is called a quasar, or where both have
    fallen to 0.

    Parameters
    ----------
    purity, completeness : (..., 101) arrays
        At `THRESHOLDS`; NaN where not defined.

    Returns
    -------
    value, threshold : (...) float64 arrays
        NaN where the curves do not cross.
    """
    purity, completeness = np.asarray(purity, np.float64), np.asarray(completeness, np.float64)
    above = np.where((purity == 0) & (completeness == 0), np.nan, purity - completeness)
    left, right = above[..., :-1], above[..., 1:]
    crossed = np.sign(left) * np.sign(right) <= 0
    first = crossed.argmax(axis=-1)[..., None]
    before, after, start, stop = (
        np.take_along_axis(each, first, axis=-1)[..., 0]
        for each in (left, right, completeness[..., :-1], completeness[..., 1:])
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        place = np.where(before == 0, 0.0, before / (before - after))
    place = np.where(crossed.any(axis=-1), place, np.nan)
    step = THRESHOLDS[1] - THRESHOLDS[0]
    return start + place * (stop - start), (first[..., 0] + place) * step
