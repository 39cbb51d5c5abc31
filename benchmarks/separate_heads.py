"""QuasarNET as its users train it: a head of its own per line, and `keras.Model.fit` batch by batch.

The same network and the same loss as the library's, written in the usual way of Keras: two dense layers per line, a
loss per line, dense targets and a list of sample weights. `fit.py` holds the library's trainer against it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from quasarcurves.spectra.grid import N_BINS

EPSILON = 1e-7


def build(filters: int, boxes: int, n_lines: int) -> keras.Model:
    """Build the network, with the optimizer and the losses that it is trained with: (n, 443, 1) -> n_lines (n, 2B)."""
    x = spectrum = keras.Input((N_BINS, 1))
    for _ in range(4):
        x = layers.Conv1D(filters, 10, 2)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dense(filters)(layers.Flatten()(x))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    model = keras.Model(spectrum, [_head(x, boxes, line) for line in range(n_lines)])
    model.compile(keras.optimizers.Adam(1e-3), [line_loss] * n_lines)
    return model


def _head(x: object, boxes: int, line: int) -> object:
    box = layers.Dense(boxes, "sigmoid", name=f"box_{line}")(x)
    offset = layers.Rescaling(1.2, -0.1)(layers.Dense(boxes, "sigmoid", name=f"offset_{line}")(x))
    return layers.Concatenate()([box, offset])


def line_loss(y_true: object, y_pred: object) -> object:
    """Loss of one line per spectrum: (n, 2B), (n, 2B) -> (n,)."""
    box, offset = ops.split(y_true, 2, axis=-1)
    confidence, place = ops.split(y_pred, 2, axis=-1)
    filled, empty = ops.sum(box, axis=-1) + EPSILON, ops.sum(1 - box, axis=-1) + EPSILON
    hit = ops.log(ops.clip(confidence, EPSILON, 1 - EPSILON))
    miss = ops.log(ops.clip(1 - confidence, EPSILON, 1 - EPSILON))
    off = ops.sum(box * ops.square(offset - place), axis=-1) / filled
    return off - ops.sum(box * hit, axis=-1) / filled - ops.sum((1 - box) * miss, axis=-1) / empty


class Fit:
    """`fit` of a network on some spectra, which goes on with every call.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    batch : int
    **data
        `x`, `y` and what else `fit` takes.
    """

    def __init__(self, model: keras.Model, batch: int, **data: object) -> None:
        self.model, self._data = model, {**data, "batch_size": batch, "verbose": 0}

    def __call__(self, epochs: int) -> tuple[float, float]:
        """Train some epochs and give the seconds and processor seconds that these took."""
        clock = _Clock()
        self.model.fit(epochs=epochs, callbacks=[clock], **self._data)
        return clock.seconds


class _Clock(keras.callbacks.Callback):
    """From the start of the first epoch to the end of the last: what `fit` does before is done once per training."""

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if epoch == 0:
            self._start = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        now = time.perf_counter(), time.process_time()
        self.seconds = now[0] - self._start[0], now[1] - self._start[1]


def columns(array: np.ndarray) -> Sequence[np.ndarray]:
    """Return the array of each line, as outputs of their own want them; (n, L, ...) -> L arrays (n, ...)."""
    return [np.ascontiguousarray(column) for column in np.moveaxis(array, 1, 0)]
