"""Small models of several kinds, compiled, with their data: what `fit` is recorded of."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

N = 100
"""Examples: three batches of 32, and a smaller one."""

Fit = tuple[keras.Model, dict[str, Any]]


def regression(optimizer: Any = None, **compiled: Any) -> Fit:
    """Ten numbers in, one out, with batch normalisation and dropout."""
    keras.utils.set_random_seed(1)
    inputs = [keras.Input((10,)), layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.2), layers.ReLU()]
    model = keras.Sequential([*inputs, layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.Adam(1e-2), "mse", **compiled)
    x = _rng().normal(size=(N, 10)).astype(np.float32)
    return model, {"x": x, "y": np.sin(x.sum(axis=1, keepdims=True))}


def seven_heads(**compiled: Any) -> Fit:
    """Seven outputs with a loss and sample weights each, as QuasarNET's users train it."""
    keras.utils.set_random_seed(1)
    x = flux = keras.Input((40, 1))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(4, 10, 2)(x)))
    x = layers.Dense(8, "relu")(layers.Flatten()(x))
    model = keras.Model(flux, [layers.Dense(4, "sigmoid", name=f"line_{line}")(x) for line in range(7)])
    model.compile(keras.optimizers.Adam(1e-2), [squares] * 7, **compiled)
    rng = _rng()
    y = np.eye(4, dtype=np.float32)[rng.integers(0, 4, (7, N))]
    weights = rng.integers(0, 2, (7, N)).astype(np.float32)
    return model, {"x": rng.normal(size=(N, 40, 1)), "y": [*y], "sample_weight": [*weights]}


def images(**compiled: Any) -> Fit:
    """Classify squares of noise by which of their quarters is bright."""
    keras.utils.set_random_seed(1)
    first = [keras.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    model = keras.Sequential([*first, layers.Dropout(0.5), layers.Dense(4, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **compiled)
    rng = _rng()
    x, y = rng.uniform(size=(N, 2, 4, 2, 4)), rng.integers(0, 4, N)
    x[np.arange(N), y // 2, :, y % 2] += 1
    return model, {"x": x.reshape(N, 8, 8, 1).astype(np.float32), "y": y}


def texts(**compiled: Any) -> Fit:
    """Classify rows of words by whether a word is among them; an embedding has sparse gradients."""
    keras.utils.set_random_seed(1)
    first = [keras.Input((12,), dtype="int32"), layers.Embedding(30, 6), layers.GlobalAveragePooling1D()]
    model = keras.Sequential([*first, layers.Dense(1, "sigmoid")])
    model.compile("adamw", "binary_crossentropy", metrics=["accuracy"], **compiled)
    x = _rng().integers(0, 30, (N, 12)).astype(np.int32)
    return model, {"x": x, "y": (x == 7).any(axis=1).astype(np.float32)[:, None]}


KINDS: dict[str, Callable[..., Fit]] = {each.__name__: each for each in (regression, seven_heads, images, texts)}


def fit(made: Fit, *callbacks: Any, epochs: int = 2, **options: Any) -> list[np.ndarray]:
    """Train, and return all that the training has changed: weights and the optimizer's variables."""
    model, data = made
    keras.utils.set_random_seed(2)
    model.fit(**data, batch_size=32, epochs=epochs, verbose=0, callbacks=list(callbacks), **options)
    return [np.array(variable.numpy()) for variable in (*model.variables, *model.optimizer.variables)]


def squares(y_true: Any, y_pred: Any) -> Any:
    """Loss of one output per example."""
    return ops.sum(ops.square(y_true - y_pred), axis=-1)


def _rng() -> np.random.Generator:
    return np.random.default_rng(3)
