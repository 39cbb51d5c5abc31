"""From the predictions of all runs to the tables of their test scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.bootstrap import Draws, draw
from quasarcurves.analysis.metrics.scorer import MODELS, SEED
from quasarcurves.analysis.stats import MAD_TO_SIGMA
from quasarcurves.quasarnet.analysis.scores import DV_EDGES, MEASURES, dv_counts, score
from quasarcurves.quasarnet.analysis.seeds import find_failed
from quasarcurves.quasarnet.analysis.test_set import N_DETECT, SAMPLES, Predicted, Tested, tested_runs

_GROUP = ["fraction", "optimizer", "model", "n_detect", "sample"]
"""Keys that the rows of one summary share."""


def write(
    predictions: Iterable[Path],
    spectra: Path,
    runs: Path,
    metrics: Path,
    test_metrics: Path,
    test_summary: Path,
    dv_histogram: Path,
) -> None:
    """Write the tables of a study's test metrics; a `_low` and `_high` bound the 95 % bootstrap over test objects.

    Redshifts are good if their dv is within 6000 km/s. Measures without a row per threshold are at 0.5 (column
    `threshold`). Each row has its `fraction, replicate, optimizer, n_train`, and the `model` of the run, final or best.

    Columns of metrics.csv, a row per run, model, n_detect, sample and threshold
    ----------------------------------------------------------------------------
    n_detect
        Lines that must have a confidence above the threshold for a spectrum to be called a quasar.
    sample
        See `test_set.samples`.
    threshold
        0 to 1 in steps of 0.01.
    purity, completeness
        See `quasarnet.metrics.purity_completeness`; empty where nothing is called a quasar, or the sample has no
        quasar. Intervals only for the sample `all` and one line.
    bal_purity, bal_completeness
        Share of broad absorption line quasars among those called so, and share of them that are called so: the spectrum
        is called a quasar and the confidence of an absorption line is above the same threshold. Quasars whose
        absorption is unknown are left out; in the sample `bal` the purity is 1 by construction.

    Columns of test_metrics.csv, a row per run, model, n_detect and sample
    ----------------------------------------------------------------------
    called, quasars, called_quasars, bals
        Spectra that the shares are of: called quasars (not BAD), true quasars, those called so, true BAL quasars.
    crossing, crossing_threshold
        Where purity and completeness are equal (`quasarnet.metrics.crossing`), the value with interval. The threshold
        has no interval: where the two curves run side by side for long, its bootstrap covers far less than 95 %.
    purity, completeness, bal_purity, bal_completeness
        At the threshold, with intervals.
    median_dv, sigma_dv, sigma_dv_mad
        km/s, over quasars that are called so with a good redshift: median, standard deviation, and 1.4826 times the
        median absolute deviation, with intervals if there are ten or more.
    outlier_share
        Of the quasars that are called so, those without a good redshift, with interval.
    failed, failed_note
        Whether this model's crossing point (sample `all`, one line) is far below that of the other replicates, and by
        how much or why that cannot be said (`seeds.find_failed`).

    Columns of test_summary.csv, a row per fraction, optimizer, model, n_detect and sample
    --------------------------------------------------------------------------------------
    replicates, failed, failed_replicates
        How many there are, how many have failed, and which.
    <measure>, _low, _high, _sigma
        Median over all replicates, lowest and highest, 1.4826 times the median absolute deviation (empty for one).
    crossing_mean, crossing_mean_without_failed
        Means over replicates, with and without failed ones: a failed seed moves the first.

    Columns of dv_histogram.csv, a row per run, model and bin
    ---------------------------------------------------------
    dv, quasars
        Centre of the bin of 100 km/s, and the number of quasars in it that are called so by one line.

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    spectra, runs : Path
        The prepared spectra, and runs.csv.
    metrics, test_metrics, test_summary, dv_histogram : Path
        Files written.

    Raises
    ------
    ValueError
        If runs differ in their test sets, a run is not in runs.csv, or a file of predictions lacks something.
    """
    n_train = tables.read(runs).set_index(tables.RUN_KEYS)["n_train"]
    rows: list[pd.DataFrame] = []
    histograms: list[pd.DataFrame] = []

    def curves() -> Iterator[pd.DataFrame]:
        for each in _scored(predictions, spectra):
            keys = each.keys | {"n_train": tables.of_run(n_train, each.keys, runs)}
            rows.append(_with_keys(pd.DataFrame(each.rows), keys))
            histograms.append(_with_keys(each.histogram, keys))
            yield _with_keys(each.curves, keys)

    tables.write_parts(curves(), metrics)
    scores = mark_failed(pd.concat(rows, ignore_index=True))
    tables.write(scores, test_metrics)
    tables.write(summarise(scores), test_summary)
    tables.write(pd.concat(histograms, ignore_index=True), dv_histogram)


@dataclass(frozen=True)
class _Model:
    """Scores of one model of a run."""

    keys: dict[str, Any]
    rows: list[dict[str, Any]]
    curves: pd.DataFrame
    histogram: pd.DataFrame


def _scored(predictions: Iterable[Path], spectra: Path) -> Iterator[_Model]:
    """Score the models of every run. All runs share the truth and the draws of one test set."""
    draws: Draws | None = None
    for run, file, tested in tested_runs(predictions, spectra):
        draws = draws or draw(tested.target_id, np.random.default_rng(SEED))
        for name in MODELS:
            keys = {key: run[key] for key in tables.RUN_KEYS} | {"model": name}
            yield _score(keys, tested, Predicted.load(file[name]), draws)


def _score(keys: dict[str, Any], tested: Tested, predicted: Predicted, draws: Draws) -> _Model:
    rows, curves = zip(*score(tested, predicted, draws), strict=True)
    centres = (DV_EDGES[:-1] + DV_EDGES[1:]) / 2
    histogram = pd.DataFrame({"dv": centres, "quasars": dv_counts(tested, predicted)})
    return _Model(keys, list(rows), pd.concat(curves, ignore_index=True), histogram)


def _with_keys(table: pd.DataFrame, keys: dict[str, Any]) -> pd.DataFrame:
    """Put the keys of run and model before the other columns."""
    first = [*tables.RUN_KEYS, "n_train", "model"]
    return table.assign(**keys)[[*first, *table.columns]]


def mark_failed(scores: pd.DataFrame) -> pd.DataFrame:
    """Add `failed` and `failed_note` to the rows of test_metrics.csv: by sample `all` and one line, for all rows."""
    main = scores[(scores["sample"] == SAMPLES[0]) & (scores["n_detect"] == N_DETECT[0])]
    judged = []
    for _, group in main.groupby(["fraction", "optimizer", "model"], sort=False):
        failed, notes = find_failed(group["crossing"].to_numpy(), int(group["quasars"].iloc[0]))
        judged.append(group[[*tables.RUN_KEYS, "model"]].assign(failed=failed, failed_note=notes))
    return scores.merge(pd.concat(judged), how="left", on=[*tables.RUN_KEYS, "model"])


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of test_summary.csv from those of test_metrics.csv."""
    groups = scores.groupby(_GROUP, sort=False)
    return pd.DataFrame([{**dict(zip(_GROUP, key, strict=True)), **_summary(group)} for key, group in groups])


def _summary(group: pd.DataFrame) -> dict[str, Any]:
    failed = group["failed"].to_numpy(bool)
    row: dict[str, Any] = {"n_train": group["n_train"].median(), "replicates": len(group), "failed": int(failed.sum())}
    row["failed_replicates"] = " ".join(str(replicate) for replicate in group.loc[failed, "replicate"])
    for name in MEASURES:
        values = group[name].dropna()
        row |= {name: values.median(), f"{name}_low": values.min(), f"{name}_high": values.max()}
        row[f"{name}_sigma"] = (
            MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))) if len(values) > 1 else np.nan
        )
    row["crossing_mean"] = group["crossing"].mean()
    row["crossing_mean_without_failed"] = group.loc[~failed, "crossing"].mean()
    return row
