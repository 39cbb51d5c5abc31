"""Apply a run's models to the test set, spectrum by spectrum; the only step that reads the test set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from quasarcurves.files import whole_file
from quasarcurves.quasarnet.loss_formula import line_losses
from quasarcurves.quasarnet.numpy_network import NumpyNetwork
from quasarcurves.quasarnet.objective import decode, encode
from quasarcurves.quasarnet.settings import EvaluationSettings, NetworkSettings
from quasarcurves.spectra.subsets import Subset
from quasarcurves.spectra.table import UNKNOWN, Spectra, check_grid, load_column
from quasarcurves.training import snapshots as taken

_ROWS = 2048
"""Spectra in memory at a time."""

SNAPSHOTS = "snapshots"
"""The group of predictions that holds those of snapshots; all other groups are models."""

_COLUMNS = ("confidence", "z_line", "z_best", "bal_confidence", "bal_z_line")


def evaluate(
    spectra: Path,
    subset: Path,
    run: EvaluationSettings,
    models: Mapping[str, Path],
    predictions: Path,
    snapshots: Path | None = None,
) -> None:
    """Apply a run's models to the test set.

    Parameters
    ----------
    spectra, subset : Path
        The prepared spectra, and the file that says which rows are the test set.
    run : EvaluationSettings
    models : mapping of str to Path
        Model files by name, such as `final` and `best`.
    predictions : Path
        HDF5 file written: `row` and `target_id` (n,); for each model a group with `confidence` and `z_line` (n, lines),
        `z_best` (n,), `bal_confidence` and `bal_z_line` (n, bal_lines), `loss` (n,), the loss summed over lines; `run`
        as an attribute. Snapshots are in groups such as `snapshots/1_before` and `snapshots/1_peak`, with the
        same columns and the attributes `epoch`, `loss` (of training) and `ratio`.
    snapshots : Path, optional
        File of `training.snapshots.save`. Snapshots are applied with the moving statistics of batch normalisation that
        they had: as the models of trainings stopped there.
    """
    rows, settings = Subset.load(subset).test, run.network
    check_grid(spectra, settings.wavelength_grid)
    with whole_file(predictions) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["run"] = json.dumps(run.to_json())
        file["row"], file["target_id"] = rows, load_column(spectra, "target_id", rows)
        for name, path in models.items():
            network = NumpyNetwork.load(path)
            _apply(network, spectra, rows, settings, file.create_group(name))
        for name, snapshot in taken.load(snapshots).items() if snapshots else ():
            group = file.create_group(f"{SNAPSHOTS}/{name}")
            group.attrs.update(snapshot.facts)
            _apply(network.with_weights(snapshot.weights), spectra, rows, settings, group)


def _apply(
    network: NumpyNetwork, spectra: Path, rows: np.ndarray, settings: NetworkSettings, group: h5py.Group
) -> None:
    for start in range(0, len(rows), _ROWS):
        columns = _predicted(network, spectra, rows[start : start + _ROWS], settings)
        _append(group, start, len(rows), columns)


def _predicted(
    network: NumpyNetwork, spectra: Path, rows: np.ndarray, settings: NetworkSettings
) -> dict[str, np.ndarray]:
    """Return the columns of a network's predictions for some spectra, and its losses; by name."""
    lines, bal_lines = settings.lines, settings.bal_lines
    table = Spectra.load(spectra, rows)
    unknown = int((table.label == UNKNOWN).sum())
    if unknown:
        raise ValueError(f"{spectra}: {unknown} of {len(table)} spectra have no truth, no loss can be computed")
    outputs = network(table.flux)
    targets, weights = encode(
        table.z, table.is_quasar, table.bal, lines, bal_lines, settings.boxes, settings.wavelength_grid
    )
    decoded = decode(outputs, lines, bal_lines, settings.wavelength_grid)
    loss = (weights * line_losses(targets, outputs, np)).sum(axis=1)
    return {**{name: getattr(decoded, name) for name in _COLUMNS}, "loss": loss}


def _append(group: h5py.Group, start: int, n: int, columns: Mapping[str, np.ndarray]) -> None:
    for name, values in columns.items():
        data = group.require_dataset(name, (n, *values.shape[1:]), np.float32)
        data[start : start + len(values)] = values
