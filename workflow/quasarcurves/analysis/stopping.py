"""Is the model that validation calls the best a better one than the last? By what both are worth on the test set.

The loss punishes confident mistakes, so a model of lower loss may be right less often. Both models say something of the
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
from quasarcurves.analysis.metrics.description import Metric
from quasarcurves.analysis.metrics.scorer import MODELS, SEED, Scored, Scorer, TestSet, chosen, predicted_runs
from quasarcurves.analysis.stats.resampling import percentile_interval

BETTER, WORSE, SAME, OPEN = "best is better", "best is worse", "same", "cannot say"

SAME_SHARE, SAME_RATIO = 0.01, 1.1
"""A smaller difference of shares, and a smaller ratio either way, is as good as none."""


def write(predictions: Iterable[Path], spectra: Path, path: Path, scorer: Scorer) -> None:
    """Write stopping.csv, a row per run and metric.

    Columns
    -------
    fraction, replicate, optimizer
        The run.
    metric
        `loss` over the test set, and the others of the task. Of QuasarNET: `crossing`, where purity and completeness
        are equal; `completeness`, `purity` and `sigma_dv` (km/s) at a confidence threshold of 0.5 and one line.
    objects
        Test objects that were drawn from; then what the task counts among them, such as `quasars`.
    final, best
        The metric of the model at the end, and of that kept as the best: by lowest validation loss, or as
        `training.best` says.
    difference, low, high
        Best minus final; where less is better, as of the loss, best over final. With its 95 % interval over test
        objects: of each draw with replacement, both models are measured on the same objects. Empty where a metric of
        either model does not exist.
    verdict
        `same` if the interval lies within 0.01 (or a factor of 1.1) of no difference; else `best is better` or `best is
        worse` if it does not hold the value of no difference, else `cannot say`. Each verdict stands alone: that one of
        several is wrong is more likely than that a certain one is.

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    spectra : Path
        The prepared examples.
    path : Path
        File written.
    scorer : Scorer

    Raises
    ------
    ValueError
        If runs differ in their test sets, or a file of predictions lacks a model.
    """
    rows: list[dict[str, Any]] = []
    draws: Draws | None = None
    for run, file, truth in predicted_runs(predictions, lambda rows: scorer.test_set(spectra, rows)):
        draws = draws or draw(truth.target_id, np.random.default_rng(SEED), DRAWS)
        keys = {key: run[key] for key in tables.RUN_KEYS}
        rows += [
            keys | row for row in compare(scorer, truth, {name: truth.score(file[name]) for name in MODELS}, draws)
        ]
    tables.write(pd.DataFrame(rows), path)


def compare(scorer: Scorer, truth: TestSet, scored: Mapping[str, Scored], draws: Draws) -> list[dict[str, Any]]:
    """Compare two models of a run: a row of stopping.csv for each metric, without the run's keys.

    Parameters
    ----------
    scorer : Scorer
    truth : TestSet
    scored : mapping
        The models `final` and `best`.
    draws : Draws
        Of the same test set, for both models.
    """
    sizes = {"objects": len(np.unique(truth.target_id)), **truth.sizes()}
    values = {name: scored[name].drawn(once(len(truth.target_id))) for name in MODELS}
    # Of the two objects that `draw` adds, one model is right on the first and the other on the second (Agresti & Min
    # 2005, Biometrics 61, 515): two models that agree on all of a few objects may still differ on others.
    swapped = {"final": draws, "best": replace(draws, right=draws.wrong, wrong=draws.right)}
    drawn = {name: scored[name].drawn(swapped[name]) for name in MODELS}
    alike = scored["final"].says_as(scored["best"])
    nothing = np.full(len(draws.weights), np.nan)
    rows = []
    for metric in map(scorer.description.metric, chosen(scorer, "stopping", values["final"] | values["best"])):
        final, best = (float(values[name].get(metric.name, nothing)[0]) for name in MODELS)
        differences = _differences(metric, *(drawn[name].get(metric.name, nothing) for name in MODELS))
        difference = float(_differences(metric, np.array([final]), np.array([best]))[0])
        # without validation, the best is the final one
        low, high = (difference, difference) if alike else _interval(difference, differences)
        row = {"final": final, "best": best, "difference": difference, "low": low, "high": high}
        verdict = SAME if alike else judge(metric, low, high)
        rows.append({"metric": metric.name, **sizes, **row, "verdict": verdict})
    return rows


def judge(metric: Metric, low: float, high: float) -> str:
    """Judge the interval of a comparison: best is better, best is worse, same, or cannot say.

    Parameters
    ----------
    metric : Metric
    low, high : float
        Of best minus final, or of best over final; NaN where it is not known.
    """
    none, least, most = (1.0, 1 / SAME_RATIO, SAME_RATIO) if metric.is_ratio else (0.0, -SAME_SHARE, SAME_SHARE)
    if least < low and high < most:
        return SAME
    below, above = (BETTER, WORSE) if metric.is_ratio else (WORSE, BETTER)
    if high < none:
        return below
    return above if low > none else OPEN


def _differences(metric: Metric, final: np.ndarray, best: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return best / final if metric.is_ratio else best - final


def _interval(difference: float, drawn: np.ndarray) -> tuple[float, float]:
    if not np.isfinite(difference):
        return float("nan"), float("nan")
    low, high = percentile_interval(drawn)
    return float(low), float(high)
