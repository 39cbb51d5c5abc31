"""The test set: the truth of its spectra, the predictions of a model, and the samples that are scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from quasarcurves.analysis.metrics.scorer import predicted_runs
from quasarcurves.spectra.table import BAD, GALAXY, QSO_HIGH, QSO_LOW, QSO_SPLIT_Z, load_column

N_DETECT = (1, 2)
"""Numbers of lines that make a quasar."""

SAMPLES = ("all", "z<2.1", "z>=2.1", "snr_low", "snr_mid", "snr_high", "bal")


@dataclass(frozen=True)
class Tested:
    """The truth of n test spectra.

    Parameters
    ----------
    z : (n,) float64 array
    label : (n,) uint8 array
        As in `spectra.table.Spectra`.
    bal : (n,) int8 array
        1, -1 or 0 (unknown).
    snr : (n,) float32 array
    target_id : (n,) int64 array
        Repeat observations of an object share it.
    """

    z: np.ndarray
    label: np.ndarray
    bal: np.ndarray
    snr: np.ndarray
    target_id: np.ndarray

    @classmethod
    def load(cls, spectra: Path, rows: np.ndarray) -> Tested:
        """Read some rows of a file of prepared spectra."""
        return cls(*(load_column(spectra, name, rows) for name in ("z", "label", "bal", "snr", "target_id")))

    @property
    def is_qso(self) -> np.ndarray:
        """(n,) bool: trusted quasars."""
        return (self.label == QSO_LOW) | (self.label == QSO_HIGH)

    @property
    def is_galaxy(self) -> np.ndarray:
        """(n,) bool: trusted galaxies."""
        return self.label == GALAXY

    @property
    def is_bad(self) -> np.ndarray:
        """(n,) bool: class or redshift is not trusted."""
        return self.label == BAD


@dataclass(frozen=True)
class Predicted:
    """The predictions of a model for n test spectra.

    Parameters
    ----------
    confidence : (n, lines) array
        Of each emission line.
    z_best : (n,) array
        Redshift of the most confident line.
    bal_confidence : (n, bal_lines) array
    """

    confidence: np.ndarray
    z_best: np.ndarray
    bal_confidence: np.ndarray

    @classmethod
    def load(cls, group: h5py.Group) -> Predicted:
        """Read the group of a model from a file of predictions."""
        return cls(*(group[name][:].astype(np.float64) for name in ("confidence", "z_best", "bal_confidence")))

    def score(self, n_detect: int) -> np.ndarray:
        """(n,) confidence of the `n_detect`-th most confident line: it is called a quasar at lower thresholds.

        This is `objective.Decoded.is_quasar` for all thresholds at once. 0, at which nothing is called, if there are
        fewer lines.
        """
        n, lines = self.confidence.shape
        return np.sort(self.confidence, axis=1)[:, -n_detect] if n_detect <= lines else np.zeros(n)

    @property
    def bal_score(self) -> np.ndarray:
        """(n,) confidence of the most confident absorption line; 0 if there is none."""
        return self.bal_confidence.max(axis=1, initial=0.0)


def tested_runs(predictions: Iterable[Path], spectra: Path) -> Iterator[tuple[dict[str, Any], h5py.File, Tested]]:
    """Yield what `scorer.predicted_runs` does, with the truth of spectra.

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    spectra : Path
        The prepared spectra.
    """
    yield from predicted_runs(predictions, lambda rows: Tested.load(spectra, rows))


@dataclass(frozen=True)
class Sample:
    """Which test spectra count.

    Parameters
    ----------
    for_purity, for_completeness : (n,) bool arrays
    """

    for_purity: np.ndarray
    for_completeness: np.ndarray


def samples(tested: Tested, predicted: Predicted) -> dict[str, Sample]:
    """Return the samples of the test set that are scored separately, in the order of `SAMPLES`.

    For purity, the split at z = 2.1 is by the redshift found, as a star that is called a quasar has no other. For
    completeness it is by the true redshift. Terciles of the signal-to-noise ratio are those of the test
    set. `bal` holds the broad absorption line quasars alone: its purity is the share with a right redshift among those
    called quasars, and ignores contaminants.
    """
    limits = np.quantile(tested.snr, [1 / 3, 2 / 3]) if len(tested.snr) else [0, 0]
    tercile = np.searchsorted(limits, tested.snr)
    low, true_low = predicted.z_best < QSO_SPLIT_Z, tested.z < QSO_SPLIT_Z
    whole = np.ones(len(tested.z), bool)
    both = [*(tercile == i for i in range(3)), tested.is_qso & (tested.bal == 1)]
    parts = [
        Sample(whole, whole),
        Sample(low, true_low),
        Sample(~low, ~true_low),
        *(Sample(mask, mask) for mask in both),
    ]
    return dict(zip(SAMPLES, parts, strict=True))
