"""A trained network applied with numpy alone: evaluation needs no TensorFlow, whose import would take longer.

The layers are those of `network`, taken from a Keras file as its JSON and its arrays describe them, in inference: batch
normalisation by its moving statistics, no dropout. No code in the file is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quasarcurves.quasarnet.keras_archive import VARIABLES, Archive

_ROWS = 128
"""Spectra at a time: their patches for the convolutions stay within 60 MB at 100 filters."""

_NOTHING = {"InputLayer", "Dropout"}
"""Layers that change nothing in inference."""


@dataclass(frozen=True)
class NumpyNetwork:
    """A trained network as layers and weights.

    Parameters
    ----------
    layers : sequence of mappings
        `class_name` and `config` of each layer, in order, as Keras writes them.
    weights : mapping of str to array
        By layer and variable, such as `conv_1/kernel`: the paths of Keras's variables.
    """

    layers: Sequence[Mapping[str, Any]]
    weights: Mapping[str, np.ndarray]

    @classmethod
    def load(cls, path: str | Path) -> NumpyNetwork:
        """Read a Keras file.

        Raises
        ------
        ValueError
            If it is none, or holds anything but the layers of `network`, with the first of these.
        """
        archive = Archive.read(path)
        layers = archive.config["layers"]
        strange = [layer for layer in layers if not _is_known(layer)]
        if strange:
            raise ValueError(f"{path}: layer {strange[0]['config']['name']!r} is none of QuasarNET as built here")
        return cls(layers, archive.weights)

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> NumpyNetwork:
        """Return the same network with other weights.

        Raises
        ------
        ValueError
            If they are not of the same names and shapes.
        """
        shapes = [{name: np.shape(array) for name, array in each.items()} for each in (self.weights, weights)]
        if shapes[0] != shapes[1]:
            other = sorted(name for name in shapes[0] | shapes[1] if shapes[0].get(name) != shapes[1].get(name))
            raise ValueError(f"weights {', '.join(other)} are not the network's")
        return NumpyNetwork(self.layers, weights)

    def __call__(self, flux: np.ndarray) -> np.ndarray:
        """Return the outputs for normalised spectra: (n, 443) -> (n, lines, 2 * boxes) float32."""
        parts = np.array_split(np.asarray(flux, np.float32), max(1, -(-len(flux) // _ROWS)))
        return np.concatenate([self._outputs(part[..., None]) for part in parts])

    def _outputs(self, x: np.ndarray) -> np.ndarray:
        for layer in self.layers:
            if layer["class_name"] not in _NOTHING:
                x = _LAYERS[layer["class_name"]](x, layer["config"], *self._of(layer))
        return x

    def _of(self, layer: Mapping[str, Any]) -> list[np.ndarray]:
        name = layer["config"]["name"]
        return [self.weights[f"{name}/{variable}"] for variable in VARIABLES.get(layer["class_name"], ())]


def _is_known(layer: Mapping[str, Any]) -> bool:
    kind, config = layer["class_name"], layer["config"]
    expected = {"activation": "sigmoid" if kind == "Activation" else "linear", "use_bias": True}
    expected |= {"center": True, "scale": True} if kind == "BatchNormalization" else {}
    return kind in {*_LAYERS, *_NOTHING} and all(config.get(key, value) == value for key, value in expected.items())


def _convolved(x: np.ndarray, config: Mapping[str, Any], kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Convolve: one product of all patches with the kernel."""
    (width,), (stride,) = config["kernel_size"], config["strides"]
    if config["padding"] == "same":
        more = max((-(-x.shape[1] // stride) - 1) * stride + width - x.shape[1], 0)
        x = np.pad(x, ((0, 0), (more // 2, more - more // 2), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(x, width, axis=1)[:, ::stride].swapaxes(2, 3)
    (n, length), filters = patches.shape[:2], len(bias)
    rows = patches.reshape(n * length, kernel.size // filters) @ kernel.reshape(-1, filters)
    return rows.reshape(n, length, filters) + bias


def _dense(x: np.ndarray, config: Mapping[str, Any], kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return x @ kernel + bias


def _normalised(x: np.ndarray, config: Mapping[str, Any], *weights: np.ndarray) -> np.ndarray:
    gamma, beta, mean, variance = weights
    factor = gamma / np.sqrt(variance + np.float32(config["epsilon"]))
    return x * factor + (beta - mean * factor)


def _sigmoid(x: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    # without overflow, and without losing the small values
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, np.float32(1)) / (1 + small)


def _rescaled(x: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    scale, offset = (np.array(config[name], np.float32) for name in ("scale", "offset"))
    return x * scale + offset


_LAYERS: dict[str, Callable[..., np.ndarray]] = {
    "Conv1D": _convolved,
    "Dense": _dense,
    "BatchNormalization": _normalised,
    "ReLU": lambda x, config: np.maximum(x, 0),
    "Flatten": lambda x, config: x.reshape(len(x), x.shape[1] * x.shape[2]),
    "Reshape": lambda x, config: x.reshape(len(x), *config["target_shape"]),
    "Activation": _sigmoid,
    "Rescaling": _rescaled,
}
"""What each class of layer does: input, settings, weights -> output."""
