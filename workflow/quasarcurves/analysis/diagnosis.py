"""Why losses spike, as tables: measures aligned at onsets, which measure moves first, and verdicts on hypotheses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.causes import hypotheses as hypotheses_
from quasarcurves.analysis.causes.alignment import RunEvents, align_runs, aligned_averages
from quasarcurves.analysis.causes.precursors import predictors as predictors_
from quasarcurves.analysis.spikes import SUSTAINED
from quasarcurves.training.history import History, runs_of

_SPIKE_COLUMNS = [*tables.RUN_KEYS, "scale", "kind", "onset", "end"]
_TREND_COLUMNS = [
    "optimizer",
    "scale",
    "runs",
    "spikes",
    "steps_p",
    "epochs_p",
    "verdict",
    "reason",
    "slope_steps_per_epoch",
]


def write(histories: Path, spikes: Path, trends: Path, aligned: Path, predictors: Path, hypotheses: Path) -> None:
    """Write the tables of a study; the runs of one optimizer and fraction are in memory at a time.

    Parameters
    ----------
    histories : Path
        HDF5 file of all runs.
    spikes, trends : Path
        CSV files that rule find_spikes wrote.
    aligned : Path
        CSV: a row per optimizer, fraction (with `n_train`), measure, kind of window and lag.
    predictors : Path
        CSV: a row per optimizer, fraction and measure.
    hypotheses : Path
        CSV: a row per hypothesis and optimizer.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    found = _read(spikes, _SPIKE_COLUMNS)
    per_step = found[(found["scale"] == "step") & (found["kind"] == SUSTAINED)]
    averages, rows, facts = [], [], []
    for optimizer, fraction, runs in groups(histories, per_step):
        keys = {"optimizer": optimizer, "fraction": fraction}
        n_train = max(run.params["outcome"]["n_train"] for run in runs)
        averages.append(_first(aligned_averages(runs), keys | {"n_train": n_train}))
        rows.append(_first(predictors_(runs), keys))
        facts += [hypotheses_.facts_of(run) for run in runs]
        del runs  # the last ones would stay
    tables.write(pd.concat(averages, ignore_index=True), aligned)
    # as objects: pandas warns where it has to guess the type of columns that are empty in one group
    tables.write(pd.concat([table.astype(object) for table in rows], ignore_index=True), predictors)
    tables.write(hypotheses_.judge(facts, _read(trends, _TREND_COLUMNS)), hypotheses)


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    table = tables.read(path)
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{path}: expected the columns {', '.join(columns)}, missing {', '.join(missing)}")
    return table


def _first(table: pd.DataFrame, keys: dict) -> pd.DataFrame:
    return table.assign(**keys)[[*keys, *table.columns]]


def groups(histories: Path, spikes: pd.DataFrame) -> Iterator[tuple[str, float, list[RunEvents]]]:
    """Yield optimizer, fraction and the runs of all replicates, by optimizer and falling fraction."""
    of_runs = {key: table.sort_values("onset") for key, table in spikes.groupby(tables.RUN_KEYS)}
    names: dict[tuple[str, float], list[str]] = {}
    for name, params in sorted(runs_of(histories), key=lambda run: run[1]["replicate"]):
        names.setdefault((params["optimizer"], params["fraction"]), []).append(name)
    for optimizer, fraction in sorted(names, key=lambda key: (key[0], -key[1])):
        runs = [History.load(histories, name) for name in names[optimizer, fraction]]
        yield optimizer, fraction, align_runs(runs, [of_runs.get(_key(run), spikes.iloc[:0]) for run in runs])


def _key(run: History) -> tuple[float, int, str]:
    """Return the keys of a run as a table has them: fractions with 8 digits."""
    fraction, replicate, optimizer = tables.run_key(run.params)
    return float(f"{fraction:.8g}"), replicate, optimizer
