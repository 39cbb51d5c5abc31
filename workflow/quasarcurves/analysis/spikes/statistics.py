"""Statistics of the spikes of a run, with intervals, and whether spikes follow steps or epochs over many runs.

All intervals are at 95 %. Those of a single run hold within that run: they say nothing about how far runs differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis import tables
from quasarcurves.analysis.spikes.finding import loss_ratio, olmo_spike_score
from quasarcurves.analysis.spikes.splitting import OUTLIER, SUSTAINED
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.rates import poisson_interval, weighted_poisson_interval
from quasarcurves.analysis.stats.regression import PoissonFit, poisson_regression

SHUFFLES = 499
"""Random placements of the spikes in the test of regularity."""

_PERMUTATIONS = 1999


def median_interval(values: np.ndarray | Sequence[float]) -> tuple[float, float]:
    """Interval of a median between two of the values, whatever their distribution; NaN if they are fewer than 6."""
    ordered = np.sort(np.asarray(values, float))
    rank = int(scipy.stats.binom.ppf(ALPHA / 2, len(ordered), 0.5))
    # the interval from the rank-th to the rank-th last value (from 1) covers with P(rank <= below <= n - rank)
    while rank > 0 and scipy.stats.binom.cdf(rank - 1, len(ordered), 0.5) > ALPHA / 2:
        rank -= 1
    return (float(ordered[rank - 1]), float(ordered[-rank])) if rank > 0 else (float("nan"), float("nan"))


def variation_interval(spacings: np.ndarray) -> tuple[float, float]:
    """Interval of the coefficient of variation of spacings that follow a gamma distribution.

    For a shape k, 2 n k ln(arithmetic / geometric mean) / (1 + (1 + 1/n) / (6 k)) is very nearly chi squared with
    n - 1 degrees of freedom (Bartlett's correction); the coefficient of variation is 1/sqrt(k).
    """
    spacings = np.asarray(spacings, float)
    n = len(spacings)
    spread = np.log(spacings.mean()) - np.log(spacings).mean() if n > 1 and spacings.min() > 0 else 0.0
    if spread <= 0:
        return float("nan"), float("nan")
    bounds = scipy.stats.chi2.ppf([1 - ALPHA / 2, ALPHA / 2], n - 1) / (2 * n * spread)
    shapes = (bounds + np.sqrt(bounds**2 + 4 * bounds * (1 + 1 / n) / 6)) / 2
    seen = _variation(spacings)
    # spacings that follow another distribution may lie outside
    return float(min(1 / np.sqrt(shapes[0]), seen)), float(max(1 / np.sqrt(shapes[1]), seen))


def regularity(onsets: np.ndarray, durations: np.ndarray, rng: np.random.Generator) -> float:
    """Probability that spikes placed at random without overlap are as evenly spaced; NaN for fewer than 4.

    No spike begins within another one, which alone looks regular. They are placed between the first and the last: where
    most come late in training, they are closer together than over all of it. The measure is the coefficient of
    variation of the spacings. Of 10 spikes whose spacings vary by 30 % it finds 99 %, whether each spike restarts a
    clock or all keep time with one; the highest peak of a periodogram finds 12 to 15 %.

    Parameters
    ----------
    onsets, durations : (n,) array
        In steps or epochs.
    rng : Generator
    """
    if len(onsets) < 4:
        return float("nan")
    seen = _variation(np.diff(onsets))
    spacings = _thrown(durations[:-1], float(onsets[-1] - onsets[0]), rng, SHUFFLES)
    chance = spacings.std(axis=1, ddof=1) / spacings.mean(axis=1)
    return float((1 + np.sum(chance <= seen)) / (1 + SHUFFLES))


def _thrown(durations: np.ndarray, t: float, rng: np.random.Generator, times: int) -> np.ndarray:
    """Draw spacings (times, n) of sum t: those durations in random order, and free time as by chance after each.

    At a constant rate the gaps are exponential; given their sum they are uniform on the simplex.
    """
    durations = rng.permuted(np.tile(durations, (times, 1)), axis=1)
    gaps = rng.dirichlet(np.ones(durations.shape[1]), times)
    return durations + max(t - durations[0].sum(), 1) * gaps


def _variation(spacings: np.ndarray) -> float:
    return float(np.std(spacings, ddof=1) / np.mean(spacings)) if len(spacings) > 1 else float("nan")


def describe(spikes: pd.DataFrame, loss: np.ndarray, steps_per_point: float, steps_per_epoch: float) -> dict[str, Any]:
    """Statistics of one run's spikes.

    Parameters
    ----------
    spikes : DataFrame
        The table of `find_spikes`.
    loss : (t,) array
        The loss that was searched.
    steps_per_point : float
        Steps per value of the loss: 1, or those of an epoch.
    steps_per_epoch : float

    Returns
    -------
    dict
        `spikes` counts the sustained ones, which all else is of; `outliers` counts the others. Names ending in `_low`
        and `_high` bound the 95 % interval, within this run (`within_run`). `recovery` and `spacing` are in units of
        the loss: epochs or steps. `share_in_spike`: of the time. `end_over_best`: last loss over the lowest.
    """
    outliers = int((spikes["kind"] == OUTLIER).sum())
    spikes = spikes[spikes["kind"] == SUSTAINED]
    finite = np.isfinite(loss)
    t, onsets = int(finite.sum()), spikes["onset"].to_numpy(float)
    durations = spikes["end"].fillna(len(loss)).to_numpy(float) - onsets
    steps, rng = t * steps_per_point, np.random.default_rng(0)
    row: dict[str, Any] = {"points": t, "steps": steps, "spikes": len(spikes), "outliers": outliers}
    row |= {"never_back": int(spikes["end"].isna().sum()), "within_run": True}
    for unit, size in (("epoch", steps_per_epoch), ("1000_steps", 1000.0)):
        exposure = max(steps, 1) / size
        row |= _with_interval(f"per_{unit}", len(spikes) / exposure, poisson_interval(len(spikes), exposure))
    spacings = np.diff(onsets)
    for name, values in (
        ("height", spikes["height_ratio"].to_numpy()),
        ("recovery", spikes["recovery"].dropna().to_numpy()),
        ("spacing", spacings),
    ):
        row |= _with_interval(name, float(np.median(values)) if len(values) else np.nan, median_interval(values))
    row |= _with_interval("spacing_cv", _variation(spacings), variation_interval(spacings))
    row["regularity_p"] = regularity(onsets, durations, rng)
    share = durations.sum() / max(t, 1)
    row |= _with_interval("share_in_spike", share, weighted_poisson_interval(durations, max(t, 1)))
    return row | _other_measures(np.asarray(loss)[finite])


def _with_interval(name: str, value: float, interval: tuple[float, float]) -> dict[str, float]:
    return {name: value, f"{name}_low": interval[0], f"{name}_high": interval[1]}


def _other_measures(loss: np.ndarray) -> dict[str, float]:
    """Measures of other work, for comparison."""
    score, ratio = olmo_spike_score(loss), loss_ratio(loss)
    return {
        "end_over_best": float(loss[-1]) / float(loss.min()) if len(loss) else np.nan,
        "olmo_spike_score": score,
        "share_above_1.2": float(np.mean(ratio > 1.2)) if len(loss) else np.nan,
        "share_above_1.5": float(np.mean(ratio > 1.5)) if len(loss) else np.nan,
    }


def time_at_risk(onsets: np.ndarray, ends: np.ndarray, t: int) -> tuple[np.ndarray, float]:
    """Return onsets and length of a run in time at risk, which leaves out spikes: none begins within another.

    How long a spike lasts depends on the optimizer. If that time counted, spikes would look rarer per epoch where
    epochs are short.

    Parameters
    ----------
    onsets, ends : (n,) array
        Where each begins and is over, in order; NaN where one is never over.
    t : int
        Length of the run, in the same unit.

    Returns
    -------
    onsets : (n,) array
        Time outside of spikes before each.
    length : float
        Time outside of spikes of the whole run.
    """
    onsets = np.asarray(onsets, float)
    until = np.fmin(ends, np.append(onsets, t)[1:])
    lasted = np.cumsum(np.append(0.0, until - onsets))
    return onsets - lasted[:-1], float(t - lasted[-1])


def locking(
    runs: pd.DataFrame,
    onsets: Sequence[np.ndarray],
    covariates: Sequence[str] = ("steps_per_epoch", "n_train"),
    nuisance: Sequence[str] = (),
) -> dict[str, Any]:
    """Test whether spikes follow steps, epochs or neither, over runs of one optimizer.

    If spikes follow steps, runs have the same rate at the same step, however it changes in the course of training. So
    runs are compared over the steps that all of them have. If spikes follow epochs, the same holds for epochs. Where
    runs have other lengths than these, a rate that changes in time would look like one that depends on the size. Each
    null is tested by permuting the counts of runs, so that it does not matter how far runs differ.

    log(spikes per step) = a + b log(steps per epoch) + c log(number of examples) + ...: spikes locked to steps have all
    slopes 0. At one batch size the covariates are collinear: one that those before it determine is left out, and a
    dependence on the number of examples looks like one on epochs.

    Parameters
    ----------
    runs : DataFrame
        A row per run: `steps` and the covariates. Replicates are pooled.
    onsets : sequence of arrays
        The steps at which spikes of each run begin.
    covariates : sequence of str
        The first is `steps_per_epoch`; more may follow.
    nuisance : sequence of str
        Covariates that spikes locked to steps or to epochs may depend on as well, such as the optimizer's memory.

    Returns
    -------
    dict
        `spikes`, those of them in the `common_steps` and `common_epochs` of all runs (`spikes_in_common_steps`,
        `spikes_in_common_epochs`), `slope_<covariate>` with intervals (NaN if left out) and `dispersion` over the
        common steps, `steps_p`, `epochs_p` (small: not locked to them), `verdict`: steps, epochs, neither, or
        undecided, and why undecided (`reason`).
    """
    kept = runs["steps"].to_numpy() > 0  # a run that diverged at once has no rate
    onsets = [np.asarray(own, float) for own, keep in zip(onsets, kept, strict=True) if keep]
    runs = runs[kept]
    steps, per_epoch = (runs[name].to_numpy(float) for name in ("steps", "steps_per_epoch"))
    common_steps, common_epochs = (float(length.min(initial=np.inf)) for length in (steps, steps / per_epoch))
    of_steps = _begun_before(onsets, np.full(len(runs), common_steps))
    of_epochs = _begun_before(onsets, common_epochs * per_epoch)
    logs = np.log(runs[list(covariates)].to_numpy(float))
    strata = runs[list(nuisance)].round(6).apply(tuple, axis=1) if nuisance else pd.Series(0, index=runs.index)
    row: dict[str, Any] = {"runs": len(runs), "spikes": int(sum(len(own) for own in onsets))}
    row |= {"common_steps": common_steps, "common_epochs": common_epochs}
    row |= {"spikes_in_common_steps": int(of_steps.sum()), "spikes_in_common_epochs": int(of_epochs.sum())}
    row |= _slopes(runs, of_steps, [*covariates, *nuisance])
    row |= {"steps_p": _equal_p(of_steps, logs, strata), "epochs_p": _equal_p(of_epochs, logs, strata)}
    return row | _verdict(row, one_size=len(runs) == 0 or np.ptp(per_epoch) == 0)


def _begun_before(onsets: Sequence[np.ndarray], ends: np.ndarray) -> np.ndarray:
    return np.array([np.sum(own < end) for own, end in zip(onsets, ends, strict=True)], float)


def _equal_p(counts: np.ndarray, logs: np.ndarray, strata: pd.Series) -> float:
    """Probability by chance that counts of equal exposure depend so much on covariates; NaN where none can.

    The measure is the score of a Poisson regression, the chance that of permutations of the counts within strata.
    """
    columns = pd.DataFrame(logs, index=strata.index)
    centred = (columns - columns.groupby(strata).transform("mean")).to_numpy()  # (n, k)
    if not len(counts) or not counts.sum() or not np.abs(centred[:, 0]).max() > 1e-9:
        return float("nan")
    directions = np.linalg.qr(centred[:, _independent(centred)])[0]
    shuffled, rng = np.tile(counts, (_PERMUTATIONS, 1)), np.random.default_rng(0)
    for _, own in columns.groupby(strata):
        places = columns.index.get_indexer(own.index)
        shuffled[:, places] = rng.permuted(shuffled[:, places], axis=1)
    chance, seen = ((each @ directions) ** 2 @ np.ones(directions.shape[1]) for each in (shuffled, counts))
    # equal counts have a score of 0 but for rounding
    return float((1 + np.sum(chance >= seen * (1 - 1e-9) - 1e-9)) / (1 + _PERMUTATIONS))


def _slopes(runs: pd.DataFrame, counts: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Return how the rate per step depends on covariates, over steps that all runs have, and the counts' dispersion."""
    if not counts.sum():
        return {key: value for name in names for key, value in _slope(name, None, None).items()} | {
            "dispersion": np.nan
        }
    logs = np.log(runs[list(names)].to_numpy(float))
    # centred, so that the intercept is the rate of a typical run
    centred = logs - logs.mean(axis=0)
    kept = _independent(centred)
    design = np.hstack([np.ones((len(runs), 1)), centred[:, kept]])
    fit = poisson_regression(counts, design, np.zeros(len(runs)))
    row: dict[str, float] = {}
    for i, name in enumerate(names):
        row |= _slope(name, fit, kept.index(i) + 1 if 0 in kept and i in kept else None)
    return row | {"dispersion": fit.dispersion}


def _independent(columns: np.ndarray) -> list[int]:
    """Return the indices of the columns that those before do not determine."""
    kept: list[int] = []
    for i in range(columns.shape[1]):
        if np.linalg.matrix_rank(columns[:, [*kept, i]], tol=1e-6) > len(kept):
            kept.append(i)
    return kept


def _slope(name: str, fit: PoissonFit | None, place: int | None) -> dict[str, float]:
    if fit is None or place is None:
        return _with_interval(f"slope_{name}", np.nan, (np.nan, np.nan))
    value = float(fit.coefficients[place])
    reach = scipy.stats.t.isf(ALPHA / 2, fit.freedom) * np.sqrt(fit.covariance[place, place] * max(fit.dispersion, 1))
    # where all runs of one size have no spike, any slope is steep enough
    reach = float("inf") if reach > 100 else float(reach)
    return _with_interval(f"slope_{name}", value, (value - reach, value + reach))


def _verdict(row: Mapping[str, Any], one_size: bool) -> dict[str, str]:
    """Name the hypothesis that remains when the others are rejected, or why none does."""
    reason = ""
    if one_size:
        reason = "all runs have the same number of steps per epoch"
    for unit in ("steps", "epochs"):
        if not reason and np.isnan(row[f"{unit}_p"]):
            length = row[f"common_{unit}"]
            reason = f"no spike begins within the {length:.0f} {unit} that all runs have"
    refused = (row["steps_p"] < ALPHA, row["epochs_p"] < ALPHA)
    if not reason and not any(refused):
        reason = (
            f"neither is refused by {row['spikes_in_common_steps']} spikes in the steps and "
            f"{row['spikes_in_common_epochs']} in the epochs that all {row['runs']} runs have"
        )
    if reason:
        return {"verdict": "undecided", "reason": reason}
    return {"verdict": {(False, True): "steps", (True, False): "epochs"}.get(refused, "neither"), "reason": ""}


def rank_trend(runs: pd.DataFrame, of: str, against: str = "steps_per_epoch") -> tuple[float, float]:
    """Spearman's rank correlation over runs and its probability by chance; NaN with fewer than 4 runs."""
    pairs = runs[[against, of]].dropna()
    if len(pairs) < 4 or (pairs.nunique() < 2).any():
        return float("nan"), float("nan")
    x, y = (scipy.stats.zscore(pairs[name].rank().to_numpy()) for name in (against, of))
    # by permutations: with few runs and ties the usual approximation by t is wrong
    shuffled = np.random.default_rng(0).permuted(np.tile(x, (_PERMUTATIONS, 1)), axis=1)
    chance, seen = np.abs(shuffled @ y), abs(x @ y)
    p = (1 + np.sum(chance >= seen - 1e-9)) / (1 + _PERMUTATIONS)
    return float(x @ y / len(x)), float(p)


def height_trend(runs: pd.DataFrame, against: str = "steps_per_epoch") -> dict[str, float]:
    """Regress the log median height of each run's spikes on the log of a covariate: slope, interval and p of slope 0.

    One value per run, as the spikes of a run are alike. NaN with fewer than 4 runs that have spikes.
    """
    pairs = np.log(runs[[against, "height"]].dropna().to_numpy(float))
    if len(pairs) < 4 or np.ptp(pairs[:, 0]) == 0:
        return _with_interval("slope_height", np.nan, (np.nan, np.nan)) | {"height_p": np.nan}
    fit = scipy.stats.linregress(pairs[:, 0], pairs[:, 1])
    reach = scipy.stats.t.isf(ALPHA / 2, len(pairs) - 2) * fit.stderr
    interval = (float(fit.slope - reach), float(fit.slope + reach))
    return _with_interval("slope_height", float(fit.slope), interval) | {"height_p": float(fit.pvalue)}


def trends(runs: pd.DataFrame, spikes: pd.DataFrame) -> pd.DataFrame:
    """Trends over the runs of each optimizer and scale: a row each.

    Optimizers that differ in batch size or memory alone (their `family` is the same) are also pooled, in a row under
    the name of the family: only they tell steps, epochs, sizes and the optimizer's memory apart.

    Parameters
    ----------
    runs : DataFrame
        A row per run and scale, with the columns of `describe`.
    spikes : DataFrame
        The spikes of these runs, with the run's keys, `scale`, `kind`, `onset` and `end`. Sustained ones count.

    Returns
    -------
    DataFrame
        Of `locking`, in time outside of spikes, with trends of rates and heights over runs.
    """
    keys = [*tables.RUN_KEYS, "scale"]
    of_runs = dict(iter(spikes[spikes["kind"] == SUSTAINED].groupby(keys)))
    at_risk = []
    for row in tables.records(runs):
        own = of_runs.get(tuple(row[key] for key in keys), spikes.iloc[:0])
        onsets, length = time_at_risk(own["onset"].to_numpy(float), own["end"].to_numpy(float), row["points"])
        steps = row["steps_per_epoch"] if row["scale"] == "epoch" else 1
        at_risk.append({"onsets": onsets * steps, "steps": length * steps})
    runs = runs.assign(**pd.DataFrame(at_risk, index=runs.index))
    rows = []
    for (optimizer, scale), group in runs.groupby(["optimizer", "scale"], sort=True):
        rows.append({"optimizer": optimizer, "scale": scale, **_trend(group)})
    for (family, scale), group in runs.groupby(["family", "scale"], sort=True):
        if group["optimizer"].nunique() > 1 and group["memory"].notna().all():
            rows.append({"optimizer": family, "scale": scale, **_trend(group)})
    return pd.DataFrame(rows)


def _trend(runs: pd.DataFrame) -> dict[str, Any]:
    row = locking(runs.fillna({"memory": 1.0}), list(runs["onsets"]), nuisance=("memory",))
    for name in ("per_epoch", "per_1000_steps", "height"):
        row[f"rank_{name}"], row[f"rank_{name}_p"] = rank_trend(runs, name)
    return row | height_trend(runs)
