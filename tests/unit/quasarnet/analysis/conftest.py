"""Test sets whose truth is known: classes, redshifts and confidences drawn from a stated population."""

from types import SimpleNamespace

import numpy as np
import pytest

from quasarcurves.quasarnet.analysis.test_set import Predicted, Tested

SHARES = (0.2, 0.1, 0.65, 0.05)
"""Of stars, galaxies, quasars and spectra whose class is not trusted."""


def make_test_set(rng, n=200, right=0.95, sigma=600.0, repeats=0, separation=2.0, bal_right=0.8):
    """Draw a test set and what a model says of it.

    The logit of the confidence is Gaussian about `separation` for quasars and about `-separation` for others; a quasar
    has a redshift that is right with the probability `right`, and then off by a Gaussian of `sigma` km/s. The first
    `repeats` objects are each observed a second time, with the same outcome.
    """
    kind = rng.choice(4, n, p=SHARES)
    z = np.where(kind == 2, rng.uniform(0.5, 3.5, n), np.where(kind == 1, rng.uniform(0.1, 0.8, n), 0.0))
    label = np.select([kind == 0, kind == 1, kind == 3], [0, 1, 4], np.where(z < 2.1, 2, 3)).astype(np.uint8)
    is_qso = kind == 2
    bal = np.where(is_qso, rng.choice([1, -1, 0], n, p=[0.2, 0.7, 0.1]), 0).astype(np.int8)
    logit = rng.normal(np.where(is_qso, separation, -separation), 1.5)
    dv = np.where(rng.random(n) < right, rng.normal(0, sigma, n), rng.choice([-1, 1], n) * rng.uniform(2e4, 6e4, n))
    z_best = np.where(is_qso, z + dv / 3e5 * (1 + z), rng.uniform(0.5, 3.5, n))
    confidence = 1 / (1 + np.exp(-np.stack([logit, logit - 1 + rng.normal(0, 0.5, n)], axis=1)))
    bal_confidence = np.where((bal == 1) == (rng.random(n) < bal_right), 0.9, 0.1)[:, None]
    rows = np.concatenate([np.arange(n), np.arange(repeats)])
    tested = Tested(z, label, bal, rng.lognormal(1, 0.5, n).astype(np.float32), np.arange(n) + 100)
    predicted = Predicted(confidence, z_best, bal_confidence)
    return SimpleNamespace(
        tested=Tested(*(getattr(tested, name)[rows] for name in ("z", "label", "bal", "snr", "target_id"))),
        predicted=Predicted(*(each[rows] for each in (confidence, predicted.z_best, bal_confidence))),
    )


@pytest.fixture(scope="session")
def make():
    return make_test_set
