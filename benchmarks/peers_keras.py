"""This project's trainer, with its whole record, and Keras's own `fit`, for `peers.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import keras
import numpy as np
import separate_heads
from fit import network
from keras import layers, ops
from peers_worker import FIRST, RATE, Inputs, Program, Seconds, serve, timed

from quasarcurves.quasarnet.loss import quasarnet_loss, weighted_line_losses
from quasarcurves.quasarnet.network import build as build_joined
from quasarcurves.quasarnet.network import head_slices
from quasarcurves.quasarnet.task import QuasarNet
from quasarcurves.steps.build import build_model
from quasarcurves.steps.training import use_threads
from quasarcurves.training import keras_import, optimizers
from quasarcurves.training.loop import Trainer
from quasarcurves.training.plan import Learner, Plan


def dense_targets(inputs: Inputs) -> np.ndarray:
    """One-hot boxes and offsets, as `fit` wants them; (n, L, 2B)."""
    one_hot = (inputs.box[..., None] == np.arange(inputs.boxes)).astype(np.float32)
    return np.concatenate([one_hot, one_hot * inputs.offset[..., None]], -1)


class Ours:
    """The trainer: an epoch is a pass over all batches."""

    def __init__(self, inputs: Inputs) -> None:
        keras_import.import_keras()  # with the settings that a training starts with
        optimizer = optimizers.build({"class": "Adam", "learning_rate": RATE})
        task = QuasarNet(network(inputs.filters))
        learner = Learner(build_model(task, 1, 0), optimizer, weighted_line_losses, task.parts)
        _take_kernels(learner.model, inputs)
        plan = Plan(0, inputs.batches.shape[1], lambda epoch: inputs.batches.ravel())
        data = inputs.flux[..., None], inputs.box.astype(np.int8), inputs.offset, inputs.weight
        self._trainer = Trainer(learner, plan, data)

    def first_losses(self) -> Sequence[float]:
        """Take the first steps and return their losses."""
        self._train(1)
        return np.concatenate(self._trainer.record.steps["loss"])[:FIRST].tolist()

    def turn(self, passes: int) -> Seconds:
        """Take a step on each of the batches, so many times, and return the time it took."""
        return timed(lambda: self._train(passes))

    def _train(self, epochs: int) -> None:
        trainer = self._trainer
        trainer.plan = replace(trainer.plan, epochs=trainer.record.epoch + epochs)
        trainer.train()


@dataclass(frozen=True)
class Form:
    """How `fit` is called.

    Parameters
    ----------
    joined : bool
        One layer for all heads, and no bias before a normalisation.
    steps : int
        Steps per execution.
    jit : bool
        Compiled by XLA.
    """

    joined: bool = True
    steps: int = 1
    jit: bool = False


FORMS = {
    "fit": Form(joined=False),
    "fit, joined heads": Form(),
    "fit, joined heads, 10 steps per execution": Form(steps=10),
    "fit, joined heads, jit": Form(jit=True),
}


class Fit:
    """`fit` of one form, on examples in the order of the batches."""

    def __init__(self, form: Form, inputs: Inputs) -> None:
        order = inputs.batches.ravel()
        model, self._data = (_joined if form.joined else _separate)(inputs)
        self._data = {name: _map(lambda array: array[order], each) for name, each in self._data.items()}
        model.compile(
            keras.optimizers.Adam(RATE),
            _joined_loss if form.joined else [separate_heads.line_loss] * inputs.box.shape[1],
            steps_per_execution=form.steps,
            jit_compile=form.jit,
        )
        self._model, self._batch = model, inputs.batches.shape[1]
        self._fit = separate_heads.Fit(model, self._batch, shuffle=False, **self._data)

    def first_losses(self) -> Sequence[float]:
        """Take the first steps, each in a `fit` of its own, and return their losses."""
        return [self._loss(slice(i * self._batch, (i + 1) * self._batch)) for i in range(FIRST)]

    def turn(self, passes: int) -> Seconds:
        """Take a step on each of the batches, so many times, and return the time it took."""
        return self._fit(passes)

    def _loss(self, rows: slice) -> float:
        data = {name: _map(lambda array: array[rows], each) for name, each in self._data.items()}
        history = self._model.fit(**data, batch_size=self._batch, shuffle=False, verbose=0)
        return history.history["loss"][0]


def _map(change: object, data: object) -> object:
    return [change(array) for array in data] if isinstance(data, list) else change(data)


def _separate(inputs: Inputs) -> tuple[keras.Model, dict[str, object]]:
    """Build the network with a head per line, and its data."""
    n_lines, boxes = inputs.box.shape[1], inputs.boxes
    model = separate_heads.build(inputs.filters, boxes, n_lines)
    kernels = list(inputs.kernels.values())
    before = [layer for layer in model.layers if isinstance(layer, layers.Conv1D | layers.Dense)]
    for layer, kernel in zip(before, kernels[:-1], strict=False):
        layer.kernel.assign(kernel)
    for name, slices in zip(("box", "offset"), head_slices(boxes, n_lines), strict=True):
        for line, units in enumerate(slices):
            model.get_layer(f"{name}_{line}").kernel.assign(kernels[-1][:, units])
    columns = separate_heads.columns
    y, weight = columns(dense_targets(inputs)), columns(inputs.weight)
    return model, {"x": inputs.flux[..., None], "y": y, "sample_weight": weight}


def _joined(inputs: Inputs) -> tuple[keras.Model, dict[str, object]]:
    """Build the network with one layer for all heads, and its data: the weight of a line stands after its targets."""
    plain = {"convolution": layers.Conv1D, "dense": layers.Dense}
    without_bias = {name: partial(layer, use_bias=False) for name, layer in plain.items()}
    model = build_joined(inputs.filters, boxes=inputs.boxes, n_lines=inputs.box.shape[1], **without_bias)
    _take_kernels(model, inputs)
    return model, {
        "x": inputs.flux[..., None],
        "y": np.concatenate([dense_targets(inputs), inputs.weight[..., None]], -1),
    }


def _joined_loss(y_true: object, y_pred: object) -> object:
    """Loss of all lines per spectrum: (n, L, 2B + 1), (n, L, 2B) -> (n,)."""
    return ops.sum(y_true[..., -1] * quasarnet_loss(y_true[..., :-1], y_pred), axis=-1)


def _take_kernels(model: keras.Model, inputs: Inputs) -> None:
    for name, kernel in inputs.kernels.items():
        model.get_layer(name).kernel.assign(kernel)


def build(form: str, inputs: Inputs) -> Program:
    """Build the trainer ("ours"), or a form of `fit` by its name."""
    use_threads(1)
    return Ours(inputs) if form == "ours" else Fit(FORMS[form], inputs)


if __name__ == "__main__":
    serve(build)
