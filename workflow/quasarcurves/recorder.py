"""Record every step of `model.fit`: a callback of Keras 3 that writes a history, for anybody's model.

>>> model.fit(x, y, epochs=200, callbacks=[StepRecorder("run.h5")])  # doctest: +SKIP

A callback is told averages, once per execution. So the measures are made where the step is compiled: the recorder
compiles the model's own `train_step` anew, notes in it the loss that the model reports and the gradients that its
optimizer gets, computes the measures of `training.measures` from them, and appends these to a buffer on the device.
The step itself is not changed.
"""

from __future__ import annotations

import json
import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from quasarcurves.training.flat import flat
from quasarcurves.training.measures import MEASURES, LastLayerNorm, Measure, step_record
from quasarcurves.training.optimizer_traits import Traits
from quasarcurves.training.preconditioners import Preconditioner, preconditioner_of
from quasarcurves.training.record import Record
from quasarcurves.training.step import Step

_ROWS = 1024
"""Steps that the buffer holds at least."""

_WIDTH = 1 + len(MEASURES)
"""Numbers per step: its examples, and at most all measures."""

_WHOLE = "all"
"""Name of the loss's only part: seen from outside, it has no others."""

_PATIENCE = 50
"""The file is written again after this many times what the last writing took: recording may not slow a training."""

logger = logging.getLogger(__name__)


class StepRecorder(keras.callbacks.Callback):
    """Write what every optimizer step of `fit` did to a file, which `History.load` reads and `diagnose` explains.

    The file has per step the loss, the norms of gradient and update, the optimizer's effective step and the further
    measures of `training.measures`; per epoch the losses, `val_loss` if there is validation, the learning rate and the
    time. It works with every optimizer and loss of Keras on TensorFlow and JAX, several outputs, sample weights,
    `steps_per_execution`, `jit_compile` and mixed precision.

    The loss is what `fit` minimises, regularisation included, before the step. The record ends at the first loss that
    is not finite, as that of a study. Steps that loss scaling skips are recorded with an update of 0.

    Weights and the optimizer's variables are trained to the same bits as without the recorder. With `jit_compile=True`
    on TensorFlow they differ by rounding: XLA merges operations in another way where more of them is asked for. JAX
    uses XLA too; there the tests have found no difference.

    Not every step can be seen in full. Where gradients are accumulated, the optimizer is not one of Keras, or weights
    are not float32, the columns beside `loss`, `gradient_norm`, `update_norm` and `last_layer_norm` are left out, and
    a line says so.

    It costs about six times the memory of the weights, some per cent of the time of a step (docs/keras.md), and once
    the compilation of a larger step. The file is written at the end of epochs, each time whole, so a kill loses one
    epoch, or at most 50 times the time that writing takes.

    Parameters
    ----------
    path : str or Path
        File to write.
    overwrite : bool
        Whether a file that is there may be replaced.
    name : str, optional
        Under which figures show this training; the optimizer's class unless given.
    fraction, replicate : float and int
        Which training this is, where several are collected to be compared: the share of the examples, and the number
        of the repetition.

    Raises
    ------
    FileExistsError
        If the file is there.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        name: str | None = None,
        fraction: float = 1.0,
        replicate: int = 0,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        if self.path.exists() and not overwrite:
            raise FileExistsError(f"{path}: exists already; give another name, or StepRecorder(..., overwrite=True)")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._keys = {"optimizer": name, "fraction": float(fraction), "replicate": int(replicate)}
        self._record = Record()
        self._first_epoch: dict[str, int] = {}
        self._recorded: keras.Model | None = None
        self._buffer: Any = None
        self._function: Any = None
        self._over = False
        self._start = self._written = self._writing = 0.0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Compile the step that is recorded."""
        if self._recorded not in {None, self.model}:
            raise ValueError(f"{self.path}: has recorded another model; make a StepRecorder for each")
        self._recorded = self.model
        self._buffer = _buffer(self.model)
        self._function = self._buffer.compile()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start the clock."""
        self._over = self._record.diverged_step is not None
        self._start = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Put the recorded function in the place of the model's own, for one call."""
        own: Any = self.model.train_function
        place: dict[str, Any] = self.model.__dict__

        def call_once(*arguments: Any) -> Any:
            # at once: the model has its own function again, whatever happens in the call
            place["train_function"] = own
            return self._function(*arguments)

        place["train_function"] = call_once

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Add the steps before a validation: its time does not count."""
        if self._buffer is not None:
            self._add_steps()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Add the epoch to the record, and write the file."""
        self._add_steps()
        if self._over:
            return
        if not self._record.step_in_epoch:
            raise RuntimeError(
                f"{self.path}: no step of {self.model.name!r} was seen; expected a model with Keras's own "
                "make_train_function, trained by one StepRecorder"
            )
        self._close_epoch(logs or {})
        if time.perf_counter() - self._written > _PATIENCE * self._writing:
            self._write()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write the file, and let the model go."""
        if self._record.epoch:
            self._write()
        self._buffer = self._function = None

    def _add_steps(self) -> None:
        """Add the steps since the last call: block by block, each of one batch size."""
        rows = self._buffer.take()
        if self._over or not len(rows):
            return
        self._record.epoch_seconds = time.perf_counter() - self._start
        for block in np.split(rows, np.flatnonzero(np.diff(rows[:, 0])) + 1):
            if self._record.diverged_step is None:
                columns = dict(zip(self._buffer.names, block[:, 1:].T, strict=True))
                self._record.add_block(columns["loss"][:, None], columns, int(block[0, 0]), 0.0)
        if self._record.diverged_step is not None:
            logger.warning("%s: the loss of step %d is not finite, the record ends", self.path, self._record.step)

    def _close_epoch(self, logs: Mapping[str, Any]) -> None:
        record = self._record
        if not self._first_epoch:
            sizes = np.concatenate(record.epoch_sizes)
            self._first_epoch = {
                "n_train": int(sizes.sum()),
                "batch_size": int(sizes.max()),
                "steps_per_epoch": len(sizes),
            }
        record.close_epoch((_WHOLE,), float(self.model.optimizer.learning_rate))
        record.epochs["val_loss"][-1] = float(logs.get("val_loss", np.nan))

    def _write(self) -> None:
        """Write the record; a full disk does not end a training."""
        start = time.perf_counter()
        history = self._record.history()
        epochs = {name: values for name, values in history.epochs.items() if name != f"loss_{_WHOLE}"}
        try:
            replace(history, epochs=epochs, params=self._params()).save(self.path)
        except OSError as error:
            logger.warning("%s: could not be written, the training goes on (%s)", self.path, error)
        self._written = time.perf_counter()
        self._writing = self._written - start

    def _params(self) -> dict[str, Any]:
        record, first = self._record, self._first_epoch
        spec = _spec(_inner(self.model.optimizer))
        return {
            **self._keys,
            "optimizer": self._keys["optimizer"] or spec["class"],
            "optimizer_spec": spec,
            "model": self.model.name,
            "training": {
                "backend": keras.backend.backend(),
                "batch_size": first.get("batch_size"),
                "epochs": self.params.get("epochs", record.epoch),
                "precision": self.model.dtype_policy.name,
            },
            "outcome": {
                "n_train": first.get("n_train"),
                "n_validation": None,
                "steps_per_epoch": first.get("steps_per_epoch"),
                "epochs": record.epoch,
                "diverged": record.diverged_step is not None,
                "diverged_step": record.diverged_step,
                "resumed_at_epochs": [],
                "threads": os.cpu_count(),
            },
        }


@dataclass
class _Applied:
    """A call of the optimizer: gradients, all weights before, (n_parameters,), and the learning rate.

    Parameters
    ----------
    gradients : list of tensors
        Of `variables`: dense, not scaled, float32.
    variables : list of variables
    before : (n_parameters,) tensor
    learning_rate : scalar tensor
    """

    gradients: list[Any]
    variables: list[Any]
    before: Any
    learning_rate: Any


@dataclass
class _Seen:
    """What was noted of a step while it was compiled.

    Parameters
    ----------
    losses : list of scalar tensors
        Given to the metric `loss`, from which Keras makes the mean that it reports.
    applied : list of _Applied
        The calls of the optimizer.
    """

    losses: list[Any] = field(default_factory=list)
    applied: list[_Applied] = field(default_factory=list)

    def note_call(self, optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
        """Note a call of the optimizer, before it."""
        scale = _scale(optimizer)
        dense = [
            ops.zeros(variable.shape) if gradient is None else ops.cast(ops.convert_to_tensor(gradient), "float32")
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        if scale is not None:
            dense = [gradient / scale for gradient in dense]
        rate = ops.convert_to_tensor(_inner(optimizer).learning_rate)
        self.applied.append(_Applied(dense, list(variables), flat(_tensors(variables)), rate))

    @contextmanager
    def noting_losses(self, model: keras.Model) -> Iterator[None]:
        """Note the losses that the model reports within a block."""
        with ExitStack() as stack:
            for metric in (each for each in model.metrics if each.name == "loss"):
                stack.enter_context(_replaced(metric, "update_state", self._noting(metric.update_state)))
            yield

    def _noting(self, update_state: Callable[..., Any]) -> Callable[..., Any]:
        def noted(values: Any, *arguments: Any, **options: Any) -> Any:
            self.losses.append(values)
            return update_state(values, *arguments, **options)

        return noted


class _Buffer(ABC):
    """Steps that have been recorded, on the device: what both backends have in common.

    Parameters
    ----------
    model : keras.Model
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.names: list[str] = []
        steps = model.steps_per_execution
        self.capacity = max(_ROWS, steps)
        self._room = self.capacity // steps
        self._calls = 0
        self._taken: list[np.ndarray] = []

    def compile(self) -> Callable[..., Any]:
        """Return the model's train function with every step recorded."""
        own = self.model.train_function
        step = self.model.train_step
        with _replaced(self.model, "train_step", lambda *arguments: self.recorded(step, *arguments)):
            self.model.make_train_function(force=True)
        compiled, self.model.train_function = self.model.train_function, own

        def function(*arguments: Any) -> Any:
            if self._calls == self._room:
                self._empty()
            self._calls += 1
            return self.call(compiled, *arguments)

        return function

    @abstractmethod
    def recorded(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Take a step, and record it."""

    @abstractmethod
    def call(self, compiled: Callable[..., Any], *arguments: Any) -> Any:
        """Call the compiled function."""

    @abstractmethod
    def read(self) -> np.ndarray:
        """Return the steps in the buffer, (steps, _WIDTH), and begin anew."""

    def take(self) -> np.ndarray:
        """Return the steps since the last call, (steps, 1 + measures): their examples, then the measures."""
        self._empty()
        rows, self._taken = np.concatenate(self._taken), []
        return rows

    def _empty(self) -> None:
        self._taken.append(self.read()[:, : 1 + len(self.names)])
        self._calls = 0

    def row(self, seen: _Seen, data: Any) -> Any:
        """Return what is recorded of a step, while variables are as after it; (_WIDTH,) float32 tensor."""
        if len(seen.applied) != 1 or not seen.losses:
            raise ValueError(
                f"StepRecorder: train_step of {self.model.name!r} called its optimizer {len(seen.applied)} times and "
                f"gave {len(seen.losses)} losses to a metric named 'loss'; expected one call, and a loss"
            )
        (applied,) = seen.applied
        optimizer = _inner(self.model.optimizer)
        step = Step(
            loss=ops.mean(ops.cast(seen.losses[-1], "float32")),
            gradients=applied.gradients,
            model=self.model,
            optimizer=optimizer,
            weights=_tensors(applied.variables),
            learning_rate=applied.learning_rate,
            before=applied.before,
            preconditioner=preconditioner_of(optimizer),
        )
        measures = self._measures(applied.variables)
        self.names = [measure.name for measure in measures]
        values = [ops.cast(measure(step), "float32") for measure in measures]
        return ops.stack([_size(data), *values, *[ops.zeros(())] * (_WIDTH - 1 - len(values))])

    def _measures(self, variables: Sequence[Any]) -> list[Measure]:
        """Return the measures that the step has, and say if some are left out."""
        model = self.model
        reason = _why_not_all(model, variables)
        found = [each for each in MEASURES if each.needs is Preconditioner]
        if reason and not self.names:
            logger.warning("StepRecorder: recorded are only %s: %s", ", ".join(each.name for each in found), reason)
        last = any(layer.trainable_variables for layer in model.layers)
        return [
            measure
            for measure in (found if reason else step_record(_inner(model.optimizer)))
            if last or not isinstance(measure, LastLayerNorm)
        ]


class _TensorFlowBuffer(_Buffer):
    """The buffer is a variable, written within the compiled step."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(model)
        import tensorflow as tf  # noqa: PLC0415  (JAX may be what there is)

        self._values = tf.Variable(tf.zeros((self.capacity, _WIDTH)))
        self._count = tf.Variable(0, dtype=tf.int64)

    def recorded(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Take a step, and record it."""
        (data,) = arguments
        optimizer, seen = self.model.optimizer, _Seen()
        apply = optimizer.apply

        def noted(gradients: Any, trainable_variables: Any = None) -> Any:
            gradients = list(gradients)
            variables = list(trainable_variables or optimizer._trainable_variables)
            seen.note_call(optimizer, gradients, variables)
            return apply(gradients, variables)

        with seen.noting_losses(self.model), _replaced(optimizer, "apply", noted):
            logs = step(data)
        self._values.scatter_nd_update([[self._count]], [self.row(seen, data)])
        self._count.assign_add(1)
        return logs

    def call(self, compiled: Callable[..., Any], *arguments: Any) -> Any:
        """Call the compiled function."""
        return compiled(*arguments)

    def read(self) -> np.ndarray:
        """Return the steps in the buffer, (steps, _WIDTH), and begin anew."""
        rows = self._values.numpy()[: int(self._count)]
        self._count.assign(0)
        return rows


class _JaxBuffer(_Buffer):
    """The buffer travels with the values of the metrics, as JAX has no variables within a step."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(model)
        self._values, self._count = ops.zeros((self.capacity, _WIDTH)), ops.zeros((), "int32")

    def recorded(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Take a step, and record it."""
        (*state, (*metrics, values, count)), data = arguments
        optimizer, seen = self.model.optimizer, _Seen()
        apply = optimizer.stateless_apply

        def noted(optimizer_variables: Any, gradients: Any, trainable_variables: Any) -> Any:
            with self._scope(trainable_variables, optimizer_variables):
                seen.note_call(optimizer, gradients, optimizer._trainable_variables)
            return apply(optimizer_variables, gradients, trainable_variables)

        with seen.noting_losses(self.model), _replaced(optimizer, "stateless_apply", noted):
            logs, (weights, others, kept, metrics) = step((*state, metrics), data)
        with self._scope(weights, kept):
            row = self.row(seen, data)
        return logs, (weights, others, kept, [*metrics, values.at[count].set(row), count + 1])

    def _scope(self, weights: Sequence[Any], kept: Sequence[Any]) -> Any:
        optimizer = self.model.optimizer
        variables = [*optimizer._trainable_variables, *optimizer.variables]
        return keras.StatelessScope(list(zip(variables, [*weights, *kept], strict=True)))

    def call(self, compiled: Callable[..., Any], *arguments: Any) -> Any:
        """Call the compiled function, whose state is longer by the buffer."""
        (*state, metrics), iterator = arguments
        logs, (*state, metrics) = compiled((*state, [*metrics, self._values, self._count]), iterator)
        *metrics, self._values, self._count = metrics
        return logs, (*state, metrics)

    def read(self) -> np.ndarray:
        """Return the steps in the buffer, (steps, _WIDTH), and begin anew."""
        rows = np.asarray(self._values)[: int(self._count)]
        self._count = ops.zeros((), "int32")
        return rows


def _buffer(model: keras.Model) -> _TensorFlowBuffer | _JaxBuffer:
    """Return the buffer of a model's steps.

    Raises
    ------
    ValueError
        If its steps cannot be recorded.
    """
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise ValueError(f"StepRecorder: Keras runs on {backend!r}, expected tensorflow or jax")
    if backend == "jax":
        if keras.distribution.distribution() is not None:
            raise ValueError("StepRecorder: the model is trained with a keras.distribution, expected one device")
        return _JaxBuffer(model)
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas > 1:
        raise ValueError(f"StepRecorder: the model is trained by {replicas} replicas, expected one")
    return _TensorFlowBuffer(model)


def _why_not_all(model: keras.Model, variables: Sequence[Any]) -> str | None:
    """Return why what the optimizer does to a step cannot be read from it; None if it can."""
    optimizer = _inner(model.optimizer)
    kind = type(optimizer)
    known = getattr(keras.optimizers, kind.__name__, None) is kind or isinstance(getattr(kind, "traits", None), Traits)
    if not known:
        return f"{kind.__name__} is no optimizer of Keras"
    if optimizer.gradient_accumulation_steps:
        return "gradients are accumulated over several steps"
    if any(keras.backend.standardize_dtype(variable.dtype) != "float32" for variable in variables):
        return "weights are not float32"
    for others in (optimizer._trainable_variables, model.trainable_variables):
        if list(map(id, variables)) != list(map(id, others)):
            return "the optimizer does not update all weights at once"
    return None


def _inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer within one that scales the loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _scale(optimizer: keras.optimizers.Optimizer) -> Any:
    """Return what gradients are multiplied by, for their dynamic range; None if they are not."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return ops.convert_to_tensor(optimizer.dynamic_scale) if optimizer.built else optimizer.initial_scale
    return optimizer.loss_scale_factor


def _tensors(variables: Sequence[Any]) -> list[Any]:
    return [ops.cast(variable, "float32") for variable in variables]


def _size(data: Any) -> Any:
    """Return the number of examples of a batch; scalar float32 tensor."""
    x = keras.utils.unpack_x_y_sample_weight(data)[0]
    first = next(array for array in keras.tree.flatten(x) if array is not None)
    return ops.cast(ops.shape(first)[0], "float32")


def _spec(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """Return an optimizer as a study would name it: its class, its arguments, its schedule."""
    config = json.loads(json.dumps(optimizer.get_config(), default=str))
    rate = config.get("learning_rate")
    if isinstance(rate, dict):
        config["schedule"] = {"class": rate["class_name"], **rate["config"]}
        del config["learning_rate"]
    given = {name: value for name, value in config.items() if name != "name" and value is not None}
    return {"class": type(optimizer).__name__, **given}


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of one object, past its own rules for setting them, within a block."""
    attributes: dict[str, Any] = owner.__dict__
    before = attributes.get(name)
    attributes[name] = value
    try:
        yield
    finally:
        del attributes[name]
        if before is not None:
            attributes[name] = before
