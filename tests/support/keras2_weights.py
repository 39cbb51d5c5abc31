"""Networks in the HDF5 layout of Keras 2.4, as QuasarNET's published ones are, written without the library's exporter.

One of them finds Lyman-alpha by construction, so that what it says of a spectrum with a planted line is known.
"""

from __future__ import annotations

import base64
import json
import marshal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

FILTERS, BOXES, LINES, BINS, POSITIONS = 25, 13, 7, 443, 20
"""Size of the published network; four convolutions of width 10 and stride 2 leave 20 of the 443 bins."""

BINS_PER_POSITION = 16
_WIDTH, _LAYERS = 10, 4
_EPSILON = 1e-3
"""Of the normalisations: with a variance of 1 less this they change nothing."""

Weights = dict[str, dict[str, np.ndarray]]
"""Variables by their name, by the name of the layer."""


def random_weights(seed: int = 0, filters: int = FILTERS, boxes: int = BOXES, lines: int = LINES) -> Weights:
    """Draw every weight at random, the statistics of the normalisations included."""
    rng = np.random.default_rng(seed)

    def dense(*shape: int) -> dict[str, np.ndarray]:
        limit = np.sqrt(3 / np.prod(shape[:-1]))
        return {"kernel": rng.uniform(-limit, limit, shape), "bias": rng.uniform(-0.3, 0.3, shape[-1])}

    def norm() -> dict[str, np.ndarray]:
        ranges = {"gamma": (0.5, 1.5), "beta": (-0.3, 0.3), "moving_mean": (-0.3, 0.3), "moving_variance": (0.5, 2)}
        return {name: rng.uniform(*limits, filters) for name, limits in ranges.items()}

    weights = {f"conv_{i + 1}": dense(_WIDTH, filters if i else 1, filters) for i in range(_LAYERS)}
    weights |= {_numbered("batch_normalization", i): norm() for i in range(_LAYERS + 1)}
    weights["fc_common"] = dense(POSITIONS * filters, filters)
    weights |= {f"fc_{kind}_{k}": dense(filters, boxes) for kind in ("box", "offset") for k in range(lines)}
    return {layer: {name: values.astype("<f4") for name, values in of.items()} for layer, of in weights.items()}


def lyman_alpha_finder(seed: int = 0) -> Weights:
    """Make a network that is sure of Lyman-alpha in the box where the normalised flux stands out.

    The first channel of each convolution is the mean of two neighbours, so that after four of them position p holds the
    mean of the positive flux in bins 16 p to 16 p + 15. A unit of the common layer per box is what the mean over the
    box exceeds 1 by; the box of Lyman-alpha is likely where that is large, and the line lies at its middle. C IV is
    likely in the same box, but less so, and the other lines are unlikely. All other weights are random.
    """
    weights = random_weights(seed)
    for i in range(1, _LAYERS + 1):
        conv = weights[f"conv_{i}"]
        conv["kernel"][:, :, 0] = 0
        conv["kernel"][:2, 0, 0] = 0.5
        conv["bias"][0] = 0
    unchanged = {"gamma": 1, "beta": 0, "moving_mean": 0, "moving_variance": 1 - _EPSILON}
    for i in range(_LAYERS + 1):
        for name, value in unchanged.items():
            weights[_numbered("batch_normalization", i)][name][: BOXES if i == _LAYERS else 1] = value
    common = weights["fc_common"]
    common["kernel"][:, :BOXES] = 0
    common["kernel"][::FILTERS, :BOXES] = _share_of_box()
    common["bias"][:BOXES] = -1
    for k in range(LINES):
        weights[f"fc_box_{k}"]["bias"][:] = -4
    weights["fc_box_0"]["kernel"] = 8 * np.eye(FILTERS, BOXES, dtype="<f4")
    weights["fc_box_1"]["kernel"] = 4 * np.eye(FILTERS, BOXES, dtype="<f4")
    weights["fc_offset_0"] = {"kernel": np.zeros((FILTERS, BOXES), "<f4"), "bias": np.zeros(BOXES, "<f4")}
    return weights


def _share_of_box() -> np.ndarray:
    """Return what share of each box the bins of each position are, (20, 13)."""
    edges, box = np.arange(POSITIONS)[:, None] * BINS_PER_POSITION, np.arange(BOXES) * BINS / BOXES
    overlap = np.minimum(edges + BINS_PER_POSITION, box + BINS / BOXES) - np.maximum(edges, box)
    return overlap.clip(0) / (BINS / BOXES)


def write_weights(
    path: Path, weights: Mapping[str, Mapping[str, np.ndarray]], dropout: float = 0.2, byte_order: str = "<"
) -> None:
    """Write a network as Keras 2.4 saved it: weights, settings of the layers, and pickled functions.

    Parameters
    ----------
    path : Path
    weights : mapping
        Of `random_weights` or `lyman_alpha_finder`.
    dropout : float
        Share that the dropout layers drop.
    byte_order : {"<", ">"}
        Of the weights in the file.
    """
    version = {"backend": "tensorflow", "keras_version": "2.4.0"}
    layers = _layers(weights, dropout)
    with h5py.File(path, "w") as file:
        file.attrs.update(version, training_config=json.dumps({"loss": ["custom_loss"] * LINES}))
        outputs = [[layer["name"], 0, 0] for layer in layers if layer["class_name"] == "Concatenate"]
        config = {"name": "QuasarNET", "layers": layers, "input_layers": [["input_1", 0, 0]], "output_layers": outputs}
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        group = file.create_group("model_weights")
        group.attrs.update(version, layer_names=np.array([layer["name"] for layer in layers], "S"))
        for layer in layers:
            variables = weights.get(layer["name"], {})
            of_layer = group.create_group(layer["name"])
            names = [f"{layer['name']}/{name}:0" for name in variables]
            of_layer.attrs["weight_names"] = np.array(names, "S") if names else np.array([])
            for name, values in zip(names, variables.values(), strict=True):
                of_layer[name] = values.astype(f"{byte_order}f4")
        file.create_group("optimizer_weights")


def _numbered(name: str, number: int) -> str:
    """Return the name that Keras gives to a layer: the first of a kind has no number."""
    return f"{name}_{number}" if number else name


def _layers(weights: Mapping[str, Mapping[str, np.ndarray]], dropout: float) -> list[dict[str, Any]]:
    """Describe every layer in the order of `layer_names`, which is that of the layers' depth."""
    layers = [_layer("InputLayer", "input_1", batch_input_shape=[None, BINS, 1])]
    last = "input_1"
    for i in range(_LAYERS):
        norm, activation, drop = (_numbered(name, i) for name in ("batch_normalization", "activation", "dropout"))
        conv = f"conv_{i + 1}"
        filters = weights[conv]["kernel"].shape[-1]
        layers += [
            _layer("Conv1D", conv, last, filters=filters, kernel_size=[_WIDTH], strides=[2], padding="valid"),
            _layer("BatchNormalization", norm, conv, axis=[2], momentum=0.99, epsilon=_EPSILON),
            _layer("Activation", activation, norm, activation="relu"),
            _layer("Dropout", drop, activation, rate=dropout),
        ]
        last = drop
    norm = _numbered("batch_normalization", _LAYERS)
    layers += [
        _layer("Flatten", "flatten", last, data_format="channels_last"),
        _layer("Dense", "fc_common", "flatten", units=weights["fc_common"]["bias"].size, activation="linear"),
        _layer("BatchNormalization", norm, "fc_common", axis=[1], momentum=0.99, epsilon=_EPSILON),
        _layer("Activation", "fc_activation", norm, activation="relu"),
    ]
    heads = range(sum(name.startswith("fc_box") for name in weights))
    layers += [_head(f"fc_offset_{k}", weights) for k in heads]
    for k in heads:
        layers += [_head(f"fc_box_{k}", weights), _rescaling(_numbered("lambda", k), f"fc_offset_{k}")]
    layers += [_layer("Concatenate", f"conc_box_{k}", f"fc_box_{k}", _numbered("lambda", k), axis=-1) for k in heads]
    return layers


def _head(name: str, weights: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    return _layer("Dense", name, "fc_activation", units=weights[name]["bias"].size, activation="sigmoid")


def _rescaling(name: str, offset: str) -> dict[str, Any]:
    """Describe the layer that QuasarNET rescales offsets with: a function in the bytes of Python."""
    code = base64.encodebytes(marshal.dumps((lambda x: -0.1 + x * 1.2).__code__)).decode()
    settings = {"function": [code, None, None], "function_type": "lambda", "module": "quasarnet.models"}
    return _layer("Lambda", name, offset, **settings)


def _layer(class_name: str, name: str, *inputs: str, **settings: object) -> dict[str, Any]:
    config = {"name": name, "trainable": True, "dtype": "float32", **settings}
    nodes = [[[each, 0, 0, {}] for each in inputs]] if inputs else []
    return {"class_name": class_name, "config": config, "name": name, "inbound_nodes": nodes}
