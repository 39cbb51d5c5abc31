"""Has a run converged, and should one be concerned? A row per run, with 95 % intervals that honour autocorrelation.

The losses of successive epochs are correlated, so n of them are worth fewer than n independent values. Every interval
here counts an effective number of values. Sustained spikes and their wakes are left out of the changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis import stopping, tables
from quasarcurves.analysis.metrics.description import LOSS
from quasarcurves.analysis.spikes.wakes import masked_epochs, read_sustained
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.training.history import History

MATTERS = 1.1
"""Losses that differ by a smaller factor are as good as the same, of two models or over a quarter of a run."""

STILL_FALLING = "still falling"
"""Verdict on a loss that surely falls."""

STOP_CHANCE = 0.05
"""A larger chance to stop at a worse model is a concern."""

TEST_MODELS = ("final", "best")
"""The models that test losses are of: at the end, and the best by the validation set."""

_LATE = 0.2
_QUARTER = 0.25
_BLOCKS = 20
_FEWEST = 6

_WANDERING = 12.0
"""A line through a random walk changes by more than so many standard deviations of its residuals in under 5 % of walks.

Simulated, for 6 to 20 blocks: by more than 8.7 to 9.7 in 5 %. The rest is for the choice of the narrower interval.
"""


def write(histories: Path, spikes: Path, test_losses: Path | None, comparisons: Path | None, path: Path) -> None:
    """Write convergence.csv, a row per run.

    Columns
    -------
    fraction, replicate, optimizer, n_train, epochs, diverged, diverged_step
        The run, and whether and where its loss became infinite or NaN. If it did, `convergence` says `diverged`, and
        the columns about the last epochs are empty.
    epoch_best
        Epoch of the model kept as the best, from 1: of the lowest validation loss, or as `training.best` says.
    test_loss_final, test_loss_best
        Test loss of the model at the end and of that at `epoch_best`; empty where not known.
    val_loss_late
        Mean of the validation losses computed in the last 20 % of epochs, `validations_late` of them.
    stop_chance_val, stop_chance_train, each with _low and _high
        Chance that a stop at a random one of the last 20 % of epochs ends at a model whose loss is more than 10 % above
        their median: by the validation loss where computed, and by the training loss of every epoch. Epochs that are
        worse because the loss still falls count as well as those in spikes.
    stop_late_worse, stop_late_epochs
        The first of these chances (the second without validation) as counts: so many models are worse, of so many.
    change_train, change_val, each with _low and _high
        Loss at the end of the last quarter of the run over that at its beginning, along a straight line through the
        running median of the log loss, without epochs in sustained spikes and their wakes (`wakes.masked_epochs`).
        Below 1: the loss falls. Empty if fewer than 6 values are left.
    masked_late
        Epochs of the last quarter that are left out so.
    convergence, convergence_val
        Verdict on the two: `converged` if the interval is between 1/1.1 and 1.1, else `still falling` or `rising` if
        it does not hold 1, else `cannot say`.
    best_better, best_worse, best_open
        Metrics of the test set by which the best model is certainly better than the final one, is certainly worse, or
        that cannot tell, by stopping.csv, joined by `, `. The loss is none of them.
    concern
        What there is to be concerned about, joined by `; `, as `concerns` has it.

    Parameters
    ----------
    histories : Path
        HDF5 file of all runs.
    spikes : Path
        spikes.csv.
    test_losses : Path or None
        CSV file as `read_test_losses` takes it, if there is one.
    comparisons : Path or None
        stopping.csv, if there is one.
    path : Path
        File written.
    """
    sustained = read_sustained(spikes)
    rows = [_of_run(history, sustained) for history in tables.by_run(histories)]
    runs = pd.DataFrame(rows).merge(read_test_losses(test_losses), how="left", on=tables.RUN_KEYS)
    compared, metrics = read_comparisons(comparisons)
    runs = runs.merge(compared, how="left", on=tables.RUN_KEYS)
    # a run that was never compared is open in all
    runs["best_open"] = runs["best_open"].fillna(", ".join(metrics) or "all")
    runs = runs.fillna({"best_better": "", "best_worse": ""})
    runs["concern"] = ["; ".join(concerns(row)) for row in tables.records(runs)]
    tables.write(runs, path)


def read_test_losses(path: Path | None) -> pd.DataFrame:
    """Read the test losses of runs: a row per run, columns test_loss_final and test_loss_best beside the run's keys.

    Parameters
    ----------
    path : Path or None
        CSV file with columns fraction, replicate, optimizer, model (final or best) and test_loss. Without one no run
        has a test loss.

    Raises
    ------
    ValueError
        If a column is missing, a model has another name, or a run has two losses of one model.
    """
    names = {model: f"test_loss_{model}" for model in TEST_MODELS}
    if path is None:
        return pd.DataFrame(columns=[*tables.RUN_KEYS, *names.values()]).astype(_TYPES)
    losses = tables.read(path)
    needed = [*tables.RUN_KEYS, "model", "test_loss"]
    if missing := [name for name in needed if name not in losses]:
        raise ValueError(f"{path}: expected the columns {', '.join(needed)}, found no {', '.join(missing)}")
    if unknown := sorted(set(losses["model"].astype(str)) - set(TEST_MODELS)):
        raise ValueError(f"{path}: expected the models {' and '.join(TEST_MODELS)}, found {', '.join(unknown)}")
    twice = losses[losses.duplicated([*tables.RUN_KEYS, "model"])]
    if len(twice):
        row = twice.iloc[0][[*tables.RUN_KEYS, "model"]].to_dict()
        raise ValueError(f"{path}: expected one test loss per run and model, found two of {row}")
    wide = losses.pivot(index=tables.RUN_KEYS, columns="model", values="test_loss").reindex(columns=TEST_MODELS)
    return wide.rename(columns=names).rename_axis(columns=None).reset_index()


def read_comparisons(path: Path | None) -> tuple[pd.DataFrame, list[str]]:
    """Read what stopping.csv says of each run, as the columns best_better, best_worse and best_open of `write`.

    Returns
    -------
    table : DataFrame
    metrics : list of str
        Those that the concern about the final model goes by: a loss is no reason to stop.

    Raises
    ------
    ValueError
        If a column is missing, or a verdict is not known.
    """
    verdicts = {"best_better": stopping.BETTER, "best_worse": stopping.WORSE, "best_open": stopping.OPEN}
    if path is None:
        none = pd.DataFrame(columns=[*tables.RUN_KEYS, *verdicts])
        return none.astype(_KEY_TYPES | dict.fromkeys(verdicts, str)), []
    table = tables.read(path)
    needed = [*tables.RUN_KEYS, "metric", "verdict"]
    if missing := [name for name in needed if name not in table]:
        raise ValueError(f"{path}: expected the columns {', '.join(needed)}, found no {', '.join(missing)}")
    known = (*verdicts.values(), stopping.SAME)
    if unknown := sorted(set(table["verdict"].astype(str)) - set(known)):
        raise ValueError(f"{path}: expected the verdicts {', '.join(known)}, found {', '.join(unknown)}")
    told = table[table["metric"] != LOSS]
    rows = [
        dict(zip(tables.RUN_KEYS, key, strict=True))
        | {name: ", ".join(run.loc[run["verdict"] == verdict, "metric"]) for name, verdict in verdicts.items()}
        for key, run in told.groupby(tables.RUN_KEYS, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*tables.RUN_KEYS, *verdicts]), list(told["metric"].unique())


_KEY_TYPES: dict[str, type] = {"optimizer": str, "fraction": float, "replicate": int}
_TYPES = _KEY_TYPES | dict.fromkeys(("test_loss_final", "test_loss_best"), float)


def effective_size(values: np.ndarray) -> float:
    """Return the number of independent values whose mean is as uncertain as that of autocorrelated values.

    n / (1 + 2 sum of autocorrelations), summed by Geyer's initial positive sequence (Geyer 1992, Stat. Sci. 7, 473,
    section 3.3): pairs of neighbouring lags are added while their sum is positive.

    Parameters
    ----------
    values : (n,) array

    Returns
    -------
    float
        From 1 to n; n if all values are the same.
    """
    values = np.asarray(values, float)
    n, centred = len(values), values - np.mean(values)
    if n < 2 or not np.any(np.abs(centred) > 1e-12 * np.abs(values).max()):
        return float(n)
    correlation = np.correlate(centred, centred, "full")[n - 1 :] / (centred @ centred)
    pairs = correlation[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    positive = pairs[: int(np.argmax(pairs <= 0))] if (pairs <= 0).any() else pairs
    return float(np.clip(n / max(2 * positive.sum() - 1, 1e-9), 1, n))


def stop_chance(loss: np.ndarray, memory: float = 1.0) -> tuple[float, float, float]:
    """Chance that a random one of the models is worse than their median, with its interval.

    The interval is Jeffreys' for a binomial share (Brown, Cai & DasGupta 2001, Stat. Sci. 16, 101, section 3.1.2), over
    the effective number of values: that of the worse ones, or of the log losses if none or all are worse. It covers the
    truth in at least 95 % of cases, but in only 83 % to 86 % where neighbours are correlated by 0.9.

    Parameters
    ----------
    loss : (n,) array
        Losses of the models that training might have stopped at; only finite and positive losses count.
    memory : float
        Values that a spike is known to last: so many count as one at most. Where none of the losses lies in a spike,
        they do not show themselves that such values come together.

    Returns
    -------
    chance, low, high : float
        NaN without a loss.
    """
    loss = _usable(loss)
    if not len(loss):
        return float("nan"), float("nan"), float("nan")
    worse = loss > MATTERS * np.median(loss)
    share = float(worse.mean())
    n = min(effective_size(worse if 0 < share < 1 else np.log(loss)), max(len(loss) / memory, 1.0))
    chances = scipy.stats.beta(share * n + 0.5, (1 - share) * n + 0.5)
    low, high = float(chances.ppf(ALPHA / 2)), float(chances.ppf(1 - ALPHA / 2))
    return share, low if share > 0 else 0.0, high if share < 1 else 1.0


def _usable(loss: np.ndarray) -> np.ndarray:
    loss = np.asarray(loss, float)
    return loss[np.isfinite(loss) & (loss > 0)]


def trend(loss: np.ndarray, length: int) -> tuple[float, float, float]:
    """Factor by which a loss changes over a stretch of training, spikes aside.

    The running median of the log loss is taken where its windows do not overlap: in up to 20 blocks. A straight line is
    fitted to it, and its interval taken with the effective number of blocks that the lag-1 autocorrelation of the
    residuals leaves, in the standard error and in the degrees of freedom (Santer et al. 2000, J. Geophys. Res. 105,
    7337, eqs. 3-6). After a line is fitted, that autocorrelation comes out too small by about (2 + 4 rho)/n (Marriott &
    Pope 1954, Biometrika 41, 390, extended to a line), which is corrected. A loss that falls along a smooth curve
    leaves residuals that are one long wave, and no independent blocks. It has an interval nevertheless: none is wider
    than one that holds even for a random walk, as in tests of trends that are robust to a unit root (Vogelsang 1998,
    Econometrica 66, 123).

    Parameters
    ----------
    loss : (n,) array
        Evenly spaced over the stretch; only finite and positive losses count.
    length : int
        Places of `loss` that the change is over.

    Returns
    -------
    ratio, low, high : float
        exp(slope * length). NaN for fewer than 6 values.
    """
    places = np.flatnonzero(np.isfinite(loss) & (np.asarray(loss) > 0))
    if len(places) < _FEWEST:
        return float("nan"), float("nan"), float("nan")
    blocks = np.array_split(places, min(_BLOCKS, len(places)))
    x = np.array([block.mean() for block in blocks])
    y = np.array([np.median(np.log(np.asarray(loss, float)[block])) for block in blocks])
    fit = scipy.stats.linregress(x, y)
    residuals = y - fit.intercept - fit.slope * x
    n = _effective_blocks(residuals)
    # valid for any autocorrelation, so a curve too smooth to count its independent blocks is still judged
    reach = _WANDERING * np.sqrt(residuals @ residuals / (len(y) - 2)) / (x[-1] - x[0])
    if n > 2:
        error = fit.stderr * np.sqrt((len(y) - 2) / (n - 2))
        reach = min(reach, scipy.stats.t.isf(ALPHA / 2, n - 2) * error)
    # e^700 is near the largest float; so wide an interval tells nothing anyway
    ratio, low, high = np.exp(np.clip((fit.slope + np.array([0, -reach, reach])) * length, -700, 700))
    return float(ratio), float(low), float(high)


def _effective_blocks(residuals: np.ndarray) -> float:
    """Effective number of residuals of a straight line; negative autocorrelation counts as none."""
    n, square = len(residuals), float(residuals @ residuals)
    if square < 1e-20 * n:
        return float(n)
    found = float(residuals[1:] @ residuals[:-1]) / square
    correlation = (n * found + 2) / (n - 4)
    return n * (1 - correlation) / (1 + correlation) if correlation > 0 else float(n)


def judge(low: float, high: float) -> str:
    """Judge a change by its interval: converged, still falling, rising, or cannot say."""
    if low > 1 / MATTERS and high < MATTERS:
        return "converged"
    if high < 1:
        return STILL_FALLING
    return "rising" if low > 1 else "cannot say"


def concerns(run: Mapping[str, Any]) -> list[str]:
    """List the concerns about a run.

    Parameters
    ----------
    run : mapping
        A row of convergence.csv.

    Returns
    -------
    list of str
        `diverged`; `training loss still falling` or `rising`; `validation loss rising`; `depends on when it stops`: the
        chance of a worse model is certainly above 5 %, by the validation loss (training loss if none was computed);
        `worse than its best`: by some metric of the test set the best model is certainly better than the final one, by
        none certainly worse. The test loss does not count. If nothing applies: `none`, or `cannot say` if the
        convergence, the chance or some metric is not known well enough.
    """
    if run["diverged"]:
        return ["diverged"]
    validated = np.isfinite(run["stop_chance_val"])
    low, high = (run[f"stop_chance_{'val' if validated else 'train'}{end}"] for end in ("_low", "_high"))
    rules = {
        f"training loss {run['convergence']}": run["convergence"] in (STILL_FALLING, "rising"),
        "validation loss rising": run["convergence_val"] == "rising",
        "depends on when it stops": low > STOP_CHANCE,
        "worse than its best": bool(run["best_better"]) and not run["best_worse"],
    }
    known = run["convergence"] == "converged" and high <= STOP_CHANCE and not run["best_open"]
    return [reason for reason, holds in rules.items() if holds] or ["none" if known else "cannot say"]


def _of_run(history: History, sustained: pd.DataFrame) -> dict[str, Any]:
    outcome, loss = history.params["outcome"], np.asarray(history.epochs["loss"], float)
    val_loss = np.asarray(history.epochs["val_loss"], float)
    row = {key: history.params[key] for key in tables.RUN_KEYS}
    row |= {key: outcome[key] for key in ("n_train", "epochs", "diverged", "diverged_step")}
    row["epoch_best"] = tables.best_epoch(history) or len(loss)
    if outcome["diverged"]:  # the epochs before it diverged tell nothing about its end
        loss, val_loss = loss[:0], val_loss[:0]
    spikes = sustained[np.logical_and.reduce([sustained[key] == row[key] for key in tables.RUN_KEYS])]
    masked = masked_epochs(spikes, len(loss), outcome["steps_per_epoch"])
    return row | late(loss, val_loss) | changes(loss, val_loss, masked, outcome["diverged"])


def late(loss: np.ndarray, val_loss: np.ndarray, memory: float = 1.0) -> dict[str, Any]:
    """Describe the last 20 % of epochs: columns val_loss_late to stop_late_epochs of `write`.

    Parameters
    ----------
    loss, val_loss : (epochs,) arrays
        NaN where not computed.
    memory : float
        Epochs that a spike is known to last (`stop_chance`).
    """
    last = slice(len(loss) - round(_LATE * len(loss)), None)
    validated = val_loss[last][np.isfinite(val_loss[last])]
    row = {"val_loss_late": validated.mean() if len(validated) else np.nan, "validations_late": len(validated)}
    for name, values in (("val", validated), ("train", loss[last])):
        # losses that were computed every few epochs
        own = max(memory * len(values) / max(len(loss[last]), 1), 1.0)
        row |= _with_interval(f"stop_chance_{name}", stop_chance(values, own))
    late_loss = validated if len(validated) else loss[last]
    chance = row["stop_chance_val" if len(validated) else "stop_chance_train"]
    n = _usable(late_loss).size
    return row | {"stop_late_worse": round(chance * n) if n else 0, "stop_late_epochs": n}


def changes(loss: np.ndarray, val_loss: np.ndarray, masked: np.ndarray, diverged: bool) -> dict[str, Any]:
    """Judge the last quarter of a run: columns masked_late, change_... and convergence... of `write`.

    Parameters
    ----------
    loss, val_loss : (epochs,) arrays
        NaN where not computed.
    masked : (epochs,) bool array
        Epochs that do not count, as `wakes.masked_epochs` returns them.
    diverged : bool
    """
    quarter = round(_QUARTER * len(loss))
    last = slice(len(loss) - quarter, None)
    row: dict[str, Any] = {"masked_late": int(masked[last].sum())}
    for name, verdict, values in (("train", "convergence", loss), ("val", "convergence_val", val_loss)):
        change = trend(np.where(masked, np.nan, values)[last], quarter)
        row |= _with_interval(f"change_{name}", change)
        row[verdict] = "diverged" if diverged else judge(*change[1:])
    return row


def _with_interval(name: str, values: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
