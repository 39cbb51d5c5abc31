"""What is known of objects: labels from inspection or catalogue classes, and finding an object's row.

Classes and the BAL rule follow Busca & Balland (2018), arXiv:1808.09955, and the code published with it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quasarcurves.spectra.table import BAD, GALAXY, QSO_HIGH, QSO_LOW, QSO_SPLIT_Z, STAR, UNKNOWN

CONFIDENT = 3
"""Z_CONF_PERSON if the inspector is sure of class and redshift."""

logger = logging.getLogger(__name__)

_QSO = QSO_LOW
_LABEL_OF_CLASS_PERSON = {1: STAR, 3: _QSO, 4: GALAXY, 30: _QSO}
_LABEL_OF_CLASS_NAME = {"STAR": STAR, "GALAXY": GALAXY, "QSO": _QSO}


def label_from_inspection(class_person: np.ndarray, z_conf_person: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Label objects by visual inspection.

    Parameters
    ----------
    class_person : (n,) int array
        1 star, 3 quasar, 4 galaxy, 30 BAL quasar. Any other value gives BAD.
    z_conf_person : (n,) int array
        Any value but 3 gives BAD.
    z : (n,) array
        Divides the quasars at 2.1; one without a redshift is BAD.

    Returns
    -------
    (n,) uint8 array
        As in `quasarcurves.spectra.table`.
    """
    return _label(class_person, _LABEL_OF_CLASS_PERSON, z_conf_person == CONFIDENT, z)


def label_from_class(name: np.ndarray, z: np.ndarray, where: str, trusted: np.ndarray | bool = True) -> np.ndarray:
    """Label objects by the class that a pipeline or catalogue gives them.

    Parameters
    ----------
    name : (n,) str array
        STAR, GALAXY or QSO, in any case, also as Python writes bytes: b'QSO'. Any other name gives BAD; how many have
        which is logged.
    z : (n,) array
        Divides the quasars at 2.1; one without a redshift is BAD.
    where : str
        File and column of the names, for messages.
    trusted : (n,) bool array or bool
        Where False the label is BAD.

    Returns
    -------
    (n,) uint8 array

    Raises
    ------
    ValueError
        If no name is one of the three: the column is another one, or written in another way.
    """
    clean = np.char.upper(np.char.strip(name))
    as_bytes = np.char.startswith(clean, "B'") & np.char.endswith(clean, "'")
    clean = np.where(as_bytes, np.char.strip(np.char.strip(np.char.lstrip(clean, "B"), "'")), clean)
    unknown = Counter(clean[~np.isin(clean, list(_LABEL_OF_CLASS_NAME))].tolist())
    if unknown:
        found = ", ".join(f"{each!r} ({count})" for each, count in unknown.most_common(5))
        total = unknown.total()
        if total == len(clean):
            raise ValueError(f"{where}: no class is known, found {found}, expected {', '.join(_LABEL_OF_CLASS_NAME)}")
        logger.warning("%s: %d objects of other classes are BAD: %s", where, total, found)
    return _label(clean, _LABEL_OF_CLASS_NAME, trusted, z)


def _label(value: np.ndarray, labels: Mapping, trusted: np.ndarray | bool, z: np.ndarray) -> np.ndarray:
    label = np.full(len(value), BAD, np.uint8)
    for each, meaning in labels.items():
        label[value == each] = meaning
    is_quasar = label == _QSO
    label[is_quasar & (z >= QSO_SPLIT_Z)] = QSO_HIGH
    label[is_quasar & ~np.isfinite(z)] = BAD
    return np.where(trusted, label, BAD).astype(np.uint8)


def was_inspected(class_person: np.ndarray, z_conf_person: np.ndarray) -> np.ndarray:
    """Return (n,) bool: whether an inspector gave the object a class or a confidence."""
    return (class_person > 0) | (z_conf_person > 0)


def bal_from_inspection(columns: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """Classify quasars as BAL or not by the inspector's flag and the balnicity index of CIV.

    Parameters
    ----------
    columns : mapping
        `BAL_FLAG_VI` (0 or 1) and `BI_CIV` (km/s), (n,) arrays. Without either nothing is known.
    n : int

    Returns
    -------
    (n,) int8 array
        1 if flagged and BI_CIV > 0; -1 if not flagged and BI_CIV = 0; 0 where they disagree or are unknown.
    """
    if "BAL_FLAG_VI" not in columns or "BI_CIV" not in columns:
        return np.zeros(n, np.int8)
    flag, index = columns["BAL_FLAG_VI"], columns["BI_CIV"]
    is_bal, is_none = (flag > 0) & (index > 0), (flag == 0) & (index == 0)
    return is_bal.astype(np.int8) - is_none.astype(np.int8)


@dataclass(frozen=True)
class Known:
    """What is known of the objects of n spectra.

    Parameters
    ----------
    target_id : (n,) int64 array
    z : (n,) float64 array
        NaN where unknown.
    label : (n,) uint8 array
        UNKNOWN where unknown.
    bal : (n,) int8 array
    found : (n,) bool array
        Whether the object is in the truth.
    inspected : (n,) bool array
        Whether its truth comes from an inspection.
    """

    target_id: np.ndarray
    z: np.ndarray
    label: np.ndarray
    bal: np.ndarray
    found: np.ndarray
    inspected: np.ndarray

    @classmethod
    def nothing(cls, target_id: np.ndarray) -> Known:
        """Return what is known of objects without a truth: nothing, and none counts as missing from it."""
        n = len(target_id)
        z, label, bal = np.full(n, np.nan), np.full(n, UNKNOWN, np.uint8), np.zeros(n, np.int8)
        return cls(target_id, z, label, bal, np.ones(n, bool), np.ones(n, bool))


class Truth:
    """A table of objects sorted by key, one row each.

    Parameters
    ----------
    key : (m,) int64 array
        Identifies the object; in any order. Rows with key -1 are left out.
    z, label, bal : (m,) array
    target_id : (m,) int64 array, optional
        The key itself if not given.
    inspected : (m,) bool array, optional
        All True if not given.
    name : str
        Where it was read from, for messages.

    Raises
    ------
    ValueError
        If a key has two rows that differ; rows that agree are taken as one.
    """

    def __init__(
        self,
        key: np.ndarray,
        z: np.ndarray,
        label: np.ndarray,
        bal: np.ndarray,
        *,
        target_id: np.ndarray | None = None,
        inspected: np.ndarray | None = None,
        name: str = "truth",
    ) -> None:
        target_id = key if target_id is None else target_id
        inspected = np.ones(len(key), bool) if inspected is None else inspected
        columns = {"target_id": target_id, "z": z, "label": label, "bal": bal, "inspected": inspected}
        rows = np.flatnonzero(key != -1)
        rows = rows[np.argsort(key[rows], kind="stable")]
        key = key[rows]
        again = np.zeros(len(key), bool)
        again[1:] = key[1:] == key[:-1]
        for column in columns.values():
            _refuse_conflicts(key, column[rows], again, name)
        self.key = key[~again]
        self.columns = {each: column[rows][~again] for each, column in columns.items()}

    def __len__(self) -> int:
        return len(self.key)

    def look_up(self, key: np.ndarray) -> Known:
        """Return what is known of the objects with these keys, by binary search.

        Parameters
        ----------
        key : (n,) int64 array

        Returns
        -------
        Known
            The target id of an object that is not found is its key.
        """
        nothing = Known.nothing(key)
        if not len(self):
            return Known(key, nothing.z, nothing.label, nothing.bal, np.zeros(len(key), bool), nothing.inspected)
        row = np.minimum(np.searchsorted(self.key, key), len(self) - 1)
        found = self.key[row] == key
        columns = {name: np.where(found, column[row], getattr(nothing, name)) for name, column in self.columns.items()}
        return Known(found=found, **columns)


def _refuse_conflicts(key: np.ndarray, column: np.ndarray, again: np.ndarray, name: str) -> None:
    rows = np.flatnonzero(again)
    before, after = column[rows - 1], column[rows]
    differs = (before != after) & ~(np.isnan(before) & np.isnan(after))
    if differs.any():
        raise ValueError(
            f"{name}: {key[rows[differs]][0]} has several rows that disagree "
            f"({differs.sum()} such rows in all), expected one row per object"
        )
