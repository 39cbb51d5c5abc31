"""A task file tried before a study is run: its examples, its model and loss on a few of them, and its measures."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from quasarcurves import tasks
from quasarcurves.spectra.subsets import load_target_ids
from quasarcurves.study.outlook import Seen
from quasarcurves.tasks import own_examples
from quasarcurves.training import keras_import
from quasarcurves.training.run_settings import TaskSettings

_TRIED = 256
"""Examples that measures are tried on."""


def try_task(task: TaskSettings, data: Mapping[str, Any], network: Mapping[str, Any], backend: str) -> Seen:
    """Run a task file as a study would, but train nothing.

    Parameters
    ----------
    task : TaskSettings
    data, network : mapping
        The blocks of the study.
    backend : str
        Of Keras.

    Returns
    -------
    Seen
        What is said of examples, model, loss and measures.

    Raises
    ------
    ValueError
        If anything of it does not do what it should.
    """
    os.environ["KERAS_BACKEND"] = backend
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "examples.h5")
        tasks.prepare(task, data, path)
        target_id = load_target_ids(path)
        about = [*_of_examples(path, target_id), *_of_model(task, network, path, len(target_id))]
        return Seen(about, target_id, known_cost=False)


def _of_examples(path: Path, target_id: np.ndarray) -> Iterator[str]:
    with h5py.File(path, "r") as file:
        arrays = [f"{name} {file[name].shape} {file[name].dtype}" for name in own_examples.names(file)]
    n, groups = len(target_id), len(np.unique(target_id))
    yield f"{n:,} examples: {', '.join(arrays)}"
    yield f"{groups:,} groups that are not split" if groups < n else "No groups: every example is by itself"


def _of_model(task: TaskSettings, network: Mapping[str, Any], path: Path, n: int) -> Iterator[str]:
    keras_import.import_keras()
    from keras import ops  # noqa: PLC0415  (imported as a training does it, by the line above)

    found = tasks.trained(task, network)
    data = found.load(path, np.arange(min(n, _TRIED)))
    model = found.build(1)
    found.check(model, data)
    outputs = model(data[0], training=False)
    losses = ops.convert_to_numpy(found.loss(outputs, *map(ops.convert_to_tensor, data[1:])))
    yield f"Model: {model.count_params():,} weights, outputs {tuple(outputs.shape)}; loss untrained {losses.mean():.4g}"
    yield from _of_measures(found, data, np.asarray(ops.convert_to_numpy(outputs), np.float32))


def _of_measures(found: Any, data: tuple[np.ndarray, ...], outputs: np.ndarray) -> Iterator[str]:
    from quasarcurves.steps import scoring  # noqa: PLC0415  (pandas comes with it, after Keras has been imported lean)

    targets = data[1] if len(data) == 2 else tuple(data[1:])
    values = scoring.own_scorer(found.file, {}).values(targets, outputs, len(outputs))
    shown = ", ".join(f"{name} {np.mean(value):.4g}" for name, value in values.items())
    yield f"Measured on {len(outputs)} of them, untrained: {shown}" if shown else "Nothing is measured but the loss"
