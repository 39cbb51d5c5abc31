"""How much training data is enough for every optimizer of a study: learning curves of its test errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis import tables
from quasarcurves.analysis.convergence import STILL_FALLING, read_test_losses
from quasarcurves.analysis.learning_curve import FAMILIES, LearningCurve, fit
from quasarcurves.analysis.learning_curve.collection import Costs, plan
from quasarcurves.analysis.learning_curve.families import BASELINE
from quasarcurves.analysis.metrics.description import LOSS, TEST_LOSS, Description, Metric
from quasarcurves.analysis.stats import LEVEL

_MODEL = "final"
_ENDS = ("", "_low", "_high")
_NO_METRIC = (*tables.RUN_KEYS, "n_train", "model", "sample", "n", "failed", "failed_note")
"""Columns of test_metrics.csv that have an interval beside no metric."""

_PARAMETERS = ("a", "b", "c", "d")
_BAND_POINTS = 60
_FARTHER = 8.0
"""Times the largest size: curves end there."""

NOT_KNOWN = "no run has a known value"
"""Begins why there is no curve where no run has an error."""

_ESTIMATES = {
    "n_required": "interval",
    "floor": "floor_interval",
    "doubling_gain": "doubling_gain_interval",
    "gain_per_doubling": "gain_per_doubling_interval",
    "ratio_seen": "ratio_interval",
}
"""Estimates of a curve, and the names of their intervals."""


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
    convergence: Path | None,
    targets: Mapping[str, float],
    costs: Costs | None,
    curves: Path,
    errors: Path,
    bands: Path,
    description: Description,
) -> None:
    """Write learning_curve.csv, learning_curve_errors.csv and learning_curve_bands.csv.

    Intervals are at 90 %; a `_low` and `_high` bound them.

    Columns of learning_curve.csv, a row per optimizer and metric
    -------
    optimizer, metric, sizes, n_smallest, n_largest, runs
        What the curve is fitted to; `metric` is `test_loss` or a metric of test_metrics.csv, of the final model.
    failed, failed_runs
        How many runs were left out, and which (fraction/replicate): not finite, far above the other replicates, or
        failed by test_metrics.csv.
    family, a, b, c, d
        The family of the curve and its parameters, as `learning_curve.families` has them.
    target, target_given
        Error to reach, and the target as the study has it: of a metric of which more is better the error is 1 minus it.
    n_required, floor, doubling_gain, ratio_seen, gain_per_doubling
        As `learning_curve.LearningCurve` has them; no `n_required` unless `answered`.
    noise, noise_from
        Relative noise of one run of the largest size, and what tells it (the test set by a bootstrap over its objects):
        `replicates`, `replicates and test set`, `test set, assumed between runs`, or `assumed`. QuasarNET's test loss
        has no bootstrap of its own and takes that of the crossing point. With one replicate the noise between runs is
        not seen: 10 % are assumed, beside what the test set tells.
    still_training, runs_still_training
        Whether the training loss of some run used still falls at the end, and of how many: their errors may get lower
        by training on, and the answer moves.
    label_next, label_next_rounds, chance_of_missing
        Where costs are given and `answered`: examples to label next beyond `n_largest`, the same round by round, and
        the chance that the target is missed after the last (see `learning_curve.collection`).
    left_out_<family>
        Error predicted for the largest size from the smaller ones, over that found.
    certain_gain
        Whether doubling the largest set surely lowers the error, by more than 1 %.
    answered, reasons
        Whether the data can answer, and if not, why.

    Columns of learning_curve_errors.csv, a row per run and metric
    -------
    fraction, replicate, optimizer, metric, n_train, error, noise, failed, still_training

    Columns of learning_curve_bands.csv, rows along each curve; none where there are too few sizes for one
    -------
    optimizer, metric, n, error, error_low, error_high

    Parameters
    ----------
    runs, test_losses : Path
        runs.csv and test_losses.csv.
    test_metrics : Path or None
        test_metrics.csv; without it only the test loss has a curve.
    convergence : Path or None
        convergence.csv; without it nothing is said on runs that still train.
    targets : mapping of str to float
        By metric: the value to reach, not its error.
    costs : Costs or None
        Of labels and of a missed target.
    curves, errors, bands : Path
        Files written.
    description : Description
        Of the metrics.

    Raises
    ------
    ValueError
        If a table lacks a column, or a target is of no metric.
    """
    errors_found = read_errors(runs, test_losses, test_metrics, convergence, description=description)
    found = fit_all(errors_found, targets, costs, description=description)
    for table, path in ((found.curves, curves), (found.errors, errors), (found.bands, bands)):
        tables.write(table, path)


def read_errors(
    runs: Path,
    test_losses: Path,
    test_metrics: Path | None,
    convergence: Path | None = None,
    *,
    description: Description,
) -> pd.DataFrame:
    """Read the errors of all runs.

    Parameters
    ----------
    runs, test_losses, test_metrics, convergence, description
        As `write` takes them.

    Returns
    -------
    DataFrame
        A row per run and metric: `fraction`, `replicate`, `optimizer`, `metric`, `n_train`, `error`, `noise` of its
        logarithm from the choice of test objects, `failed` from test_metrics.csv, and `still_training`.
    """
    sizes = tables.read(runs)[[*tables.RUN_KEYS, "n_train"]]
    wide = sizes.merge(read_test_losses(test_losses), how="left", on=tables.RUN_KEYS)
    wide[TEST_LOSS] = wide["test_loss_final"]
    scores, names = _read_metrics(test_metrics, description)
    wide = wide.merge(scores, how="left", on=tables.RUN_KEYS)
    wide["failed"] = wide["failed"].eq(True)
    wide = wide.merge(_read_falling(convergence), how="left", on=tables.RUN_KEYS)
    wide["still_training"] = wide["still_training"].eq(True)
    keys = wide[[*tables.RUN_KEYS, "n_train", "failed", "still_training"]]
    errors = []
    for metric in map(description.metric, description.with_curves([TEST_LOSS, *names])):
        varies_as = (description.loss_varies_as or LOSS) if metric.name == TEST_LOSS else metric.name
        error = metric.error(wide[metric.name].astype(float))
        noise = _noise(wide, description.metric(varies_as)) if varies_as in names else np.nan
        errors.append(keys.assign(metric=metric.name, error=error, noise=noise))
    order = [*tables.RUN_KEYS, "metric", "n_train", "error", "noise", "failed", "still_training"]
    return pd.concat(errors, ignore_index=True)[order]


def _noise(wide: pd.DataFrame, metric: Metric) -> np.ndarray:
    """Return the standard deviation (N,) of the log error, from its interval over test objects; NaN without one."""
    value, *ends = (metric.error(wide[f"{metric.name}{end}"].to_numpy(float)) for end in _ENDS)
    low, high = np.minimum(*ends), np.maximum(*ends)
    normal = scipy.stats.norm.ppf((1 + LEVEL) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        # an interval that ends at no error at all has only its upper half
        both, upper = np.log(high / low) / (2 * normal), np.log(high / value) / normal
    noise = np.where(low > 0, both, upper)
    return np.where(np.isfinite(noise) & (noise > 0), noise, np.nan)


def _read_falling(path: Path | None) -> pd.DataFrame:
    """Read of which runs the training loss still falls."""
    if path is None:
        types: dict[str, type] = {"optimizer": str, "fraction": float, "replicate": int, "still_training": bool}
        return pd.DataFrame(columns=[*tables.RUN_KEYS, "still_training"]).astype(types)
    table = tables.read(path)
    if "convergence" not in table:
        raise ValueError(f"{path}: expected the column convergence, found {', '.join(table.columns)}")
    return table[tables.RUN_KEYS].assign(still_training=table["convergence"] == STILL_FALLING)


def _read_metrics(path: Path | None, description: Description) -> tuple[pd.DataFrame, list[str]]:
    """Read the metrics of final models, of the whole test set; return the names of those that have an interval too."""
    if path is None:
        types: dict[str, type] = {"optimizer": str, "fraction": float, "replicate": int}
        return pd.DataFrame(columns=[*tables.RUN_KEYS, "failed"]).astype(types), []
    table = tables.read(path)
    names = [str(name) for name in table if name not in _NO_METRIC and {f"{name}_low", f"{name}_high"} <= set(table)]
    needed = [*tables.RUN_KEYS, "model", *description.rows]
    needed += [f"{name}{end}" for name in description.curves if name != TEST_LOSS for end in _ENDS]
    if missing := [name for name in needed if name not in table]:
        raise ValueError(f"{path}: expected the columns {', '.join(needed)}, found no {', '.join(missing)}")
    rows = table[table["model"] == _MODEL]
    for column, value in description.rows.items():
        rows = rows[rows[column] == value]
    if rows.duplicated(tables.RUN_KEYS).any():
        raise ValueError(f"{path}: expected one row per run of model {_MODEL} and the whole test set, found two")
    scores = rows[[*tables.RUN_KEYS, *(f"{name}{end}" for name in names for end in _ENDS)]]
    # a task may say nothing of failed runs
    return scores.assign(failed=rows.get("failed", False)), names


def fit_all(
    errors: pd.DataFrame, targets: Mapping[str, float], costs: Costs | None = None, *, description: Description
) -> Tables:
    """Fit a curve to each metric of each optimizer.

    Parameters
    ----------
    errors : DataFrame
        The table of `read_errors`.
    targets, costs, description
        As `write` takes them.

    Raises
    ------
    ValueError
        If a target is of no metric, or its error is not above 0.
    """
    aims = _errors_to_reach(targets, list(description.curves or errors["metric"].unique()), description)
    rows, bands, judged = [], [], []
    for key, group in errors.groupby(["optimizer", "metric"], sort=False):
        optimizer, metric = map(str, key)
        keys = {"optimizer": optimizer, "metric": metric}
        curve, problem = _fit(group, aims.get(metric), description)
        failed = group["failed"].to_numpy(bool) | ~np.isfinite(group["error"].to_numpy())
        if curve is not None:
            failed[~failed] = curve.failed
            if curve.family != BASELINE:  # there are too few sizes for any curve
                bands.append(_band(curve).assign(**keys))
        judged.append(group.assign(failed=failed))
        row = {**keys, "target": aims.get(metric, np.nan), "target_given": targets.get(metric, np.nan)}
        row |= _row(group, failed, curve, problem)
        rows.append(row | _next_labels(row, curve, costs))
    order = ["optimizer", "metric", "n", "error", "error_low", "error_high"]
    along = pd.concat(bands)[order] if bands else pd.DataFrame(columns=order)
    return Tables(pd.DataFrame(rows).reindex(columns=list(_columns())), pd.concat(judged), along)


def _errors_to_reach(
    targets: Mapping[str, float], metrics: Sequence[str], description: Description
) -> dict[str, float]:
    if unknown := sorted(set(targets) - set(metrics)):
        raise ValueError(f"learning_curve.targets: expected {', '.join(metrics)}, found {', '.join(unknown)}")
    aims = {}
    for name, value in targets.items():
        metric = description.metric(name)
        aims[name] = metric.error(value)
        if not aims[name] > 0:
            expected = "above 0" if metric.is_ratio else "below 1"
            raise ValueError(f"learning_curve.targets.{name}: expected a value {expected}, found {value}")
    return aims


def _fit(group: pd.DataFrame, target: float | None, description: Description) -> tuple[LearningCurve | None, str]:
    """Fit a curve to the runs that have an error; return it and why there is none."""
    known = group[~group["failed"] & np.isfinite(group["error"])]
    metric = description.metric(str(group["metric"].iat[0]))
    if known.empty:
        return None, f"{NOT_KNOWN} of the {metric.words}"
    if below := int((known["error"] < 0).sum()):
        return (
            None,
            f"{below} runs have {metric.words} {'below 0' if metric.is_ratio else 'above 1'}, which is no error",
        )
    if count := int((known["error"] == 0).sum()):
        return None, f"{count} runs have no error at all, the test set is too small to tell them apart"
    n, error, noise = (known[name].to_numpy() for name in ("n_train", "error", "noise"))
    return fit(n, error, target, noise=noise, own=metric.error, examples=description.examples), ""


def _row(group: pd.DataFrame, failed: np.ndarray, curve: LearningCurve | None, problem: str) -> dict[str, Any]:
    used, lost = group[~failed], group[failed]
    falling = int(used["still_training"].sum())
    row: dict[str, Any] = {
        "sizes": used["n_train"].nunique(), "n_smallest": used["n_train"].min(), "n_largest": used["n_train"].max(),
        "runs": len(used), "failed": len(lost), "answered": curve is not None and not curve.reasons,
        "failed_runs": " ".join(f"{f:g}/{r}" for f, r in zip(lost["fraction"], lost["replicate"], strict=True)),
        "reasons": problem, "certain_gain": False, "still_training": falling > 0, "runs_still_training": falling,
    }  # fmt: skip
    if curve is None:
        return row
    row |= {"reasons": "; ".join(curve.reasons), "certain_gain": curve.certain_gain}
    row |= {"noise": curve.noise, "noise_from": _noise_from(used)}
    for name, interval in _ESTIMATES.items():
        if name != "n_required" or row["answered"]:
            low, high = getattr(curve, interval)
            row |= {name: getattr(curve, name), f"{name}_low": low, f"{name}_high": high}
    ratios = {f"left_out_{family}": ratio for family, ratio in curve.left_out.items()}
    return row | {"family": curve.family} | dict(curve.parameters) | ratios


def _noise_from(used: pd.DataFrame) -> str:
    """Name what tells the noise."""
    replicated, told = used["n_train"].duplicated().any(), used["noise"].notna().any()
    if replicated:
        return "replicates and test set" if told else "replicates"
    return "test set, assumed between runs" if told else "assumed"


def _next_labels(row: Mapping[str, Any], curve: LearningCurve | None, costs: Costs | None) -> dict[str, Any]:
    """Return how many examples to label next, where the number required is known and costs are given."""
    if costs is None or curve is None or not row["answered"] or not len(curve.required):
        return {}
    found = plan(curve.required, float(row["n_largest"]), costs)
    return {
        "label_next": found.label[0],
        "label_next_rounds": " ".join(f"{each:.0f}" for each in found.label),
        "chance_of_missing": found.chance_of_missing,
    }


def _columns() -> Iterator[str]:
    yield from ("optimizer", "metric", "sizes", "n_smallest", "n_largest", "runs", "failed", "failed_runs")
    yield from ("noise", "noise_from", "still_training", "runs_still_training")
    yield from ("target", "target_given", "answered", "reasons")
    for name in _ESTIMATES:
        yield from (name, f"{name}_low", f"{name}_high")
    yield from ("certain_gain", "label_next", "label_next_rounds", "chance_of_missing", "family", *_PARAMETERS)
    yield from (f"left_out_{family}" for family in (BASELINE, *FAMILIES))


def _band(curve: LearningCurve) -> pd.DataFrame:
    n = np.geomspace(curve.sizes[0], _FARTHER * curve.sizes[-1], _BAND_POINTS)
    low, high = curve.band(n)
    return pd.DataFrame({"n": n, "error": curve.predict(n), "error_low": low, "error_high": high})
