"""What the hazard depends on, of what is known at a fork: a Poisson regression of the spikes of replays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis.replays import AS_IT_IS, GROUP
from quasarcurves.analysis.replays.outcomes import FORK, Outcomes
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.comparisons import holm
from quasarcurves.analysis.stats.regression import PoissonFit, poisson_regression

EVENTS_PER_COVARIATE = 10
"""Fewest spikes for each covariate (Peduzzi et al. 1996, J. Clin. Epidemiol. 49, 1373): fewer mislead."""

MEMORY = 3000.0
"""Steps after which a spike is forgotten: three times 1/(1 - b2) of Adam's default. No spike before counts as this."""

COVARIATES = {
    "effective_step": "log", "loss": "log", "sharpness_share": "as it is", "since_spike": "log, at most 3,000",
    "noise": "as it is",
}  # fmt: skip
"""What is known at a fork, and the scale on which it enters."""

_SHIFTS, _SEED = 200, 20261130
"""Shifts of covariates against spikes, which say how much goes together by chance, and the seed of their drawing."""

COLUMNS = [
    *GROUP, "covariate", "scale", "runs", "forks", "events", "mean", "sd", "coefficient", "low", "high", "p", "p_holm",
    "dispersion", "widening", "reason",
]  # fmt: skip


def fit(outcomes: Outcomes) -> pd.DataFrame:
    """Return a row per optimizer, n_train, learning_rate and covariate, with `COLUMNS`.

    The hazard is exp(own level of the run + sum of coefficient x (covariate - mean) / sd); mean and sd are those over
    forks. With a level of its own for each run, runs may differ at will: coefficients are told within runs. Errors are
    widened by the dispersion of the counts over forks, and intervals are Student's. Forks that are near each other
    share more than their covariates: hazard and covariates both change slowly, and go together by chance more often
    than those of independent forks would. So errors are widened by `widening` too: the root mean square of coefficient
    over error where the covariates of each run are shifted against its spikes, which keeps the memory of both; at
    least 1.

    `reason` says why there is no coefficient: a covariate was not measured or is the same everywhere, or there are
    fewer than `EVENTS_PER_COVARIATE` spikes for each.
    """
    rows: list[dict[str, Any]] = []
    for keys, group in outcomes.groups():
        rows += [keys | row for row in _of_group(_known(group))]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _known(group: Outcomes) -> pd.DataFrame:
    """Return a row per fork with its spikes and exposure as it is, and the covariates on their scales."""
    counts = group.counts()
    own = counts[(counts["arm"] == AS_IT_IS) & (counts["exposure"] > 0)]
    table = own.merge(group.forks.drop_duplicates(FORK)[[*FORK, *COVARIATES]], on=FORK)
    table["since_spike"] = table["since_spike"].fillna(MEMORY).clip(1, MEMORY)
    for name, scale in COVARIATES.items():
        if scale.startswith("log"):
            table[name] = np.log(table[name].where(table[name] > 0))
    return table


def _of_group(table: pd.DataFrame) -> list[dict[str, Any]]:
    reasons = {name: _unfit(table[name]) for name in COVARIATES}
    names = [name for name, reason in reasons.items() if not reason]
    table = table.dropna(subset=names)
    events, needed = table["events"].sum(), EVENTS_PER_COVARIATE * len(names)
    facts = {"runs": table["run"].nunique(), "forks": len(table), "events": events}
    if names and events < needed:
        few = f"{events:g} spikes, fewer than {EVENTS_PER_COVARIATE} for each of {len(names)} covariates"
        reasons |= dict.fromkeys(names, few)
        names = []
    found = _coefficients(table, names) if names else {}
    rows = [
        {"covariate": name, "scale": scale, **facts, "reason": reasons[name], **found.get(name, {"p": np.nan})}
        for name, scale in COVARIATES.items()
    ]
    for row, p in zip(rows, holm(np.array([row["p"] for row in rows], float)), strict=True):
        row["p_holm"] = p
    return rows


def _unfit(values: pd.Series) -> str:
    if values.notna().sum() < max(0.9 * len(values), 2):
        return "not measured"
    return "" if values.std() > 0 else "the same at all forks"


def _coefficients(table: pd.DataFrame, names: list[str]) -> Mapping[str, Mapping[str, float]]:
    table = table.sort_values(FORK)
    mean, sd = table[names].mean(), table[names].std()
    known = ((table[names] - mean) / sd).to_numpy()
    fitted, errors = _fitted(table, known)
    widening = _widening(table, known)
    reach = scipy.stats.t.isf(ALPHA / 2, fitted.freedom)
    return {
        name: {
            "mean": mean[name], "sd": sd[name], "coefficient": value, "low": value - reach * error,
            "high": value + reach * error, "p": 2 * scipy.stats.t.sf(abs(value) / error, fitted.freedom),
            "dispersion": fitted.dispersion, "widening": wider,
        }
        for name, value, error, wider in zip(
            names, fitted.coefficients[-len(names) :], errors * widening, widening, strict=True
        )
    }  # fmt: skip


def _fitted(table: pd.DataFrame, known: np.ndarray) -> tuple[PoissonFit, np.ndarray]:
    """Fit a level of each run, and coefficients of what is known, (forks, covariates); return their errors too."""
    levels = pd.get_dummies(table["run"]).to_numpy(float)  # (forks, runs)
    counts, exposure = table["events"].to_numpy(float), table["exposure"].to_numpy(float)
    fitted = poisson_regression(counts, np.hstack([levels, known]), np.log(exposure))
    return fitted, np.sqrt(max(1.0, fitted.dispersion) * np.diag(fitted.covariance))[-known.shape[1] :]


def _widening(table: pd.DataFrame, known: np.ndarray) -> np.ndarray:
    """Return by how much coefficients scatter more than their errors say where covariates have no effect."""
    rng = np.random.default_rng(_SEED)
    places = list(table.reset_index(drop=True).groupby("run").indices.values())
    squares = np.zeros(known.shape[1])
    for _ in range(_SHIFTS):
        shifted = known.copy()
        for own in places:
            shifted[own] = np.roll(known[own], rng.integers(len(own)), axis=0)
        fitted, errors = _fitted(table, shifted)
        squares += (fitted.coefficients[-len(errors) :] / errors) ** 2
    return np.maximum(1.0, np.sqrt(squares / _SHIFTS))
