"""How much training data is enough for every optimizer of a study: learning curves of its test errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.convergence import read_test_losses
from quasarcurves.analysis.learning_curve import FAMILIES, LearningCurve, fit
from quasarcurves.analysis.learning_curve.families import BASELINE

METRICS = {
    "crossing": "1 - crossing point of purity and completeness",
    "test_loss": "test loss",
    "sigma_dv": "scatter of the velocity error (km/s)",
}
"""Errors that curves are fitted to, all of the final model: names in the tables, and in words."""

_MODEL, _LINES, _SAMPLE = "final", 1, "all"
_PARAMETERS = ("a", "b", "c", "d")
_BAND_POINTS = 60
_FARTHER = 8.0
"""Times the largest size: curves end there."""

_ESTIMATES = ("n_required", "floor", "doubling_gain")


@dataclass(frozen=True)
class Tables:
    """What `fit_all` finds.

    Parameters
    ----------
    curves : DataFrame
        A row per optimizer and metric.
    errors : DataFrame
        A row per run and metric.
    bands : DataFrame
        Rows along each curve.
    """

    curves: pd.DataFrame
    errors: pd.DataFrame
    bands: pd.DataFrame


def write(
    runs: Path,
    test_losses: Path,
    test_metrics: Path | None,
    targets: Mapping[str, float],
    curves: Path,
    errors: Path,
    bands: Path,
) -> None:
    """Write learning_curve.csv, learning_curve_errors.csv and learning_curve_bands.csv.

    Intervals are at 90 %; a `_low` and `_high` bound them.

    Columns of learning_curve.csv, a row per optimizer and metric
    -------
    optimizer, metric, sizes, n_smallest, n_largest, runs
        What the curve is fitted to; `metric` is one of `METRICS`, of the final model.
    failed, failed_runs
        How many runs were left out, and which (fraction/replicate): not finite, far above the other replicates, or
        failed by test_metrics.csv.
    family, a, b, c, d
        The family of the curve and its parameters, as `learning_curve.families` has them.
    target
        Error to reach; of the crossing point 1 minus the study's target.
    n_required, floor, doubling_gain
        As `learning_curve.LearningCurve` has them.
    left_out_<family>
        Error predicted for the largest size from the smaller ones, over that found.
    certain_gain
        Whether doubling the largest set surely lowers the error, by more than 1 %.
    answered, reasons
        Whether the data can answer, and if not, why.

    Columns of learning_curve_errors.csv, a row per run and metric
    -------
    fraction, replicate, optimizer, metric, n_train, error, failed

    Columns of learning_curve_bands.csv, rows along each curve; none where there are too few sizes for one
    -------
    optimizer, metric, n, error, error_low, error_high

    Parameters
    ----------
    runs, test_losses : Path
        runs.csv and test_losses.csv.
    test_metrics : Path or None
        test_metrics.csv; without it only the test loss has a curve.
    targets : mapping of str to float
        By metric; that of the crossing point is the crossing point itself.
    curves, errors, bands : Path
        Files written.

    Raises
    ------
    ValueError
        If a table lacks a column, or a target is of no metric.
    """
    found = fit_all(read_errors(runs, test_losses, test_metrics), targets)
    for table, path in ((found.curves, curves), (found.errors, errors), (found.bands, bands)):
        tables.write(table, path)


def read_errors(runs: Path, test_losses: Path, test_metrics: Path | None) -> pd.DataFrame:
    """Read the errors of all runs.

    Parameters
    ----------
    runs, test_losses, test_metrics
        As `write` takes them.

    Returns
    -------
    DataFrame
        A row per run and metric: `fraction`, `replicate`, `optimizer`, `metric`, `n_train`, `error`, and `failed` from
        test_metrics.csv.
    """
    sizes = tables.read(runs)[[*tables.RUN_KEYS, "n_train"]]
    wide = sizes.merge(read_test_losses(test_losses), how="left", on=tables.RUN_KEYS)
    wide["test_loss"] = wide["test_loss_final"]
    wide = wide.merge(_read_metrics(test_metrics), how="left", on=tables.RUN_KEYS)
    wide["failed"] = wide["failed"].eq(True)
    wide["crossing"] = 1 - wide["crossing"]
    known = [metric for metric in METRICS if test_metrics is not None or metric == "test_loss"]
    keys = [*tables.RUN_KEYS, "n_train", "failed"]
    errors = wide.melt(keys, known, var_name="metric", value_name="error")
    return errors[[*tables.RUN_KEYS, "metric", "n_train", "error", "failed"]]


def _read_metrics(path: Path | None) -> pd.DataFrame:
    """Read crossing points and scatters of final models, of all test spectra and one line."""
    columns = [*tables.RUN_KEYS, "crossing", "sigma_dv", "failed"]
    if path is None:
        types: dict[str, type] = {
            "optimizer": str,
            "fraction": float,
            "replicate": int,
            "crossing": float,
            "sigma_dv": float,
        }
        return pd.DataFrame(columns=columns).astype(types)
    table = tables.read(path)
    needed = [*columns, "model", "n_detect", "sample"]
    if missing := [name for name in needed if name not in table]:
        raise ValueError(f"{path}: expected the columns {', '.join(needed)}, found no {', '.join(missing)}")
    main = (table["model"] == _MODEL) & (table["n_detect"] == _LINES) & (table["sample"] == _SAMPLE)
    rows = table[main]
    if rows.duplicated(tables.RUN_KEYS).any():
        raise ValueError(f"{path}: expected one row per run of model {_MODEL} and sample {_SAMPLE}, found two")
    return rows[columns]


def fit_all(errors: pd.DataFrame, targets: Mapping[str, float]) -> Tables:
    """Fit a curve to each metric of each optimizer.

    Parameters
    ----------
    errors : DataFrame
        The table of `read_errors`.
    targets : mapping of str to float
        As `write` takes them.

    Raises
    ------
    ValueError
        If a target is of no metric, or a crossing point to reach is not below 1.
    """
    aims = _errors_to_reach(targets)
    rows, bands, judged = [], [], []
    for key, group in errors.groupby(["optimizer", "metric"], sort=False):
        optimizer, metric = map(str, key)
        keys = {"optimizer": optimizer, "metric": metric}
        curve, problem = _fit(group, aims.get(metric))
        failed = group["failed"].to_numpy(bool) | ~np.isfinite(group["error"].to_numpy())
        if curve is not None:
            failed[~failed] = curve.failed
            if curve.family != BASELINE:  # there are too few sizes for any curve
                bands.append(_band(curve).assign(**keys))
        judged.append(group.assign(failed=failed))
        rows.append({**keys, **_row(group, failed, curve, problem, aims.get(metric, np.nan))})
    order = ["optimizer", "metric", "n", "error", "error_low", "error_high"]
    along = pd.concat(bands)[order] if bands else pd.DataFrame(columns=order)
    return Tables(pd.DataFrame(rows).reindex(columns=list(_columns())), pd.concat(judged), along)


def _errors_to_reach(targets: Mapping[str, float]) -> dict[str, float]:
    if unknown := sorted(set(targets) - set(METRICS)):
        raise ValueError(f"learning_curve.targets: expected {', '.join(METRICS)}, found {', '.join(unknown)}")
    aims = {metric: 1 - value if metric == "crossing" else value for metric, value in targets.items()}
    for metric, aim in aims.items():
        if not aim > 0:
            expected = "below 1" if metric == "crossing" else "above 0"
            raise ValueError(f"learning_curve.targets.{metric}: expected a value {expected}, found {targets[metric]}")
    return aims


def _fit(group: pd.DataFrame, target: float | None) -> tuple[LearningCurve | None, str]:
    """Fit a curve to the runs that have an error; return it and why there is none."""
    known = group[~group["failed"] & np.isfinite(group["error"])]
    if known.empty:
        return None, "no run has this error"
    if (known["error"] <= 0).any():
        count = int((known["error"] <= 0).sum())
        return None, f"{count} runs have no error at all, the test set is too small to tell them apart"
    return fit(known["n_train"].to_numpy(), known["error"].to_numpy(), target), ""


def _row(
    group: pd.DataFrame, failed: np.ndarray, curve: LearningCurve | None, problem: str, target: float
) -> dict[str, Any]:
    used = group[~failed]
    lost = group[failed]
    row: dict[str, Any] = {
        "sizes": used["n_train"].nunique(), "n_smallest": used["n_train"].min(), "n_largest": used["n_train"].max(),
        "runs": len(used), "failed": len(lost), "target": target, "answered": curve is not None and not curve.reasons,
        "failed_runs": " ".join(f"{f:g}/{r}" for f, r in zip(lost["fraction"], lost["replicate"], strict=True)),
        "reasons": problem, "certain_gain": False,
    }  # fmt: skip
    if curve is None:
        return row
    row |= {"reasons": "; ".join(curve.reasons), "certain_gain": curve.certain_gain}
    intervals = (curve.interval, curve.floor_interval, curve.doubling_gain_interval)
    for name, (low, high) in zip(_ESTIMATES, intervals, strict=True):
        row |= {name: getattr(curve, name), f"{name}_low": low, f"{name}_high": high}
    ratios = {f"left_out_{family}": ratio for family, ratio in curve.left_out.items()}
    return row | {"family": curve.family} | dict(curve.parameters) | ratios


def _columns() -> Iterator[str]:
    yield from ("optimizer", "metric", "sizes", "n_smallest", "n_largest", "runs", "failed", "failed_runs")
    yield from ("target", "answered", "reasons")
    for name in _ESTIMATES:
        yield from (name, f"{name}_low", f"{name}_high")
    yield from ("certain_gain", "family", *_PARAMETERS)
    yield from (f"left_out_{family}" for family in (BASELINE, *FAMILIES))


def _band(curve: LearningCurve) -> pd.DataFrame:
    n = np.geomspace(curve.sizes[0], _FARTHER * curve.sizes[-1], _BAND_POINTS)
    low, high = curve.band(n)
    return pd.DataFrame({"n": n, "error": curve.predict(n), "error_low": low, "error_high": high})
