"""The test and validation sets, and the training set of each fraction and replicate.

Sets are drawn by object, so that repeat observations of one object are never in two sets. They are kept as row numbers,
not as copies of spectra.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from quasarcurves.files import whole_file

_FIXED, _POOL = 1, 2
"""Tags of the random streams of the fixed draw and of the training sets, which must differ."""


@dataclass(frozen=True)
class Subset:
    """Rows of the prepared spectra, each sorted.

    Parameters
    ----------
    train, validation, test : (n,) uint32 arrays
        No two of them share an object.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def save(self, path: str | Path) -> None:
        """Write to an HDF5 file."""
        with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
            for name in ("train", "validation", "test"):
                file[name] = getattr(self, name)

    @classmethod
    def load(cls, path: str | Path) -> Subset:
        """Read from an HDF5 file."""
        with h5py.File(path, "r") as file:
            return cls(*(file[name][:] for name in ("train", "validation", "test")))


def load_target_ids(examples: str | Path) -> np.ndarray:
    """Read the object, or group, of each prepared example; (n,)."""
    with h5py.File(examples, "r") as file:
        return file["target_id"][:]


def available_fraction(test_fraction: float, validation_fraction: float) -> float:
    """Return the share of all spectra that training sets can be drawn from."""
    # rounded: 1 - 0.15 - 0.05 is a little below 0.8
    return round(1 - test_fraction - validation_fraction, 12)


def draw(
    target_id: np.ndarray,
    fraction: float,
    replicate: int = 0,
    *,
    seed: int = 1,
    test_fraction: float = 0.15,
    validation_fraction: float = 0.05,
    scheme: str = "nested",
) -> Subset:
    """Draw the training set of a fraction and replicate, with the test and validation sets that all share.

    A set takes whole objects in random order, up to the number of spectra asked for.

    Parameters
    ----------
    target_id : (n,) array
        Object of each spectrum.
    fraction : float
        Size of the training set as a share of all n spectra.
    replicate : int
        Counted from 0.
    seed : int
        The study's seed. The test and validation sets depend on it alone.
    test_fraction, validation_fraction : float
        Shares of all n spectra.
    scheme : {"nested", "independent"}
        nested: smaller fractions of a replicate are part of larger ones; independent: replicates share no object.

    Returns
    -------
    Subset

    Raises
    ------
    ValueError
        If the test and validation sets leave too few spectra, or a set comes out empty.
    """
    objects, object_of_row, sizes = np.unique(target_id, return_inverse=True, return_counts=True)
    n, sizes = len(object_of_row), sizes.astype(np.uint32)
    shuffled = np.random.default_rng([seed, _FIXED]).permutation(len(objects))
    test, rest = _take(shuffled, sizes, round(test_fraction * n))
    validation, pool = _take(rest, sizes, round(validation_fraction * n))
    train = _draw_train(pool, sizes, round(fraction * n), replicate, seed, scheme)
    if not len(train) or not len(test):
        raise ValueError(
            f"{n} spectra are too few for a training fraction of {fraction} and a test set of {test_fraction}"
        )
    return Subset(*_rows((train, validation, test), object_of_row, len(objects)))


def _rows(sets: Sequence[np.ndarray], object_of_row: np.ndarray, n_objects: int) -> Iterator[np.ndarray]:
    """Yield the rows of each set of objects."""
    # one byte per object: the array fits a processor's cache, and is read in random order
    set_of_object = np.zeros(n_objects, np.uint8)
    for number, objects in enumerate(sets, start=1):
        set_of_object[objects] = number
    set_of_row = set_of_object[object_of_row]
    for number in range(1, len(sets) + 1):
        yield np.flatnonzero(set_of_row == number).astype(np.uint32)


def _take(objects: np.ndarray, sizes: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Split objects into the first ones, which have at most n spectra together, and the rest."""
    count = np.searchsorted(np.cumsum(sizes[objects]), n, side="right")
    return objects[:count], objects[count:]


def _draw_train(pool: np.ndarray, sizes: np.ndarray, n: int, replicate: int, seed: int, scheme: str) -> np.ndarray:
    available = int(sizes[pool].sum())
    replicates = replicate + 1 if scheme == "independent" else 1
    needed = n * replicates
    # test, validation and training sets are rounded one by one: each may be larger by half a spectrum
    if needed > available + replicates / 2 + 1:
        raise ValueError(f"{needed} training spectra asked for, {available} are left by the test and validation sets")
    if scheme == "nested":
        order = np.random.default_rng([seed, _POOL, replicate]).permutation(pool)
        return _take(order, sizes, n)[0]
    order = np.random.default_rng([seed, _POOL]).permutation(pool)
    for _ in range(replicate):
        order = _take(order, sizes, n)[1]
    return _take(order, sizes, n)[0]
