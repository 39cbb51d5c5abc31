"""Fibres that hold no object: what tells them from spectra whose class is not known.

No class is true of such a spectrum, so its label is BAD, which counts in neither purity nor completeness. What is known
of it is said by its id, which is below 0: there is no object to identify. DESI numbers fibres that are on no target so.
"""

from __future__ import annotations

import numpy as np

from quasarcurves.spectra.table import BAD


def empty_id(number: np.ndarray) -> np.ndarray:
    """Return the ids (n,) of empty fibres that are numbered from 0."""
    return -1 - np.asarray(number, np.int64)


def is_empty(label: np.ndarray, target_id: np.ndarray) -> np.ndarray:
    """Return (n,) bool: whether spectra with these labels and ids (n,) hold no object."""
    return (label == BAD) & (target_id < 0)
