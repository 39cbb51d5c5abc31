"""Apply a run's models to the test set, example by example; the only step that reads the test set.

Where confidences can be calibrated, models are applied to the validation set too, for that alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from quasarcurves import tasks
from quasarcurves.files import whole_file
from quasarcurves.spectra.subsets import Subset, load_target_ids
from quasarcurves.tasks.protocol import Evaluator
from quasarcurves.training import snapshots as taken
from quasarcurves.training.run_settings import EvaluationSettings

_ROWS = 2048
"""Examples in memory at a time."""

SNAPSHOTS, VALIDATION = "snapshots", "validation"
"""The groups of predictions that hold those of snapshots, and those for the validation set; others are models."""


def evaluate(
    spectra: Path,
    subset: Path,
    run: EvaluationSettings,
    models: Mapping[str, Path],
    predictions: Path,
    snapshots: Path | None = None,
    threads: int = 1,
) -> None:
    """Apply a run's models to the test set.

    Parameters
    ----------
    spectra, subset : Path
        The prepared examples, and the file that says which rows are the test set.
    run : EvaluationSettings
    models : mapping of str to Path
        Model files by name, such as `final` and `best`.
    predictions : Path
        HDF5 file written: `row` and `target_id` (n,); for each model a group with the columns that its task predicts
        (`Evaluator.predict`), `loss` (n,) among them; `run` as an attribute. Snapshots are in groups such as
        `snapshots/1_before` and `snapshots/1_peak`, with the same columns and the attributes `epoch`, `loss` (of
        training) and `ratio`. The group `validation` has `row`, and groups of models for the validation set, where
        the task calibrates its models.
    snapshots : Path, optional
        File of `training.snapshots.save`. Snapshots are applied with the moving statistics of batch normalisation that
        they had: as the models of trainings stopped there.
    threads : int
    """
    sets, evaluator = Subset.load(subset), None  # of any model: snapshots are of the same network
    rows, held_out = sets.test, sets.validation
    with whole_file(predictions) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["run"] = json.dumps(run.to_json())
        file["row"], file["target_id"] = rows, load_target_ids(spectra)[rows]
        for name, path in models.items():
            evaluator = tasks.evaluator(run.task, run.network, path, threads)
            _apply(evaluator, spectra, rows, file.create_group(name))
            if evaluator.calibrates and len(held_out):
                validation = file.require_group(VALIDATION)
                validation.require_dataset("row", held_out.shape, held_out.dtype)[:] = held_out
                _apply(evaluator, spectra, held_out, validation.create_group(name))
        for name, snapshot in taken.load(snapshots).items() if snapshots else ():
            assert evaluator is not None
            group = file.create_group(f"{SNAPSHOTS}/{name}")
            group.attrs.update(snapshot.facts)
            _apply(evaluator.with_snapshot(snapshot), spectra, rows, group)


def _apply(evaluator: Evaluator, spectra: Path, rows: np.ndarray, group: h5py.Group) -> None:
    for start in range(0, len(rows), _ROWS):
        columns = evaluator.predict(spectra, rows[start : start + _ROWS])
        _append(group, start, len(rows), columns)


def _append(group: h5py.Group, start: int, n: int, columns: Mapping[str, np.ndarray]) -> None:
    for name, values in columns.items():
        data = group.require_dataset(name, (n, *values.shape[1:]), np.float32)
        data[start : start + len(values)] = values
