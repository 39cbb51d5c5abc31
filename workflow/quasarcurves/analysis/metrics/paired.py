"""Test metrics of pairs of models on the same objects: how far apart they are, with intervals over objects and runs.

The test set is one, so a hard spectrum is hard for both models of a pair. What one object does to the difference of a
pair is known to first order (the infinitesimal jackknife; Davison & Hinkley 1997, Bootstrap Methods, section 2.7), so
that the difference over objects has a standard error without any draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.scores import FEWEST, WORKING_THRESHOLD
from quasarcurves.analysis.metrics.test_set import Predicted, Tested, predicted_runs
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.quasarnet.metrics import has_good_redshift, velocity

SHARES = ("completeness", "purity", "bal_completeness")
"""Metrics whose pairs are compared by their difference."""

METRICS = (*SHARES, "sigma_dv")
"""All metrics, at the confidence threshold of test_metrics.csv; `sigma_dv` is compared by its ratio."""


@dataclass(frozen=True)
class Metric:
    """A metric of one model; sigma_dv as its logarithm.

    Parameters
    ----------
    value : float
    pull : (objects,) array
        What each object adds to the error of the value, to first order.
    among : float
        Spectra that it is of.
    """

    value: float
    pull: np.ndarray
    among: float


@dataclass(frozen=True)
class Difference:
    """A mean difference over pairs with its 95 % interval; NaN where there is none.

    Parameters
    ----------
    value, low, high : float
    pairs : int
    """

    value: float
    low: float
    high: float
    pairs: int


Scores = Mapping[tuple[float, int, str], Mapping[str, Metric]]
"""The metrics of the final models of runs, by fraction, replicate and optimizer."""


def read(predictions: Iterable[Path], spectra: Path) -> Scores:
    """Score the final model of every run.

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    spectra : Path
        The prepared spectra.

    Raises
    ------
    ValueError
        If the test set of a run is not that of the others, or a file of predictions lacks something.
    """
    return {
        tables.run_key(run): score(tested, Predicted.load(file["final"]))
        for run, file, tested in predicted_runs(predictions, spectra)
    }


def score(
    tested: Tested, predicted: Predicted, threshold: float = WORKING_THRESHOLD, n_detect: int = 1
) -> dict[str, Metric]:
    """Return the metrics of a model, as test_metrics.csv has them for one line and the whole test set.

    Parameters
    ----------
    tested, predicted
        Of the same n spectra.
    threshold, n_detect : float, int
        A quasar has at least `n_detect` emission lines with a confidence above `threshold`.
    """
    _, owner = np.unique(tested.target_id, return_inverse=True)
    called = predicted.score(n_detect) > threshold
    good = has_good_redshift(predicted.z_best, tested.z)
    selected, is_bal = called & ~tested.is_bad, tested.is_qso & (tested.bal == 1)
    found = called & good & tested.is_qso
    return {
        "completeness": _share(found, tested.is_qso, owner),
        "purity": _share(selected & good & (tested.is_qso | tested.is_galaxy), selected, owner),
        "bal_completeness": _share(called & (predicted.bal_score > threshold) & is_bal, is_bal, owner),
        "sigma_dv": _log_sigma(velocity(predicted.z_best, tested.z), found, owner),
    }


def _share(part: np.ndarray, whole: np.ndarray, owner: np.ndarray) -> Metric:
    among = int(whole.sum())
    value = part.sum() / among if among else np.nan
    return Metric(float(value), np.bincount(owner, (part - value * whole) / max(among, 1)), among)


def _log_sigma(dv: np.ndarray, found: np.ndarray, owner: np.ndarray) -> Metric:
    among = int(found.sum())
    if among < FEWEST or np.ptp(dv[found]) == 0:
        return Metric(np.nan, np.full(owner.max(initial=-1) + 1, np.nan), among)
    variance = np.var(dv[found], ddof=1)
    pull = np.where(found, ((np.where(found, dv, 0) - dv[found].mean()) ** 2 / variance - 1) / (2 * among), 0)
    return Metric(float(np.log(variance) / 2), np.bincount(owner, pull), among)


def difference(pairs: Sequence[tuple[Metric, Metric]], share: bool = True) -> Difference:
    """Return the mean difference of a metric over pairs of models, with its 95 % interval over objects and runs.

    The two parts of the interval add in quadrature: the Gaussian one over objects, and Student's over pairs. A single
    pair has the first alone, which tells the two models apart and says nothing about other runs. Two models that agree
    on every object would have an interval of no width, so that two objects are added to a share, found by one model
    each (Agresti & Min 2005, Biometrics 61, 515).

    Parameters
    ----------
    pairs : sequence of (Metric, Metric)
        Of the model and of its reference, each pair of the same replicate and size of the training set.
    share : bool
        Whether the metric is a share.
    """
    known = [(one, other) for one, other in pairs if np.isfinite([one.value, other.value]).all()]
    if not known:
        return Difference(np.nan, np.nan, np.nan, 0)
    values = np.array([one.value - other.value for one, other in known])  # (pairs,)
    pull = np.mean([one.pull - other.pull for one, other in known], axis=0)  # (objects,)
    added = 2 / np.mean([(one.among + other.among) / 2 for one, other in known]) ** 2 if share else 0.0
    over_objects = scipy.stats.norm.isf(ALPHA / 2) * np.sqrt((pull**2).sum() + added)
    n, over_runs = len(values), 0.0
    if n > 1:
        over_runs = scipy.stats.t.isf(ALPHA / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    value, reach = float(values.mean()), float(np.hypot(over_objects, over_runs))
    return Difference(value, value - reach, value + reach, n)
