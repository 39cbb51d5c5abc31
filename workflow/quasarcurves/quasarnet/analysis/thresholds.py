"""The threshold at which one network is as complete, or as pure, as another one is at its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.quasarnet.analysis.test_set import Predicted, Tested
from quasarcurves.quasarnet.metrics import has_good_redshift

METRICS = ("completeness", "purity")
LEVEL, DRAWS = 0.95, 399
_SEED = 1
"""Of the draws, the same for all networks."""


def transferred(
    before: Predicted, after: Predicted, threshold: float, n_detect: int, dv_max: float, tested: Tested
) -> pd.DataFrame:
    """Return the thresholds of a network at which it equals another one.

    Parameters
    ----------
    before, after : Predicted
        What both say of the same n spectra, that in use first.
    threshold, n_detect, dv_max : float, int, float
        What makes a quasar, and a good redshift, of the one in use.
    tested : Tested
        Of the n spectra, all of them known.

    Returns
    -------
    DataFrame
        A row per metric of `METRICS`: target (its value of the network in use); threshold of the other, with low and
        high, 95 % by bootstrap over objects, both networks being drawn together; completeness and purity of the
        other there. NaN where the other is nowhere so pure or complete; the interval too, if it is not in 5 % of the
        draws or more.
    """
    ones, objects = np.ones(len(tested.z)), np.unique(tested.target_id, return_inverse=True)[1]
    marks = [_Marks.of(said, n_detect, dv_max, tested) for said in (before, after)]
    rng, n = np.random.default_rng(_SEED), int(objects.max(initial=-1)) + 1
    weights = [ones, *(np.bincount(rng.integers(n, size=n), minlength=n)[objects] for _ in range(DRAWS))]
    rows = []
    for metric in METRICS:
        found = np.array([_equal(marks, metric, threshold, each.astype(float)) for each in weights])
        target, at = marks[0].value(metric, threshold, ones), float(found[0])
        low, high = _bounds(found[1:])
        there = {name: marks[1].value(name, at, ones) for name in METRICS}
        rows.append({"metric": metric, "target": target, "threshold": at, "low": low, "high": high, **there})
    return pd.DataFrame(rows)


def words(row: Mapping[str, Any], name: str) -> str:
    """Say what one row means."""
    if not np.isfinite(row["threshold"]):
        return f"{name} is nowhere as {_SO[row['metric']]} as the network in use ({row['target']:.4f})."
    known = f" ({row['low']:.3f} to {row['high']:.3f})" if np.isfinite(row["low"]) else ""
    other = next(metric for metric in METRICS if metric != row["metric"])
    return (
        f"{name} has the {row['metric']} of the network in use, {row['target']:.4f}, with a threshold of "
        f"{row['threshold']:.3f}{known}; its {other} is {row[other]:.4f} then."
    )


_SO = {"completeness": "complete", "purity": "pure"}


class _Marks:
    """What a network says of spectra, from the most confident to the least."""

    def __init__(self, score: np.ndarray, part: Mapping[str, np.ndarray], whole: Mapping[str, np.ndarray]) -> None:
        self._order = np.argsort(-score, kind="stable")
        self._score = score[self._order]
        self._part = {name: mask[self._order] for name, mask in part.items()}
        self._whole = {name: mask[self._order] for name, mask in whole.items()}

    @classmethod
    def of(cls, said: Predicted, n_detect: int, dv_max: float, tested: Tested) -> _Marks:
        """Tell right from wrong as `metrics.purity_completeness` does."""
        good = has_good_redshift(said.z_best, tested.z, dv_max)
        trusted = ~tested.is_bad
        part = {"completeness": good & tested.is_qso, "purity": good & (tested.is_qso | tested.is_galaxy)}
        # NaN of a spectrum without signal is never called
        score = np.nan_to_num(said.score(n_detect), nan=-1.0)
        return cls(score, part, {"completeness": tested.is_qso, "purity": trusted})

    def value(self, metric: str, threshold: float, weights: np.ndarray) -> float:
        """Return a metric at a threshold, spectra having weights (n,)."""
        weights, called = weights[self._order], self._score > threshold
        whole = self._whole[metric] if metric == "completeness" else self._whole[metric] & called
        among = float((weights * whole).sum())
        return float((weights * (self._part[metric] & called)).sum()) / among if among else np.nan

    def threshold(self, metric: str, target: float, weights: np.ndarray) -> float:
        """Return the lowest threshold of a purity, the highest of a completeness, of `target` or more; NaN if none."""
        weights = weights[self._order]
        right = np.cumsum(weights * self._part[metric])
        whole = weights * self._whole[metric]
        among = np.full(len(right), whole.sum()) if metric == "completeness" else np.cumsum(whole)
        # called are all down to a place, if the next score is lower
        ends = np.append(np.diff(self._score) < 0, True) & (self._score >= 0)
        reached = np.flatnonzero(ends & (among > 0) & (right >= target * among - 1e-9))
        if not len(reached):
            return np.nan
        place = reached[0] if metric == "completeness" else reached[-1]
        below = self._score[place + 1] if place + 1 < len(self._score) else 0.0
        return float(max(self._score[place] + max(below, 0.0), 0.0) / 2)


def _equal(marks: list[_Marks], metric: str, threshold: float, weights: np.ndarray) -> float:
    target = marks[0].value(metric, threshold, weights)
    return marks[1].threshold(metric, target, weights) if np.isfinite(target) else np.nan


def _bounds(found: np.ndarray) -> tuple[float, float]:
    known = found[np.isfinite(found)]
    if len(known) < LEVEL * len(found):
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
