"""The test examples of the largest loss, of each optimizer at its largest size: hard ones, or wrong labels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.scorer import predicted_runs
from quasarcurves.files import whole_file
from quasarcurves.spectra.subsets import load_target_ids
from quasarcurves.tasks import own_examples
from quasarcurves.training.run_settings import FINAL

WORST = 12
"""Examples per optimizer."""

AMONG = 0.05
"""Share of the test set that is called its worst, when replicates are compared."""

COLUMNS = (
    "fraction", "optimizer", "rank", "row", "target_id", "loss", "loss_highest", "replicate", "worst_in",
    "replicates",
)  # fmt: skip


class _Run(NamedTuple):
    keys: dict[str, Any]
    loss: np.ndarray
    predictions: Path


def write(predictions: Iterable[Path], examples: Path, table: Path, arrays: Path) -> None:
    """Write the examples of the largest loss of the final models, and what there is of them to draw.

    The table has a row per optimizer and example, the largest loss first:

    - fraction, optimizer, rank (from 1)
    - row, target_id: which example, among the prepared ones
    - loss: mean over the replicates whose losses are all finite
    - loss_highest, replicate: the highest of a replicate, and which
    - worst_in, replicates: in how many replicates, of how many, it is among the 5 % of the test set of largest loss

    The other file has a group per optimizer: `inputs`, `targets` (`targets_0` and so on, where there are several) and
    `outputs`, those of `replicate`; (rows, ...) each, in the order of the table.

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    examples : Path
        The prepared examples.
    table, arrays : Path
        The files to write, CSV and HDF5.
    """
    by_size: dict[str, dict[float, list[_Run]]] = {}
    rows = np.empty(0, int)
    for keys, file, rows in predicted_runs(predictions, lambda rows: rows):  # noqa: B007  (the last are those of all)
        of_size = by_size.setdefault(keys["optimizer"], {}).setdefault(keys["fraction"], [])
        loss = file[FINAL]["loss"][:].astype(np.float64)
        if np.isfinite(loss).all():
            of_size.append(_Run(keys, loss, Path(file.filename)))
    largest = {name: sizes[max(sizes)] for name, sizes in by_size.items()}
    ids = load_target_ids(examples)[rows] if len(rows) else rows
    chosen = {name: _choose(runs, rows, ids) for name, runs in largest.items() if runs}
    tables.write(pd.concat([pd.DataFrame(columns=COLUMNS), *chosen.values()], ignore_index=True), table)
    with whole_file(arrays) as temporary, h5py.File(temporary, "w") as out:
        for name, found in chosen.items():
            _copy(out.create_group(name), found, largest[name], rows, examples)


def _choose(runs: list[_Run], rows: np.ndarray, ids: np.ndarray) -> pd.DataFrame:
    losses = np.stack([run.loss for run in runs])  # (replicates, n)
    # ties in the order of the test set
    places = np.argsort(-losses.mean(axis=0), kind="stable")[:WORST]
    few = max(1, round(AMONG * losses.shape[1]))
    limit = np.sort(losses, axis=1)[:, -few, None]
    keys, highest = runs[0].keys, losses[:, places].argmax(axis=0)
    return pd.DataFrame(
        {
            "fraction": keys["fraction"],
            "optimizer": keys["optimizer"],
            "rank": np.arange(1, len(places) + 1),
            "row": rows[places],
            "target_id": ids[places],
            "loss": losses[:, places].mean(axis=0),
            "loss_highest": losses[:, places].max(axis=0),
            "replicate": [runs[i].keys["replicate"] for i in highest],
            "worst_in": (losses >= limit)[:, places].sum(axis=0),
            "replicates": len(runs),
        }
    )


def _copy(group: h5py.Group, found: pd.DataFrame, runs: list[_Run], rows: np.ndarray, examples: Path) -> None:
    chosen = found["row"].to_numpy()
    inputs, *targets = own_examples.load(examples, chosen)
    group["inputs"] = inputs
    for i, each in enumerate(targets):
        group["targets" if len(targets) == 1 else f"targets_{i}"] = each
    place, outputs = {row: i for i, row in enumerate(rows)}, {}
    for run in runs:
        with h5py.File(run.predictions, "r") as file:
            for row in chosen[found["replicate"] == run.keys["replicate"]]:
                outputs[row] = file[FINAL]["outputs"][place[row]]
    group["outputs"] = np.stack([outputs[row] for row in chosen])
