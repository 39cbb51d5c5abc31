"""What a set of spectra holds: classes, redshifts and S/N, what is there twice, and what contradicts itself.

Spectra go through it in chunks; a few numbers of each are kept, and the flux of a few examples.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from quasarcurves.spectra.table import BAD, GALAXY, QSO_HIGH, QSO_LOW, STAR, Spectra, is_quasar, load_column

CLASSES = {
    "star": STAR,
    "galaxy": GALAXY,
    "quasar z < 2.1": QSO_LOW,
    "quasar z >= 2.1": QSO_HIGH,
    "not trusted": BAD,
}
"""Names of the labels that a spectrum with truth may have."""

EXAMPLES = 24

CONFLICT_KM_S = 6000.0
"""Redshifts of one object that differ by more contradict each other: a predicted one would count as wrong."""

_LIGHT_KM_S = 3e5
"""As in the definition of dv (Farr, Font-Ribera & Pontzen 2020, arXiv:2007.10348)."""

_CHUNK_ROWS = 2048
_SEED = 1
_COLUMNS = ("z", "label", "bal", "target_id", "snr")


@dataclass(frozen=True)
class Census:
    """What is known of a set of spectra.

    Parameters
    ----------
    columns : mapping of str to (n,) array
        `z`, `label`, `bal`, `target_id` and `snr`, as `Spectra` has them, and `content`, a hash of each flux.
    rejected : mapping of str to int
        Input spectra left out, by reason.
    examples : Spectra
        At most `EXAMPLES`, as many of each class as there are to be had, drawn with a fixed seed.
    """

    columns: Mapping[str, np.ndarray]
    rejected: Mapping[str, int]
    examples: Spectra

    def __len__(self) -> int:
        return len(self.columns["label"])

    @property
    def is_quasar(self) -> np.ndarray:
        """(n,) bool: trusted quasars."""
        return is_quasar(self.columns["label"])

    @property
    def classes(self) -> dict[str, int]:
        """Spectra of each class that there is."""
        counts = {name: int(np.sum(self.columns["label"] == label)) for name, label in CLASSES.items()}
        return {name: count for name, count in counts.items() if count}

    @property
    def repeated_observations(self) -> int:
        """Spectra of objects that have been counted already."""
        return len(self) - len(np.unique(self.columns["target_id"]))

    @property
    def copies(self) -> int:
        """Spectra whose flux another target id has too, to the last bit: they may be in two sets at once."""
        pairs = pd.DataFrame({name: self.columns[name] for name in ("content", "target_id")})
        return int(pairs.groupby("content")["target_id"].nunique().sub(1).sum())

    def conflicts(self) -> dict[str, np.ndarray]:
        """Return the target ids that have spectra of different classes, or of one class and different redshifts."""
        kind = np.select([self.is_quasar, self.columns["label"] == GALAXY], ["quasar", "galaxy"], "star")
        table = pd.DataFrame({"target_id": self.columns["target_id"], "kind": kind, "z": self.columns["z"]})
        table = table[np.isin(self.columns["label"], (STAR, GALAXY, QSO_LOW, QSO_HIGH))]
        table = table[table["target_id"].duplicated(keep=False)]
        kinds = table.groupby("target_id")["kind"].nunique()
        z = table.groupby(["target_id", "kind"])["z"].agg(["min", "max"])
        apart = _LIGHT_KM_S * (z["max"] - z["min"]) / (1 + z["min"]) > CONFLICT_KM_S
        redshifts = z.index.get_level_values("target_id")[apart]
        return {"class": kinds.index[kinds > 1].to_numpy(), "redshift": np.unique(redshifts)}


def take(chunks: Iterable[Spectra]) -> Census:
    """Count spectra that come in chunks, holding one chunk in memory at a time.

    Raises
    ------
    ValueError
        If there is no spectrum, with the number rejected for each reason.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*_COLUMNS, "content")}
    rejected: Counter[str] = Counter()
    kept: list[tuple[np.ndarray, Spectra]] = []
    rng = np.random.default_rng(_SEED)
    for chunk in chunks:
        for name in _COLUMNS:
            parts[name].append(getattr(chunk, name))
        parts["content"].append(_hashes(chunk.flux))
        rejected.update(chunk.rejected)
        kept = [_lowest_of_each_class([*kept, (rng.random(len(chunk)), chunk)])]
    columns = {name: np.concatenate(values) if values else np.empty(0) for name, values in parts.items()}
    if not len(columns["label"]):
        reasons = ", ".join(f"{reason} {count}" for reason, count in rejected.items()) or "none"
        raise ValueError(f"data: no usable spectra (rejected: {reasons})")
    return Census(columns, dict(rejected), _examples(*kept[0]))


def of_file(path: Path) -> Iterator[Spectra]:
    """Yield the spectra of a prepared file in chunks; the first has the counts of those rejected."""
    n = len(load_column(path, "label"))
    for start in range(0, n, _CHUNK_ROWS):
        chunk = Spectra.load(path, np.arange(start, min(start + _CHUNK_ROWS, n)))
        if start:
            chunk.rejected = {}
        yield chunk


def _hashes(flux: np.ndarray) -> np.ndarray:
    found = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in np.ascontiguousarray(flux))
    return np.frombuffer(found, np.uint64)


def _lowest_of_each_class(parts: list[tuple[np.ndarray, Spectra]]) -> tuple[np.ndarray, Spectra]:
    """Return the spectra with the lowest numbers drawn, at most `EXAMPLES` of each class, by number."""
    drawn = np.concatenate([numbers for numbers, _ in parts])
    spectra = Spectra.concatenate(chunk for _, chunk in parts)
    order = np.argsort(drawn)
    labels = spectra.label[order]
    rows = np.concatenate([order[labels == label][:EXAMPLES] for label in np.unique(labels)] or [order])
    return drawn[rows], spectra.take(rows)


def _examples(drawn: np.ndarray, spectra: Spectra) -> Spectra:
    """Return the first of each class, then the second, and so on, sorted by class and redshift."""
    place = pd.Series(drawn).groupby(spectra.label).rank(method="first").to_numpy()
    rows = np.lexsort((spectra.label, place))[:EXAMPLES]
    return spectra.take(rows[np.lexsort((spectra.z[rows], spectra.label[rows]))])
