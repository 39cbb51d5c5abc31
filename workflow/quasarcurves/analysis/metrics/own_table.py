"""From the predictions of all runs of a task of one's own to the table of their test scores."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.bootstrap import Draws, draw, once
from quasarcurves.analysis.metrics.scorer import MODELS, SEED, Scored, Scorer, predicted_runs
from quasarcurves.analysis.stats.resampling import percentile_interval


def write(predictions: Iterable[Path], spectra: Path, runs: Path, scorer: Scorer, test_metrics: Path) -> None:
    """Write test_metrics.csv, a row per run and model.

    Columns
    -------
    fraction, replicate, optimizer, n_train
        The run.
    model, sample, n
        `final` or `best`; `all`, the whole test set; and its number of examples.
    <metric>, <metric>_low, <metric>_high
        `loss` and what the task measures, with the 95 % interval of a bootstrap over the objects of the test set. Empty
        where a model lacks a metric or it is not finite; the interval also where nothing tells it (see `metrics.own`).

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    spectra, runs : Path
        The prepared examples, and runs.csv.
    scorer : Scorer
    test_metrics : Path
        File written.

    Raises
    ------
    ValueError
        If runs differ in their test sets, a run is not in runs.csv, or a file of predictions lacks something.
    """
    n_train = tables.read(runs).set_index(tables.RUN_KEYS)["n_train"]
    rows: list[dict[str, Any]] = []
    draws: Draws | None = None
    for run, file, truth in predicted_runs(predictions, lambda rows: scorer.test_set(spectra, rows)):
        draws = draws or draw(truth.target_id, np.random.default_rng(SEED))
        keys = {key: run[key] for key in tables.RUN_KEYS}
        keys["n_train"] = tables.of_run(n_train, keys, runs)
        for model in MODELS:
            size = {"model": model, "sample": "all", "n": len(truth.target_id)}
            rows.append({**keys, **size, **intervals(truth.score(file[model]), draws)})
    tables.write(pd.DataFrame(rows), test_metrics)


def intervals(scored: Scored, draws: Draws) -> dict[str, float]:
    """Return every metric of a model with the bounds of its interval, by the names of their columns."""
    values = scored.drawn(once(draws.weights.shape[1]))
    drawn = scored.drawn(draws)
    row: dict[str, float] = {}
    for name, (value,) in values.items():
        low, high = percentile_interval(drawn[name]) if np.isfinite(value) else (np.nan, np.nan)
        row |= {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}
    return row
