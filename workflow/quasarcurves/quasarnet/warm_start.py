"""Training goes on from the weights of a file."""

from __future__ import annotations

import keras
import numpy as np

from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.quasarnet.start import check_lines
from quasarcurves.quasarnet.trained_network import Trained


def take_weights(model: keras.Model, settings: NetworkSettings) -> None:
    """Give a network the weights of the file that a study starts from.

    Biases before batch normalisation have no effect in training and are left out there (`bias_free_layers`). So they
    are subtracted from the moving means, which include them, and become zero: what the network says stays the same.

    Parameters
    ----------
    model : keras.Model
        Of `network.build`.
    settings : NetworkSettings
        With a start.

    Raises
    ------
    ValueError
        If the file is of another network.
    """
    if settings.start is None:
        return
    found = Trained.load(settings.start.file)
    check_lines(settings, [*found.lines, *found.bal_lines])
    if found.grid != settings.wavelength_grid:
        raise ValueError(
            f"network.start: {settings.start.file}: its grid is {found.grid}, expected the study's, "
            f"{settings.wavelength_grid}"
        )
    values = _without_idle_biases(_weights(found.model))
    own = {_path(layer, each): each for layer in model.layers for each in layer.weights if _is_weight(each)}
    shapes = [{name: tuple(each.shape) for name, each in some.items()} for some in (values, own)]
    if shapes[0] != shapes[1]:
        other = sorted(name for name in shapes[0] | shapes[1] if shapes[0].get(name) != shapes[1].get(name))
        raise ValueError(
            f"network.start: {settings.start.file}: {other[0]} is {shapes[0].get(other[0], 'missing')}, expected "
            f"{shapes[1].get(other[0], 'none')}"
        )
    for name, variable in own.items():
        variable.assign(values[name])


def _weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {_path(layer, each): each.numpy() for layer in model.layers for each in layer.weights if _is_weight(each)}


def _path(layer: keras.Layer, variable: keras.Variable) -> str:
    return f"{layer.name}/{variable.name}"


def _is_weight(variable: keras.Variable) -> bool:
    """Tell weights from the states of the random generators of dropout layers."""
    return np.dtype(variable.dtype).kind == "f"


def _without_idle_biases(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    changed = dict(weights)
    for name in (name for name in weights if name.startswith("norm_") and name.endswith("/moving_mean")):
        part = name.removeprefix("norm_").removesuffix("/moving_mean")
        bias = f"fc_{part}/bias" if part == "common" else f"conv_{part}/bias"
        changed[name], changed[bias] = weights[name] - weights[bias], np.zeros_like(weights[bias])
    return changed
