"""A trained model of a task file, applied to examples with Keras: see `protocol.Evaluator`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from quasarcurves.training.keras_import import import_keras

import_keras()

# after the line above: all of these import Keras
import keras  # noqa: E402
from keras import ops  # noqa: E402

from quasarcurves.tasks import own_examples  # noqa: E402
from quasarcurves.tasks.own_task import OwnTask, trained  # noqa: E402
from quasarcurves.training import backends  # noqa: E402
from quasarcurves.training.run_settings import TaskSettings  # noqa: E402
from quasarcurves.training.snapshots import Snapshot  # noqa: E402

_ROWS = 256
"""Examples passed through the model at a time."""


class Evaluator:
    """A model of a task file with its loss."""

    calibrates = False

    def __init__(self, task: OwnTask, model: keras.Model) -> None:
        self._task, self._model = task, model

    def with_snapshot(self, snapshot: Snapshot) -> Evaluator:
        """Put the weights of a snapshot into the model."""
        snapshot.put_into(self._model)
        return self

    def predict(self, examples: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return `outputs` (n, ...) and `loss` (n,) for some examples."""
        parts = [self._predict_some(examples, rows[at : at + _ROWS]) for at in range(0, len(rows), _ROWS)]
        return {name: np.concatenate([part[name] for part in parts]) for name in ("outputs", "loss")}

    def _predict_some(self, examples: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
        inputs, *targets = own_examples.load(examples, rows)
        outputs = self._model(inputs, training=False)
        loss = self._task.loss(outputs, *map(ops.convert_to_tensor, targets))[:, 0]
        return {"outputs": np.asarray(ops.convert_to_numpy(outputs), np.float32), "loss": ops.convert_to_numpy(loss)}


def evaluator(task: TaskSettings, network: Mapping[str, Any], model: Path, threads: int) -> Evaluator:
    """Return what applies a model file: the file's own model, built anew, with the weights of that file."""
    _use_threads(threads)
    own = trained(task, network)
    built = own.build_plain()
    built.load_weights(model)
    return Evaluator(own, built)


@cache
def _use_threads(threads: int) -> None:
    """Set the backend up, which can be done once."""
    backends.active().set_up(threads)
