"""Is the model that validation calls the best a better one than the last? By what both are worth on the test set.

The loss punishes confident mistakes, so a model of lower loss may find fewer quasars. Both models say something of the
same test objects: the intervals are of the difference between the two, not of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.bootstrap import DRAWS, Draws, draw, once
from quasarcurves.analysis.metrics.scores import FEWEST, WORKING, Marks
from quasarcurves.analysis.metrics.test_set import MODELS, N_DETECT, SAMPLES, Predicted, Tested, predicted_runs, samples
from quasarcurves.analysis.stats.resampling import percentile_interval
from quasarcurves.quasarnet.metrics import THRESHOLDS, share

METRICS = ("loss", "crossing", "completeness", "purity", "sigma_dv")
"""What the two models are compared by."""

RATIOS = ("loss", "sigma_dv")
"""Metrics whose comparison is a ratio, and of which less is better; of the others it is a difference."""

BETTER, WORSE, SAME, OPEN = "best is better", "best is worse", "same", "cannot say"

SAME_SHARE, SAME_RATIO = 0.01, 1.1
"""A smaller difference of shares, and a smaller ratio either way, is as good as none."""

_SEED = 1
"""Of the draws of the test set, the same for all studies."""


def write(predictions: Iterable[Path], spectra: Path, path: Path) -> None:
    """Write stopping.csv, a row per run and metric.

    Columns
    -------
    fraction, replicate, optimizer
        The run.
    metric
        `loss` over the test set; `crossing`, where purity and completeness are equal; `completeness`, `purity` and
        `sigma_dv` (km/s) at a confidence threshold of 0.5 and one line.
    objects, quasars
        Test objects that were drawn from, and quasars among their spectra.
    final, best
        The metric of the model at the end, and of that kept as the best: by lowest validation loss, or as
        `training.best` says.
    difference, low, high
        Best minus final; for `loss` and `sigma_dv` best over final. With its 95 % interval over test objects: of each
        draw with replacement, both models are measured on the same objects. Empty where a metric of either model does
        not exist, and for `sigma_dv` of fewer than 10 redshifts.
    verdict
        `same` if the interval lies within 0.01 (or a factor of 1.1) of no difference; else `best is better` or `best is
        worse` if it does not hold the value of no difference, else `cannot say`. Each verdict stands alone: that one of
        several is wrong is more likely than that a certain one is.

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    spectra : Path
        The prepared spectra.
    path : Path
        File written.

    Raises
    ------
    ValueError
        If runs differ in their test sets, or a file of predictions lacks a model.
    """
    rows: list[dict[str, Any]] = []
    draws: Draws | None = None
    for run, file, tested in predicted_runs(predictions, spectra):
        draws = draws or draw(tested.target_id, np.random.default_rng(_SEED), DRAWS)
        said = {name: (Predicted.load(file[name]), file[name]["loss"][:].astype(np.float64)) for name in MODELS}
        keys = {key: run[key] for key in tables.RUN_KEYS}
        rows += [keys | row for row in compare(tested, said, draws)]
    tables.write(pd.DataFrame(rows), path)


def compare(tested: Tested, said: Mapping[str, tuple[Predicted, np.ndarray]], draws: Draws) -> list[dict[str, Any]]:
    """Compare two models of a run: a row of stopping.csv for each of `METRICS`, without the run's keys.

    Parameters
    ----------
    tested : Tested
        n test spectra.
    said : mapping
        For `final` and `best`: what the model predicts of them, and its (n,) losses.
    draws : Draws
        Of the same spectra, for both models.
    """
    sizes = {"objects": len(np.unique(tested.target_id)), "quasars": int(tested.is_qso.sum())}
    values = {name: _measure(tested, *said[name], once(len(tested.z))) for name in MODELS}
    # Of the two quasars that `draw` adds, one model finds the first and the other the second (Agresti & Min 2005,
    # Biometrics 61, 515): two models that agree on all of a few objects may still differ on others.
    swapped = {"final": draws, "best": replace(draws, right=draws.wrong, wrong=draws.right)}
    drawn = {name: _measure(tested, *said[name], swapped[name]) for name in MODELS}
    alike = _are_alike(said["final"], said["best"])
    rows = []
    for metric in METRICS:
        final, best = (float(values[name][metric][0]) for name in MODELS)
        differences = _differences(metric, drawn["final"][metric], drawn["best"][metric])
        difference = float(_differences(metric, np.array([final]), np.array([best]))[0])
        low, high = (difference, difference) if alike else _interval(difference, differences)
        row = {"final": final, "best": best, "difference": difference, "low": low, "high": high}
        rows.append({"metric": metric, **sizes, **row, "verdict": SAME if alike else judge(metric, low, high)})
    return rows


def judge(metric: str, low: float, high: float) -> str:
    """Judge the interval of a comparison: best is better, best is worse, same, or cannot say.

    Parameters
    ----------
    metric : str
        One of `METRICS`.
    low, high : float
        Of best minus final, or of best over final; NaN where it is not known.
    """
    none, least, most = (1.0, 1 / SAME_RATIO, SAME_RATIO) if metric in RATIOS else (0.0, -SAME_SHARE, SAME_SHARE)
    if least < low and high < most:
        return SAME
    below, above = (BETTER, WORSE) if metric in RATIOS else (WORSE, BETTER)
    if high < none:
        return below
    return above if low > none else OPEN


def _measure(tested: Tested, predicted: Predicted, loss: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """Each of `METRICS` of a model, (draws,)."""
    called = predicted.score(N_DETECT[0])[:, None] > THRESHOLDS
    marks = Marks(tested, predicted, called, samples(tested, predicted)[SAMPLES[0]])
    found = marks.measure(draws)
    found |= {name: found[name][:, WORKING] for name in ("completeness", "purity")}
    if np.sum(marks.well_measured) < FEWEST:
        found["sigma_dv"] = np.full(len(draws.weights), np.nan)
    weights = draws.weights.astype(np.float64)
    return {**found, "loss": share(weights @ loss, weights.sum(axis=1))}


def _differences(metric: str, final: np.ndarray, best: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return best / final if metric in RATIOS else best - final


def _interval(difference: float, drawn: np.ndarray) -> tuple[float, float]:
    if not np.isfinite(difference):
        return float("nan"), float("nan")
    low, high = percentile_interval(drawn)
    return float(low), float(high)


def _are_alike(one: tuple[Predicted, np.ndarray], other: tuple[Predicted, np.ndarray]) -> bool:
    """Whether two models say the same of every spectrum: without validation, the best is the final one."""
    return np.array_equal(one[1], other[1]) and all(
        np.array_equal(getattr(one[0], name), getattr(other[0], name)) for name in ("confidence", "z_best")
    )
