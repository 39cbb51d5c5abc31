"""Intervals over the test set: objects are drawn with replacement, repeat observations of one together.

Where a model is right on all or none of a few objects, every draw is the same and the interval has no width. So two
objects are added to the test set for shares: one that a model is right on, and one that it is wrong on. Agresti & Coull
(1998, Am. Stat. 52, 119) add two successes and two failures to a share. The shares here are near 1, where that moves
the interval too far down: with 200 spectra it held a true purity of 99.3 % in 77 % of cases. With one of each it
held it in 96 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from quasarcurves.analysis.stats.resampling import ratio

DRAWS = 499
ADDED = 1
"""Objects of each kind that are added to the test set."""


@dataclass(frozen=True)
class Draws:
    """How often each test example was drawn.

    Parameters
    ----------
    weights : (draws, n) float32 array
    right, wrong : (draws,) arrays
        How often the added objects were drawn: the one that a model is right on, and the one that it is wrong on.
    """

    weights: np.ndarray
    right: np.ndarray
    wrong: np.ndarray

    @cached_property
    def by_example(self) -> np.ndarray:
        """(n, draws) float32: the weights with those of an example side by side."""
        return np.ascontiguousarray(self.weights.T)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(draws, m) float64 weights of some rows."""
        return self.weights[:, rows].astype(np.float64)


def once(n: int) -> Draws:
    """Return the test set itself: each of n examples once, nothing added."""
    return Draws(np.ones((1, n), np.float32), np.zeros(1), np.zeros(1))


def draw(target_id: np.ndarray, rng: np.random.Generator, draws: int = DRAWS) -> Draws:
    """Draw objects with replacement, as many as there are.

    Parameters
    ----------
    target_id : (n,) array
        The object of each example.
    rng : Generator
    draws : int
    """
    _, object_of_row = np.unique(target_id, return_inverse=True)
    objects = int(object_of_row.max(initial=-1)) + 1
    size = objects + 2 * ADDED
    weights, added = np.empty((draws, len(object_of_row)), np.float32), np.empty((draws, 2))
    for i in range(draws):
        times = np.bincount(rng.integers(size, size=size), minlength=size)
        weights[i] = times[object_of_row]
        added[i] = times[objects:].reshape(2, ADDED).sum(axis=1)
    return Draws(weights, *added.T)


def shares(part: np.ndarray, whole: np.ndarray, draws: Draws) -> np.ndarray:
    """Share of some examples among others, in every draw.

    Parameters
    ----------
    part, whole : (n,) or (n, k) bool arrays
        For each of k thresholds, or the same for all.
    draws : Draws

    Returns
    -------
    (draws,) or (draws, k) float64 array
        NaN where the whole is empty.
    """
    counted, among = (_count(mask, draws) for mask in (part, whole))
    right, wrong = (each[:, None] if counted.ndim == 2 else each for each in (draws.right, draws.wrong))
    among = among[:, None] if among.ndim < counted.ndim else among
    return ratio(counted + right, among + right + wrong)


def _count(mask: np.ndarray, draws: Draws) -> np.ndarray:
    # sums of whole numbers: float32 holds them up to 2^24
    if mask.ndim == 1:
        return draws.by_example[mask].sum(axis=0)
    # from one threshold to the next few examples come or go, so only these are added up
    example, threshold = np.nonzero(np.diff(mask, axis=1, prepend=False))
    signs = np.where(mask[example, threshold], np.float32(1), np.float32(-1))
    changes = scipy.sparse.csr_array((signs, (threshold, example)), shape=mask.shape[::-1])
    return np.cumsum(changes @ draws.by_example, axis=0).T
