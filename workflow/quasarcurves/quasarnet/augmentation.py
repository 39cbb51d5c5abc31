"""Training spectra in several versions: with more noise, a gap, at another redshift.

A training set is small beside the ways in which a spectrum can be taken. Versions are made once, before training; each
epoch draws one of each spectrum (`steps.build`). So steps, record and resumption stay what they are.
"""

from __future__ import annotations

import numpy as np

from quasarcurves.quasarnet.settings import Augment


def varied(
    flux: np.ndarray, z: np.ndarray, augment: Augment, step: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return another version of each spectrum.

    A spectrum is shifted by a whole number of bins and its redshift with it, then gets noise of a level of its own,
    then a gap. Bins that the shift leaves without data, and the gap, are zero, as bins without data are in prepared
    spectra; those that were zero stay so. With noise of standard deviation s, flux is divided by sqrt(1 + s^2), so that
    its square is 1 in the mean as before.

    Parameters
    ----------
    flux : (n, bins) float32 array
        Normalised.
    z : (n,) array
        Redshifts.
    augment : Augment
    step : float
        Width of a bin in log10(wavelength).
    rng : Generator

    Returns
    -------
    flux, z : arrays as those given
    """
    n, bins = flux.shape
    shift = rng.integers(-augment.shift, augment.shift, size=(n, 1), endpoint=True)
    source = np.arange(bins) - shift
    moved = np.take_along_axis(flux, np.clip(source, 0, bins - 1), axis=1)
    moved[(source < 0) | (source >= bins)] = 0
    level = rng.uniform(0, augment.noise, size=(n, 1)).astype(np.float32)
    noise = level * rng.standard_normal(flux.shape, dtype=np.float32)
    changed = np.where(moved == 0, np.float32(0), (moved + noise) / np.sqrt(1 + level**2))
    width = rng.uniform(0, augment.mask, size=(n, 1)) * bins
    first = rng.uniform(0, 1, size=(n, 1)) * (bins - width)
    place = np.arange(bins) + 0.5
    changed[(place >= first) & (place < first + width)] = 0
    return changed, (1 + z) * 10 ** (step * shift[:, 0]) - 1
