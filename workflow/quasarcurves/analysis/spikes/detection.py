"""The spikes of a study as tables: a row per spike, a row per run, a row per optimizer; each per epoch and per step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.spikes.finding import COLUMNS, PER_EPOCH, PER_STEP, SHORTEST, find_spikes
from quasarcurves.analysis.spikes.splitting import OUTLIER, SUSTAINED
from quasarcurves.analysis.spikes.statistics import describe
from quasarcurves.analysis.spikes.statistics import trends as trends_of
from quasarcurves.training import optimizer_traits
from quasarcurves.training.history import History

_RATES = [f"{name}{end}" for name in ("per_epoch", "per_1000_steps", "share_in_spike") for end in ("", "_low", "_high")]


def write(histories: Path, spikes: Path, statistics: Path, trends: Path) -> None:
    """Write the tables of a collection of histories, read one run at a time.

    Parameters
    ----------
    histories : Path
        HDF5 file of all runs.
    spikes, statistics, trends : Path
        CSV files: a row per spike, per run and per optimizer; in each, `scale` says which loss was searched. Rates and
        shares of runs of fewer than `SHORTEST` steps, which are too short to be searched, are empty.
    """
    found, rows = [], []
    for history in tables.by_run(histories):
        for keys, table, row in _of_run(history):
            found.append(table.assign(**keys)[[*keys, *COLUMNS]])
            rows.append(row)
    runs = pd.DataFrame(rows)
    # spikes of runs that have some: an empty table would turn counts into fractions
    some = [table for table in found if len(table)] or found[:1]
    of_runs = pd.concat(some, ignore_index=True)
    tables.write(of_runs, spikes)
    tables.write(runs, statistics)
    tables.write(trends_of(runs, of_runs), trends)


def _of_run(history: History) -> Iterator[tuple[dict[str, Any], pd.DataFrame, dict[str, Any]]]:
    """Yield keys, spikes and statistics of a run, per epoch and per step."""
    outcome = history.params["outcome"]
    per_epoch = outcome["steps_per_epoch"]
    sizes = {"n_train": outcome["n_train"], "steps_per_epoch": per_epoch, "batch_size": _batch_size(history)}
    spec, training = history.params.get("optimizer_spec", {}), history.params.get("training", {})
    memory = {"memory": memory_of(spec), "family": _family(spec, training)}
    run = {key: history.params[key] for key in tables.RUN_KEYS}
    of_steps = find_spikes(history.steps["loss"], **PER_STEP)
    of_epochs = with_kinds(find_spikes(history.epochs["loss"], **PER_EPOCH), of_steps, per_epoch)
    scales = (("epoch", of_epochs, history.epochs["loss"], per_epoch), ("step", of_steps, history.steps["loss"], 1))
    for scale, spikes, loss, steps_per_point in scales:
        keys = {**run, "scale": scale}
        described = describe(spikes, loss, steps_per_point, per_epoch)
        if described["steps"] < SHORTEST:
            described |= dict.fromkeys(_RATES, float("nan"))
        yield keys, spikes, {**keys, **sizes, **memory, **described}


def with_kinds(of_epochs: pd.DataFrame, of_steps: pd.DataFrame, steps_per_epoch: int) -> pd.DataFrame:
    """Return the spikes of epochs, sustained where they share an epoch with a sustained spike of steps.

    Parameters
    ----------
    of_epochs, of_steps : DataFrame
        Tables of `find_spikes`.
    steps_per_epoch : int
    """
    lasting = of_steps[of_steps["kind"] == SUSTAINED]
    first = lasting["onset"].to_numpy() // steps_per_epoch
    last = np.nan_to_num((lasting["end"].to_numpy() - 1) // steps_per_epoch, nan=np.inf)
    end = of_epochs["end"].fillna(np.inf).to_numpy()
    shared = (first < end[:, None]) & (last >= of_epochs["onset"].to_numpy()[:, None])
    return of_epochs.assign(kind=np.where(shared.any(axis=1), SUSTAINED, OUTLIER))


def _batch_size(history: History) -> float:
    return history.params.get("training", {}).get("batch_size", float("nan"))


def memory_of(spec: Mapping[str, Any]) -> float:
    """Steps that an optimizer's mean of squared gradients remembers, 1 / (1 - beta_2).

    NaN for classes without such a mean, or whose default is unknown.

    Parameters
    ----------
    spec : mapping
        The optimizer of a study.
    """
    beta_2 = spec.get("beta_2", optimizer_traits.of_name(spec.get("class", "")).beta_2)
    return float("nan") if beta_2 is None else 1 / (1 - beta_2)


def _family(spec: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """Name what optimizers share that differ in memory or batch size alone.

    A kept last batch makes spikes of its own, once per epoch, so it separates families too.
    """
    same = {key: value for key, value in sorted(spec.items()) if key != "beta_2"}
    if "last_batch" in training:
        same["last_batch"] = training["last_batch"]
    return ", ".join(f"{key} {value}" for key, value in same.items())
