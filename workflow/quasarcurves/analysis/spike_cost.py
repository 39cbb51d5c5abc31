"""Do spikes hurt? Test scores of models from just before a spike, from its peak and from the end of training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.convergence import MATTERS
from quasarcurves.analysis.metrics.bootstrap import once
from quasarcurves.analysis.metrics.description import LOSS, TEST_LOSS, Description, Metric
from quasarcurves.analysis.metrics.scorer import Scored, Scorer, chosen
from quasarcurves.analysis.stats import resampling
from quasarcurves.analysis.stats.comparisons import compare

MOMENTS = ("before", "peak", "end")

VERDICTS = {"same": "no difference", "higher": "worse", "lower": "better", "not settled": "cannot say"}
"""Verdicts on ratios of test losses, by those of `comparisons.compare`."""

_SNAPSHOTS = "snapshots"
_FACTS = ("spike", "height", "epoch_before", "epoch_peak", "train_loss_before", "train_loss_peak")
_SEED = 20260105


def write(predictions: Iterable[Path], spectra: Path, costs: Path, summary: Path, scorer: Scorer) -> None:
    """Write spike_cost.csv, a row per run and spike, and spike_cost_summary.csv, a row per optimizer and comparison.

    Columns of spike_cost.csv
    -------------------------
    fraction, replicate, optimizer, spike
        The run, and the spike: the tallest of the run, numbered from 1 in the order of time.
    height
        Highest epoch loss over the median of the epochs before.
    epoch_before, epoch_peak, train_loss_before, train_loss_peak
        Epochs from 1: the last one on course, and the highest; and their training losses.
    <measure>_before, <measure>_peak, <measure>_end
        `test_loss` and the task's metrics (of QuasarNET `completeness` and `purity`, where a line above 0.5 makes a
        quasar, and `crossing`, where both are equal) of the models after these epochs and at the end of training, as
        they stand: with the moving averages of batch normalisation, which lag behind the weights.

    Columns of spike_cost_summary.csv
    ---------------------------------
    optimizer, moment, measure, change
        The moment that is compared with the one before the spike (`peak` or `end`), the measure, and whether by `ratio`
        or `difference`. A comparison with `end` holds all training since the spike, not the spike alone.
    spikes, runs
        Spikes of all runs of the optimizer, and the runs they are of.
    value, low, high
        Median over spikes of the change, with its 95 % interval.
    verdict, sentence
        On test losses: `VERDICTS`, or `no spikes`; and the same in plain words.

    Parameters
    ----------
    predictions : iterable of Path
        Files of `evaluation.evaluate`, a run each.
    spectra : Path
        The prepared examples.
    costs, summary : Path
        CSV files written.
    scorer : Scorer
    """
    runs = list(predictions)
    table = measure(runs, spectra, scorer)
    tables.write(table, costs)
    optimizers = list(dict.fromkeys(_run_of(path)["optimizer"] for path in runs))
    tables.write(summarise(table, optimizers, scorer.description), summary)


def measure(predictions: Iterable[Path], spectra: Path, scorer: Scorer) -> pd.DataFrame:
    """Return a row per run and spike, with the columns of `write`; runs without a spike have no row."""
    rows = [row for path in predictions for row in _of_run(path, spectra, scorer)]
    found = dict.fromkeys(name for row in rows for name in row)
    known = [f"{name}_{moment}" for name in (TEST_LOSS, *scorer.chosen.get("spike_cost", ())[1:]) for moment in MOMENTS]
    return pd.DataFrame(rows, columns=list(dict.fromkeys([*tables.RUN_KEYS, *_FACTS, *known, *found])))


def measures_of(costs: pd.DataFrame) -> list[str]:
    """Return the measures that spike_cost.csv has, the test loss first."""
    end = f"_{MOMENTS[0]}"
    return [name.removesuffix(end) for name in map(str, costs) if name.endswith(end) and name not in _FACTS]


def _run_of(predictions: Path) -> dict[str, Any]:
    with h5py.File(predictions, "r") as file:
        run = json.loads(file.attrs["run"])
    return {key: run[key] for key in tables.RUN_KEYS}


def _of_run(predictions: Path, spectra: Path, scorer: Scorer) -> Iterator[dict[str, Any]]:
    keys = _run_of(predictions)
    with h5py.File(predictions, "r") as file:
        taken = file.get(_SNAPSHOTS, {})
        if not taken:
            return
        truth = scorer.test_set(spectra, file["row"][:])
        end = _worth(truth.score(file["final"]), scorer)
        for spike in sorted(int(name.removesuffix("_peak")) for name in taken if name.endswith("_peak")):
            groups = {moment: taken[f"{spike}_{moment}"] for moment in MOMENTS[:2]}
            worth = {moment: _worth(truth.score(group), scorer) for moment, group in groups.items()} | {"end": end}
            row = keys | {"spike": spike, "height": groups["peak"].attrs["ratio"]}
            for moment, group in groups.items():
                row |= {f"epoch_{moment}": group.attrs["epoch"], f"train_loss_{moment}": group.attrs["loss"]}
            names = dict.fromkeys(name for each in worth.values() for name in each)
            yield row | {f"{name}_{each}": worth[each].get(name, np.nan) for name in names for each in MOMENTS}


def _worth(scored: Scored, scorer: Scorer) -> dict[str, float]:
    """Return every measure of one model."""
    found = scored.drawn(once(scored.n))
    return {TEST_LOSS if name == LOSS else name: float(found[name][0]) for name in chosen(scorer, "spike_cost", found)}


def summarise(costs: pd.DataFrame, optimizers: Sequence[str], description: Description) -> pd.DataFrame:
    """Compare the peaks of spikes, and the end of training, with before the spikes.

    The interval is a bootstrap over replicates and over their spikes (`resampling.median_interval`). A single
    replicate tells nothing about others, so it has no verdict.

    Parameters
    ----------
    costs : DataFrame
        The table of `measure`.
    optimizers : sequence of str
        All of the study, with spikes or without.
    description : Description
        Of the metrics.

    Returns
    -------
    DataFrame
        With the columns of `write`.
    """
    of = {name: costs[costs["optimizer"] == name] for name in optimizers}
    measures = [description.metric(name) for name in measures_of(costs)]
    return pd.DataFrame(
        [cost(of[name], name, moment, measure) for name in of for moment in MOMENTS[1:] for measure in measures]
    )


def cost(costs: pd.DataFrame, optimizer: str, moment: str, measure: Metric) -> dict[str, Any]:
    """Return one row of `summarise`.

    Parameters
    ----------
    costs : DataFrame
        Spikes of that optimizer.
    optimizer, moment : str
    measure : Metric
    """
    before, after = (costs[f"{measure.name}_{each}"].to_numpy(float) for each in (MOMENTS[0], moment))
    ratio = measure.is_ratio
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log(after / before) if ratio else after - before
    replicate = costs["replicate"].to_numpy(int)
    found = resampling.median_interval(change, replicate, np.random.default_rng(_SEED))
    value, low, high = map(float, np.exp(found)) if ratio else found
    runs = len(costs[tables.RUN_KEYS].drop_duplicates())
    row: dict[str, Any] = {"optimizer": optimizer, "moment": moment, "measure": measure.name}
    row["change"] = "ratio" if ratio else "difference"
    row |= {"spikes": len(costs), "runs": runs, "value": value, "low": low, "high": high, "verdict": "", "sentence": ""}
    if measure.name == TEST_LOSS:
        row["verdict"] = _verdict(value, low, high, len(np.unique(replicate)))
        row["sentence"] = _sentence(row)
    return row


def _verdict(value: float, low: float, high: float, replicates: int) -> str:
    if not replicates:
        return "no spikes"
    if replicates < 2:
        return VERDICTS["not settled"]
    return VERDICTS[compare(value, low, high, None, MATTERS)]


def _sentence(row: dict[str, Any]) -> str:
    if row["verdict"] == "no spikes":
        return f"{row['optimizer']} has no tall spikes."
    which = {"peak": "at the peak of a spike", "end": "at the end of training"}[row["moment"]]
    return (
        f"{row['optimizer']}: the test loss {which} is {row['value']:.3g} times that just before the spike "
        f"(median of {row['spikes']} spikes of {row['runs']} runs; 95 % interval {row['low']:.3g} to "
        f"{row['high']:.3g}): {row['verdict']}."
    )
