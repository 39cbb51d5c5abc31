"""A small training on simulated spectra of which a known share has a wrong label."""

from pathlib import Path

import numpy as np

from quasarcurves.spectra import sources, subsets
from quasarcurves.spectra.table import GALAXY, QSO_HIGH, QSO_LOW, QSO_SPLIT_Z, STAR, Spectra

WRONG_SHARE = 0.01


def planted(n: int, train: int, seed: int) -> tuple[Spectra, subsets.Subset, np.ndarray]:
    """Make spectra of which some of the training set have a wrong label.

    Half of the wrong ones are quasars said to be stars or galaxies, half are stars or galaxies said to be quasars at a
    redshift drawn from those of the quasars.

    Returns
    -------
    spectra : Spectra
    subset : Subset
    wrong : (k,) int array
        Rows whose label is wrong.
    """
    spectra = sources.read({"source": "simulated", "n_spectra": n, "seed": seed})
    subset = subsets.draw(spectra.target_id, train / n, 0, seed=seed, test_fraction=0.1, validation_fraction=0.05)
    rng = np.random.default_rng([seed, 99])
    number = round(WRONG_SHARE * len(subset.train))
    others = np.flatnonzero(np.isin(spectra.label, (STAR, GALAXY)))
    quasars = np.flatnonzero(spectra.is_quasar)
    hidden = rng.choice(np.intersect1d(subset.train, quasars), number // 2, replace=False)
    invented = rng.choice(np.intersect1d(subset.train, others), number - number // 2, replace=False)
    redshifts = rng.choice(spectra.z[quasars], len(invented))
    spectra.label[hidden] = rng.choice([STAR, GALAXY], len(hidden))
    spectra.z[invented] = redshifts
    spectra.label[invented] = np.where(redshifts < QSO_SPLIT_Z, QSO_LOW, QSO_HIGH)
    spectra.bal[hidden], spectra.bal[invented] = -1, -1
    return spectra, subset, np.sort(np.concatenate([hidden, invented]))


def save(folder: Path, n: int, train: int, seed: int) -> np.ndarray:
    """Write `spectra.h5` and `subset.h5` of `planted`; return the wrong rows."""
    spectra, subset, wrong = planted(n, train, seed)
    spectra.save(folder / "spectra.h5")
    subset.save(folder / "subset.h5")
    return wrong
