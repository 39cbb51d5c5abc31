"""Test metrics of pairs of models on the same objects: how far apart they are, with intervals over objects and runs.

The test set is one, so a hard example is hard for both models of a pair. What one object does to the difference of a
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
from quasarcurves.analysis.metrics.scorer import Estimate, Scorer, predicted_runs
from quasarcurves.analysis.stats import ALPHA


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


Scores = Mapping[tuple[float, int, str], Mapping[str, Estimate]]
"""The metrics of the final models of runs, by fraction, replicate and optimizer."""


def read(predictions: Iterable[Path], spectra: Path, scorer: Scorer) -> Scores:
    """Score the final model of every run.

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    spectra : Path
        The prepared examples.
    scorer : Scorer

    Raises
    ------
    ValueError
        If the test set of a run is not that of the others, or a file of predictions lacks something.
    """
    runs = predicted_runs(predictions, lambda rows: scorer.test_set(spectra, rows))
    return {tables.run_key(run): truth.score(file["final"]).estimates() for run, file, truth in runs}


def difference(pairs: Sequence[tuple[Estimate, Estimate]]) -> Difference:
    """Return the mean difference of a metric over pairs of models, with its 95 % interval over objects and runs.

    The two parts of the interval add in quadrature: the Gaussian one over objects, and Student's over pairs. A single
    pair has the first alone, which tells the two models apart and says nothing about other runs. Two models that agree
    on every object would have an interval of no width, so that two objects are added to a share, found by one model
    each (Agresti & Min 2005, Biometrics 61, 515).

    Parameters
    ----------
    pairs : sequence of (Estimate, Estimate)
        Of the model and of its reference, each pair of the same replicate and size of the training set.
    """
    known = [(one, other) for one, other in pairs if np.isfinite([one.value, other.value]).all()]
    if not known:
        return Difference(np.nan, np.nan, np.nan, 0)
    values = np.array([one.value - other.value for one, other in known])  # (pairs,)
    pull = np.mean([one.pull - other.pull for one, other in known], axis=0)  # (objects,)
    added = 2 / np.mean([(one.among + other.among) / 2 for one, other in known]) ** 2 if known[0][0].share else 0.0
    over_objects = scipy.stats.norm.isf(ALPHA / 2) * np.sqrt((pull**2).sum() + added)
    n, over_runs = len(values), 0.0
    if n > 1:
        over_runs = scipy.stats.t.isf(ALPHA / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    value, reach = float(values.mean()), float(np.hypot(over_objects, over_runs))
    return Difference(value, value - reach, value + reach, n)
