"""A task file as a task that is trained: see `protocol.Task`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

from quasarcurves.quasarnet.model_files import about_run, save_keras
from quasarcurves.spectra.subsets import load_target_ids
from quasarcurves.tasks import own_examples
from quasarcurves.tasks.own_file import TaskError, TaskFile
from quasarcurves.training.run_settings import RunSettings, TaskSettings
from quasarcurves.training.score import Score
from quasarcurves.training.settings import LOSS

_CHECKED = 2, 5
"""Examples that model and loss are tried on: two numbers, so that a fixed batch size is found out."""


class OwnTask:
    """The model and the loss of a task file.

    Parameters
    ----------
    file : TaskFile
    network : mapping
        The study's `network` block: arguments of the file's function `model`.
    """

    parts = ("all",)
    clipped, versions = None, 1
    variants: Mapping[str, Callable[[keras.Model], tuple[keras.Model, Callable[..., Any]]]] = {}

    def __init__(self, file: TaskFile, network: Mapping[str, Any]) -> None:
        self.file, self._network = file, dict(network)

    def load(self, examples: Path, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Read examples: input, then targets."""
        return own_examples.load(examples, rows)

    def load_versions(self, examples: Path, rows: np.ndarray, seed: int) -> tuple[np.ndarray, ...]:
        """Read examples: there is one version of each."""
        return self.load(examples, rows)

    def build(self, seed: int, precision: str = "float32") -> keras.Model:
        """Call the file's function `model`."""
        # names of layers are numbered anew: snapshots know weights by them
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(seed)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            model = self.file.call("model", **self._network)
        finally:
            keras.config.set_dtype_policy(before)
        what = f"{self.file.name}: model()"
        if not isinstance(model, keras.Model):
            raise TaskError(f"{what} returned {type(model).__name__}, expected a keras.Model")
        if not model.built:
            # its weights are saved and read back where there are no examples
            raise TaskError(
                f"{what} returned a model whose weights are not made yet, expected one that knows its inputs: begin "
                "with keras.Input((...)), or call it once, on zeros of their shape"
            )
        return model

    def build_plain(self) -> keras.Model:
        """Build the model in float32; its weights are put in afterwards."""
        return self.build(0)

    def loss(self, outputs: Any, *targets: Any) -> Any:
        """Return the loss of the file as one part; (n, 1) tensor."""
        outputs = ops.cast(outputs, "float32")
        found = self.file.call("loss", targets if len(targets) > 1 else targets[0], outputs)
        return ops.expand_dims(ops.cast(found, "float32"), -1)

    def check(self, model: keras.Model, data: tuple[np.ndarray, ...]) -> None:
        """Try model and loss on a few examples.

        Raises
        ------
        TaskError
            If the model does not take them, has several outputs, or the loss is no finite number for each; or if one of
            them draws random numbers that no state of a training keeps.
        """
        inputs, *targets = data
        for n in {min(n, len(inputs)) for n in _CHECKED}:
            outputs = self._outputs(model, inputs[:n])
            self._check_loss(outputs, [each[:n] for each in targets], n)
        # Keras makes it when it is first drawn from, and none is left since the model was built
        if global_state.get_global_attribute(GLOBAL_SEED_GENERATOR) is not None:
            raise TaskError(
                f"{self.file.name}: model() or loss() draws random numbers without a seed, so that no training could "
                "be gone on with; expected seed=keras.random.SeedGenerator(), made once and held by a layer"
            )
        if not model.trainable_variables:
            raise TaskError(f"{self.file.name}: model() returned a model without trainable weights")

    def _outputs(self, model: keras.Model, inputs: np.ndarray) -> Any:
        what = f"{self.file.name}: model()"
        try:
            outputs = model(inputs, training=False)
        except Exception as error:
            raise TaskError(
                f"{what}: the model does not take inputs of shape {inputs.shape} and type {inputs.dtype}, which "
                f"examples() returned: {str(error)[:400]}"
            ) from error
        if isinstance(outputs, list | tuple | dict):
            raise TaskError(f"{what}: the model has {len(outputs)} outputs, expected one tensor")
        if not outputs.shape or outputs.shape[0] != len(inputs):
            raise TaskError(
                f"{what}: the model's output for {len(inputs)} examples has the shape {tuple(outputs.shape)}, expected "
                f"({len(inputs)}, ...)"
            )
        return outputs

    def _check_loss(self, outputs: Any, targets: list[np.ndarray], n: int) -> None:
        what, given = f"{self.file.name}: loss()", [ops.convert_to_tensor(each) for each in targets]
        cast = ops.cast(outputs, "float32")
        found = self.file.call("loss", tuple(given) if len(given) > 1 else given[0], cast)
        shapes = ", ".join(str(each.shape) for each in targets)
        about = f"for targets of shape {shapes} and outputs of shape {tuple(outputs.shape)}"
        try:
            values = ops.convert_to_numpy(found)
        except Exception as error:
            raise TaskError(f"{what} returned {type(found).__name__} {about}, expected a tensor ({n},)") from error
        if values.dtype.kind not in "fiu" and values.dtype.name != "bfloat16":
            raise TaskError(f"{what} returned the type {values.dtype} {about}, expected numbers")
        if values.shape != (n,):
            raise TaskError(f"{what} returned the shape {values.shape} {about}, expected ({n},): a loss per example")
        if not np.isfinite(values.astype(np.float32)).all():
            raise TaskError(f"{what} returned {values[~np.isfinite(values)][0]} {about}, expected finite numbers")

    def validation_score(self, examples: Path, rows: np.ndarray, best: str) -> Score | None:
        """Return the measure of the file that the best weights are chosen by, if they are not by the loss."""
        if best == LOSS:
            return None
        targets = self.load(examples, rows)[1:]
        better = self.file.constant("BETTER", {}).get(best, "higher")
        return Score(best, partial(self._measured, best, targets if len(targets) > 1 else targets[0]), better)

    def _measured(self, name: str, targets: Any, outputs: np.ndarray) -> float:
        """Return one measure of the file: its number, or the mean of its values; NaN where it is not finite.

        Raises
        ------
        TaskError
            If `measure` does not return it.
        """
        found = self.file.call("measure", targets, np.asarray(outputs, np.float32))
        if not isinstance(found, Mapping) or name not in found:
            has = ", ".join(map(repr, found)) if isinstance(found, Mapping) else type(found).__name__
            raise TaskError(f"{self.file.name}: measure() returned {has}, expected {name!r}, which training.best is")
        value = float(np.mean(np.asarray(found[name], np.float64)))
        return value if np.isfinite(value) else np.nan

    def describe(self, examples: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the group of each example."""
        return {"target_id": load_target_ids(examples)[rows]}

    def save(self, model: keras.Model, path: Path, run: RunSettings, which: str) -> None:
        """Write a model, with the task and the run that it is of."""
        save_keras(model, path, about_run(run, which))


def trained(task: TaskSettings, network: Mapping[str, Any]) -> OwnTask:
    """Return the model and the loss of a task file."""
    return OwnTask(TaskFile(task.name), network)
