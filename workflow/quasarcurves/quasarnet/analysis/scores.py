"""Scores of one model: its curves over the confidence threshold, and its numbers, for every sample of the test set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis.metrics.bootstrap import Draws, once, shares
from quasarcurves.analysis.stats import MAD_TO_SIGMA
from quasarcurves.analysis.stats.resampling import (
    percentile_interval,
    weighted_deviations,
    weighted_median_deviations,
    weighted_medians,
)
from quasarcurves.quasarnet.analysis.test_set import N_DETECT, SAMPLES, Predicted, Sample, Tested, samples
from quasarcurves.quasarnet.metrics import DV_MAX, THRESHOLDS, crossing, has_good_redshift, velocity

WORKING_THRESHOLD = 0.5
"""Confidence threshold of measures that are not tabulated for all thresholds; DESI uses it too."""

CURVES = ("purity", "completeness", "bal_purity", "bal_completeness")
"""Measures with a value per threshold."""

WITH_INTERVALS = ("purity", "completeness")
"""The curves that have an interval at each threshold, in the main sample."""

OF_DV = ("median_dv", "sigma_dv", "sigma_dv_mad")
"""Measures of the distribution of dv."""

MEASURES = ("crossing", *CURVES, *OF_DV, "outlier_share")
"""Measures of every sample, each with an interval."""

DV_EDGES = np.linspace(-DV_MAX, DV_MAX, 121)
"""km/s: edges of the bins of the distribution of dv."""

FEWEST = 10
"""Fewest redshifts for an interval of the measures of their distribution."""

WORKING = int(np.searchsorted(THRESHOLDS, WORKING_THRESHOLD))
_MAIN = (N_DETECT[0], SAMPLES[0])


def score(tested: Tested, predicted: Predicted, draws: Draws) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield, for every number of lines and every sample, its row of test_metrics.csv and its rows of metrics.csv.

    Parameters
    ----------
    tested : Tested
        n spectra.
    predicted : Predicted
        Of the same.
    draws : Draws
        Of the same spectra. With the same draws for all models, their intervals are over the same test sets.
    """
    parts = samples(tested, predicted)
    for n_detect in N_DETECT:
        called = predicted.score(n_detect)[:, None] > THRESHOLDS
        for name, sample in parts.items():
            keys = {"n_detect": n_detect, "sample": name}
            marks = Marks(tested, predicted, called, sample)
            alone = once(len(called))
            values = {key: each[0] for key, each in {**marks.measure(alone), **marks.of_bal(alone)}.items()}
            # of these no curve has an interval
            drawn = {**marks.measure(draws), **marks.of_bal(draws, WORKING)}
            curves = {"threshold": THRESHOLDS, **{key: values[key] for key in CURVES}}
            if (n_detect, name) == _MAIN:
                curves |= _bounds({key: values[key] for key in WITH_INTERVALS}, drawn)
            working = {key: each[WORKING] if key in CURVES else each for key, each in values.items()}
            at_working = {key: each[:, WORKING] if each.ndim == 2 else each for key, each in drawn.items()}
            if np.sum(marks.well_measured) < FEWEST:
                at_working |= {key: np.full_like(at_working[key], np.nan) for key in OF_DV}
            numbers = {**working, **_bounds(working, at_working)}
            row = {
                name: numbers[name] for measure in MEASURES for name in (measure, f"{measure}_low", f"{measure}_high")
            }
            where = {"threshold": WORKING_THRESHOLD, "crossing_threshold": values["crossing_threshold"]}
            yield {**keys, **marks.sizes(), **where, **row}, pd.DataFrame({**keys, **curves})


def dv_counts(tested: Tested, predicted: Predicted) -> np.ndarray:
    """(120,) number of quasars, called so by one line, that have their dv between `DV_EDGES`."""
    found = tested.is_qso & (predicted.score(1) > WORKING_THRESHOLD)
    dv = velocity(predicted.z_best, tested.z)
    return np.histogram(dv[found & np.isfinite(dv)], DV_EDGES)[0]


def _bounds(values: dict[str, np.ndarray], drawn: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the intervals of some values, all of one shape; NaN where the value itself is NaN."""
    bounds = percentile_interval(np.stack([drawn[name] for name in values], axis=1))
    found = {}
    for i, (name, value) in enumerate(values.items()):
        for end, bound in zip(("low", "high"), bounds, strict=True):
            found[f"{name}_{end}"] = np.where(np.isnan(value), np.nan, bound[i])[()]
    return found


class Marks:
    """The role of each test spectrum in one sample.

    Parameters
    ----------
    tested : Tested
        n spectra.
    predicted : Predicted
        Of the same.
    called : (n, 101) bool array
        At which of `THRESHOLDS` each is called a quasar.
    sample : Sample
    """

    def __init__(self, tested: Tested, predicted: Predicted, called: np.ndarray, sample: Sample) -> None:
        good = has_good_redshift(predicted.z_best, tested.z)
        self.selected = called & (~tested.is_bad & sample.for_purity)[:, None]
        self.right = self.selected & (good & (tested.is_qso | tested.is_galaxy))[:, None]
        self.quasars = tested.is_qso & sample.for_completeness
        self.found = called & (good & self.quasars)[:, None]
        is_bal = tested.is_qso & (tested.bal == 1)
        # a quasar whose broad absorption is unknown counts neither as right nor as wrong
        known = ~tested.is_qso | (tested.bal != 0)
        called_bal = predicted.bal_score[:, None] > THRESHOLDS
        self.selected_bal = self.selected & called_bal & known[:, None]
        self.right_bal = self.selected_bal & is_bal[:, None]
        self.bals = is_bal & sample.for_completeness
        self.found_bal = called & called_bal & self.bals[:, None]
        self.called_quasars = called[:, WORKING] & self.quasars
        self.well_measured = self.called_quasars & good
        self.dv = velocity(predicted.z_best, tested.z)

    def measure(self, draws: Draws) -> dict[str, np.ndarray]:
        """All of `MEASURES` but broad absorption, each (draws,), those in `CURVES` (draws, 101)."""
        purity, completeness = shares(self.right, self.selected, draws), shares(self.found, self.quasars, draws)
        value, threshold = crossing(purity, completeness)
        rows = np.flatnonzero(self.well_measured)
        dv, weights = self.dv[rows], draws.take(rows)
        median = weighted_medians(dv, weights)
        return {
            "crossing": value,
            "crossing_threshold": threshold,
            "purity": purity,
            "completeness": completeness,
            "median_dv": median,
            "sigma_dv": weighted_deviations(dv, weights),
            "sigma_dv_mad": MAD_TO_SIGMA * weighted_median_deviations(dv, weights, median),
            "outlier_share": 1 - shares(self.well_measured, self.called_quasars, draws),
        }

    def of_bal(self, draws: Draws, at: int | slice = slice(None)) -> dict[str, np.ndarray]:
        """Purity and completeness of broad absorption, each (draws,) at one of the thresholds, (draws, k) at k."""
        return {
            "bal_purity": shares(self.right_bal[:, at], self.selected_bal[:, at], draws),
            "bal_completeness": shares(self.found_bal[:, at], self.bals, draws),
        }

    def sizes(self) -> dict[str, int]:
        """How many spectra the shares at the working threshold are of."""
        return {
            "called": int(self.selected[:, WORKING].sum()),
            "quasars": int(self.quasars.sum()),
            "called_quasars": int(self.called_quasars.sum()),
            "bals": int(self.bals.sum()),
        }
