"""Statistics of the spikes of a run, with intervals, and whether spikes follow steps or epochs over many runs.

All intervals are at 95 %. Runs of several studies are pooled by concatenating their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis.spikes.finding import loss_ratio, olmo_spike_score
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.rates import poisson_interval, weighted_poisson_interval
from quasarcurves.analysis.stats.regression import PoissonFit, likelihood_ratio_p, poisson_regression

SHUFFLES = 499
"""Random placements of the spikes in a test of periodicity."""

_MOST_TESTED = 100
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


def periodicity(onsets: np.ndarray, durations: np.ndarray, t: int, rng: np.random.Generator) -> tuple[float, float]:
    """Period of spikes and the probability that chance makes one as clear.

    The strength of a period is its power in the Lomb-Scargle periodogram of unit spikes,
    |sum exp(2 pi i onset/period)|^2, at its highest between half the mean spacing and half the run. It is compared with
    that of the same spikes placed at random without overlap: no spike begins within another one, which alone looks
    regular.

    Parameters
    ----------
    onsets, durations : (n,) array
        In steps or epochs; the first 100 spikes are used.
    t : int
        Length of the run.
    rng : Generator

    Returns
    -------
    period, p : float
        NaN for fewer than 4 spikes.
    """
    n = min(len(onsets), _MOST_TESTED)
    if n < 4:
        return float("nan"), float("nan")
    span = t if n == len(onsets) else int(onsets[n])
    onsets, durations = np.asarray(onsets, float)[:n], np.asarray(durations, float)[:n]
    frequencies = np.arange(2 / span, 2 * n / span, 0.25 / span)
    powers = _power(onsets, frequencies)
    chance = [_power(_thrown(durations, span, rng), frequencies).max() for _ in range(SHUFFLES)]
    p = (1 + np.sum(np.array(chance) >= powers.max())) / (1 + SHUFFLES)
    return float(1 / frequencies[np.argmax(powers)]), float(p)


def regularity(onsets: np.ndarray, durations: np.ndarray, t: int, rng: np.random.Generator) -> float:
    """Probability that spikes placed at random, as in `periodicity`, are as evenly spaced; NaN for fewer than 4.

    Unlike a period it also finds even spacings whose phase drifts, as if each spike restarted a clock.
    """
    if len(onsets) < 4:
        return float("nan")
    seen = _variation(np.diff(onsets))
    chance = np.array([_variation(np.diff(_thrown(durations, t, rng))) for _ in range(SHUFFLES)])
    return float((1 + np.sum(chance <= seen)) / (1 + SHUFFLES))


def _power(onsets: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    return np.abs(np.exp(2j * np.pi * frequencies[:, None] * onsets).sum(axis=1)) ** 2


def _thrown(durations: np.ndarray, t: float, rng: np.random.Generator) -> np.ndarray:
    """Place spikes in random order at random without overlap; return their onsets."""
    durations = rng.permutation(durations)
    free = max(t - durations.sum(), 1)
    return np.sort(rng.uniform(0, free, len(durations))) + np.cumsum(durations) - durations


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
        Names ending in `_low` and `_high` bound the 95 % interval. `recovery` and `spacing` are in units of the loss:
        epochs or steps. `share_in_spike`: of the time. `end_over_best`: last loss over the lowest.
    """
    finite = np.isfinite(loss)
    t, onsets = int(finite.sum()), spikes["onset"].to_numpy(float)
    durations = spikes["end"].fillna(len(loss)).to_numpy(float) - onsets
    steps, rng = t * steps_per_point, np.random.default_rng(0)
    row: dict[str, Any] = {"points": t, "steps": steps, "spikes": len(spikes)}
    row |= {"never_back": int(spikes["end"].isna().sum())}
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
    row["regularity_p"] = regularity(onsets, durations, t, rng)
    row["period"], row["period_p"] = periodicity(onsets, durations, t, rng)
    share = durations.sum() / max(t, 1)
    row |= _with_interval("share_in_spike", share, weighted_poisson_interval(durations, max(t, 1)))
    return row | _other_measures(np.asarray(loss, float)[finite])


def _with_interval(name: str, value: float, interval: tuple[float, float]) -> dict[str, float]:
    return {name: value, f"{name}_low": interval[0], f"{name}_high": interval[1]}


def _other_measures(loss: np.ndarray) -> dict[str, float]:
    """Measures of other work, for comparison."""
    score, ratio = olmo_spike_score(loss), loss_ratio(loss)
    return {
        "end_over_best": float(loss[-1] / loss.min()) if len(loss) else np.nan,
        "olmo_spike_score": score,
        "share_above_1.2": float(np.mean(ratio > 1.2)) if len(loss) else np.nan,
        "share_above_1.5": float(np.mean(ratio > 1.5)) if len(loss) else np.nan,
    }


def locking(
    runs: pd.DataFrame, covariates: Sequence[str] = ("steps_per_epoch", "n_train"), nuisance: Sequence[str] = ()
) -> dict[str, Any]:
    """Test whether spikes follow steps, epochs or neither (their rate, over runs of one optimizer).

    log(spikes per step) = a + b log(steps per epoch) + c log(number of spectra) + ...: spikes locked to steps have all
    slopes 0, those locked to epochs b = -1 and the others 0. At one batch size the covariates are collinear: one that
    those before it determine is left out, and a dependence on the number of spectra looks like one on epochs.

    Parameters
    ----------
    runs : DataFrame
        A row per run: `spikes`, `steps` and the covariates. Replicates and studies are pooled.
    covariates : sequence of str
        The first is `steps_per_epoch`; more may follow.
    nuisance : sequence of str
        Covariates that spikes locked to steps or to epochs may depend on as well, such as the optimizer's memory.

    Returns
    -------
    dict
        `slope_<covariate>` with intervals (NaN if left out), `steps_p`, `epochs_p` (small: not locked to them),
        `dispersion`, `verdict`: steps, epochs, neither, or undecided.
    """
    names = [*covariates, *nuisance]
    runs = runs[runs["steps"] > 0]  # a run that diverged at once has no rate
    if runs.empty:
        slopes = {key: value for name in names for key, value in _slope(name, None, None).items()}
        unknown = dict.fromkeys(("dispersion", "steps_p", "epochs_p"), float("nan"))
        return {"runs": 0, "spikes": 0, **slopes, **unknown, "verdict": "undecided"}
    logs = np.log(runs[names].to_numpy(float))
    # centred, so that the intercept is the rate of a typical run
    centred = logs - logs.mean(axis=0)
    kept = _independent(centred)
    counts, steps = runs["spikes"].to_numpy(float), np.log(runs["steps"].to_numpy(float))
    one, tested = np.ones((len(runs), 1)), [i for i in kept if i < len(covariates)]
    full = poisson_regression(counts, np.hstack([one, centred[:, kept]]), steps)
    others = np.hstack([one, centred[:, [i for i in kept if i not in tested]]])
    by_steps, by_epochs = (poisson_regression(counts, others, steps - shift) for shift in (0, logs[:, 0]))
    usable, freedom = counts.sum() > 0 and 0 in kept, len(runs) - 1 - len(kept)
    steps_p, epochs_p = (
        likelihood_ratio_p(full, null, len(tested), freedom) if usable else float("nan")
        for null in (by_steps, by_epochs)
    )
    row: dict[str, Any] = {"runs": len(runs), "spikes": int(counts.sum())}
    for i, name in enumerate(names):
        row |= _slope(name, full, kept.index(i) + 1 if usable and i in kept else None)
    verdict = _verdict(steps_p, epochs_p)
    return row | {"dispersion": full.dispersion, "steps_p": steps_p, "epochs_p": epochs_p, "verdict": verdict}


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
    reach = scipy.stats.norm.isf(ALPHA / 2) * np.sqrt(fit.covariance[place, place] * max(fit.dispersion, 1))
    # where all runs of one size have no spike, any slope is steep enough
    reach = float("inf") if reach > 100 else float(reach)
    return _with_interval(f"slope_{name}", value, (value - reach, value + reach))


def _verdict(steps_p: float, epochs_p: float) -> str:
    """Name the hypothesis that remains when the others are rejected."""
    refused = (steps_p < ALPHA, epochs_p < ALPHA)
    return {(False, True): "steps", (True, False): "epochs", (True, True): "neither"}.get(refused, "undecided")


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


def trends(runs: pd.DataFrame) -> pd.DataFrame:
    """Trends over the runs of each optimizer and scale: a row each, from the rows of many runs (see `describe`).

    Optimizers that differ in batch size or memory alone (their `family` is the same) are also pooled, in a row under
    the name of the family: only they tell steps, epochs, spectra and the optimizer's memory apart.
    """
    rows = []
    for (optimizer, scale), group in runs.groupby(["optimizer", "scale"], sort=True):
        rows.append({"optimizer": optimizer, "scale": scale, **_trend(group)})
    for (family, scale), group in runs.groupby(["family", "scale"], sort=True):
        if group["optimizer"].nunique() > 1 and group["memory"].notna().all():
            rows.append({"optimizer": family, "scale": scale, **_trend(group)})
    return pd.DataFrame(rows)


def _trend(runs: pd.DataFrame) -> dict[str, Any]:
    row = locking(runs.fillna({"memory": 1.0}), nuisance=("memory",))
    for name in ("per_epoch", "per_1000_steps", "height"):
        row[f"rank_{name}"], row[f"rank_{name}_p"] = rank_trend(runs, name)
    return row | height_trend(runs)
