"""Regression of counts: how a rate of events depends on covariates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PoissonFit:
    """A Poisson regression with logarithmic link.

    Parameters
    ----------
    coefficients : (k,) array
    covariance : (k, k) array
    freedom : int
        Residual degrees of freedom, at least 1.
    dispersion : float
        Pearson's chi squared per degree of freedom: 1 for Poisson counts, more if runs differ by more.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    freedom: int
    dispersion: float


def poisson_regression(counts: np.ndarray, design: np.ndarray, offset: np.ndarray) -> PoissonFit:
    """Fit counts with mean exp(design @ coefficients + offset) by iteratively reweighted least squares.

    McCullagh & Nelder 1989, Generalized Linear Models, section 2.5. `statsmodels.GLM` has the same estimates where they
    are finite. It raises where all counts are 0, and stops at slopes of its own where all counts on one side are 0;
    both are usual here, as optimizers without spikes and sizes without spikes are.

    Parameters
    ----------
    counts : (n,) array
    design : (n, k) array
    offset : (n,) array
        Log of the exposure.
    """
    linear = np.log(counts + 0.5)  # (n,)
    for _ in range(100):
        mean = np.exp(linear)
        working = linear - offset + (counts - mean) / mean
        root = np.sqrt(mean)
        coefficients = np.linalg.lstsq(root[:, None] * design, root * working, rcond=None)[0]
        # counts that are all 0 on one side drive a slope to infinity: the means stop where no change is left
        updated = np.clip(design @ coefficients + offset, -30, 30)
        done = np.allclose(updated, linear, atol=1e-10)
        linear = updated
        if done:
            break
    mean = np.exp(linear)
    covariance = np.linalg.pinv(design.T @ (mean[:, None] * design))
    freedom = max(len(counts) - design.shape[1], 1)
    dispersion = float(((counts - mean) ** 2 / mean).sum() / freedom)
    return PoissonFit(coefficients, covariance, freedom, dispersion)
