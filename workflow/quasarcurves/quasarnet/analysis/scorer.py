"""QuasarNET's scores on the test set, for what compares models: `metrics.scorer` says what is asked of a scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from quasarcurves.analysis.metrics.bootstrap import Draws
from quasarcurves.analysis.metrics.description import LOSS
from quasarcurves.analysis.metrics.scorer import Estimate
from quasarcurves.analysis.stats.resampling import ratio
from quasarcurves.quasarnet.analysis.description import DESCRIPTION
from quasarcurves.quasarnet.analysis.scores import FEWEST, WORKING, WORKING_THRESHOLD, Marks
from quasarcurves.quasarnet.analysis.test_set import N_DETECT, SAMPLES, Predicted, Tested, samples
from quasarcurves.quasarnet.metrics import THRESHOLDS, has_good_redshift, velocity


class QuasarNetScorer:
    """Scores by one line with a confidence above 0.5, of the whole test set."""

    description = DESCRIPTION
    chosen: Mapping[str, tuple[str, ...]] = {
        "stopping": (LOSS, "crossing", "completeness", "purity", "sigma_dv"),
        "spike_cost": (LOSS, "completeness", "purity", "crossing"),
    }

    def test_set(self, spectra: Path, rows: np.ndarray) -> QuasarTestSet:
        """Read the truth of some rows of the prepared spectra."""
        return QuasarTestSet(Tested.load(spectra, rows))


@dataclass(frozen=True)
class QuasarTestSet:
    """The truth of a test set of spectra."""

    tested: Tested

    @property
    def target_id(self) -> np.ndarray:
        """(n,) int64: repeat observations of an object share it."""
        return self.tested.target_id

    def sizes(self) -> dict[str, int]:
        """Return the number of spectra of quasars."""
        return {"quasars": int(self.tested.is_qso.sum())}

    def score(self, group: h5py.Group) -> QuasarScored:
        """Score a model from its group of a file of predictions."""
        return QuasarScored(self.tested, Predicted.load(group), group["loss"][:].astype(np.float64))


@dataclass(frozen=True)
class QuasarScored:
    """What one model says of n test spectra.

    Parameters
    ----------
    tested, predicted
    loss : (n,) float64 array
    """

    tested: Tested
    predicted: Predicted
    loss: np.ndarray

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.loss)

    @cached_property
    def _marks(self) -> Marks:
        called = self.predicted.score(N_DETECT[0])[:, None] > THRESHOLDS
        return Marks(self.tested, self.predicted, called, samples(self.tested, self.predicted)[SAMPLES[0]])

    def drawn(self, draws: Draws) -> dict[str, np.ndarray]:
        """Return every metric, (draws,); `sigma_dv` of fewer than 10 redshifts is NaN."""
        weights = draws.weights.astype(np.float64)
        found = {LOSS: ratio(weights @ self.loss, weights.sum(axis=1)), **self._marks.measure(draws)}
        found |= {name: found[name][:, WORKING] for name in ("completeness", "purity")}
        if np.sum(self._marks.well_measured) < FEWEST:
            found["sigma_dv"] = np.full(len(weights), np.nan)
        return found

    def estimates(self) -> dict[str, Estimate]:
        """Return the metrics as test_metrics.csv has them for one line and the whole test set."""
        return score(self.tested, self.predicted)

    def says_as(self, other: QuasarScored) -> bool:
        """Whether another model says the same of every spectrum."""
        return np.array_equal(self.loss, other.loss) and all(
            np.array_equal(getattr(self.predicted, name), getattr(other.predicted, name))
            for name in ("confidence", "z_best")
        )


def score(tested: Tested, predicted: Predicted) -> dict[str, Estimate]:
    """Return the metrics of a model; see `QuasarScored.estimates`.

    Parameters
    ----------
    tested, predicted
        Of the same n spectra.
    """
    _, owner = np.unique(tested.target_id, return_inverse=True)
    called = predicted.score(1) > WORKING_THRESHOLD
    good = has_good_redshift(predicted.z_best, tested.z)
    selected, is_bal = called & ~tested.is_bad, tested.is_qso & (tested.bal == 1)
    found = called & good & tested.is_qso
    return {
        "completeness": _share(found, tested.is_qso, owner),
        "purity": _share(selected & good & (tested.is_qso | tested.is_galaxy), selected, owner),
        "bal_completeness": _share(called & (predicted.bal_score > WORKING_THRESHOLD) & is_bal, is_bal, owner),
        "sigma_dv": _log_sigma(velocity(predicted.z_best, tested.z), found, owner),
    }


def _share(part: np.ndarray, whole: np.ndarray, owner: np.ndarray) -> Estimate:
    among = int(whole.sum())
    value = part.sum() / among if among else np.nan
    return Estimate(float(value), np.bincount(owner, (part - value * whole) / max(among, 1)), among, share=True)


def _log_sigma(dv: np.ndarray, found: np.ndarray, owner: np.ndarray) -> Estimate:
    among = int(found.sum())
    if among < FEWEST or np.ptp(dv[found]) == 0:
        return Estimate(np.nan, np.full(owner.max(initial=-1) + 1, np.nan), among)
    variance = np.var(dv[found], ddof=1)
    pull = np.where(found, ((np.where(found, dv, 0) - dv[found].mean()) ** 2 / variance - 1) / (2 * among), 0)
    return Estimate(float(np.log(variance) / 2), np.bincount(owner, pull), among)
