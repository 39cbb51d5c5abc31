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
from quasarcurves.analysis.stats.regression import poisson_regression

EVENTS_PER_COVARIATE = 10
"""Fewest spikes for each covariate (Peduzzi et al. 1996, J. Clin. Epidemiol. 49, 1373): fewer mislead."""

MEMORY = 3000.0
"""Steps after which a spike is forgotten: three times 1/(1 - b2) of Adam's default. No spike before counts as this."""

COVARIATES = {
    "effective_step": "log", "loss": "log", "sharpness_share": "as it is", "since_spike": "log, at most 3,000",
    "noise": "as it is",
}  # fmt: skip
"""What is known at a fork, and the scale on which it enters."""

COLUMNS = [
    *GROUP, "covariate", "scale", "runs", "forks", "events", "mean", "sd", "coefficient", "low", "high", "p", "p_holm",
    "dispersion", "reason",
]  # fmt: skip


def fit(outcomes: Outcomes) -> pd.DataFrame:
    """Return a row per optimizer, n_train, learning_rate and covariate, with `COLUMNS`.

    The hazard is exp(own level of the run + sum of coefficient x (covariate - mean) / sd); mean and sd are those over
    forks. With a level of its own for each run, runs may differ at will: coefficients are told within runs. Errors are
    widened by the dispersion of the counts over forks, and intervals are Student's. Forks that are near each other
    share more than their covariates, so a coefficient that barely differs from 0 says little.

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
    levels = pd.get_dummies(table["run"]).to_numpy(float)  # (forks, runs)
    mean, sd = table[names].mean(), table[names].std()
    design = np.hstack([levels, ((table[names] - mean) / sd).to_numpy()])
    fitted = poisson_regression(table["events"].to_numpy(float), design, np.log(table["exposure"].to_numpy(float)))
    spread = max(1.0, fitted.dispersion)
    errors = np.sqrt(spread * np.diag(fitted.covariance))[-len(names) :]
    reach = scipy.stats.t.isf(ALPHA / 2, fitted.freedom)
    return {
        name: {
            "mean": mean[name], "sd": sd[name], "coefficient": value, "low": value - reach * error,
            "high": value + reach * error, "p": 2 * scipy.stats.t.sf(abs(value) / error, fitted.freedom),
            "dispersion": fitted.dispersion,
        }
        for name, value, error in zip(names, fitted.coefficients[-len(names) :], errors, strict=True)
    }  # fmt: skip
