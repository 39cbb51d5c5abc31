"""Networks in the file layout that QuasarNP and desispec load, and back: HDF5 as Keras 2 wrote it.

QuasarNP (github.com/desihub/QuasarNP, `io.load_file`) takes the weights from the data sets
`model_weights/<layer>/<layer>/<variable>:0`, padding and strides of the convolutions from the JSON attribute
`model_config`, and the scale of the offsets (-0.1 + 1.2 x) from the presence of a group `lambda`. What counts here is
whether `model_config` has a layer that rescales them, whatever it is called. Its normalisations have the epsilon of
Keras, 1e-3. The heads, one layer in `network`, are separate there: `fc_box_0`, `fc_offset_0` ...,
in the order of the lines.

The files written here are whole Keras models as well, with a Rescaling layer where QuasarNET has a pickled function:
Keras opens them in safe mode. Reading runs nothing that a file holds: only numbers and JSON are taken from it.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np

from quasarcurves.files import whole_hdf5
from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.about import parse_about
from quasarcurves.quasarnet.described_layers import EPSILON, Described
from quasarcurves.quasarnet.foreign_files import check_network
from quasarcurves.quasarnet.keras_archive import Archive
from quasarcurves.quasarnet.objective import OFFSET_SCALE, OFFSET_SHIFT
from quasarcurves.spectra.grid import LOGARITHMIC, Grid, grid_with

GRID = "model_grid"
_WEIGHTS, _CONFIG, _ABOUT = "model_weights", "model_config", "quasarcurves"
_RESCALED = "lambda"
_KERAS = {"backend": "tensorflow", "keras_version": "2.4.0"}
"""The version whose layout this is, that of the networks in use."""

_NORM = "batch_normalization"
_OF_LAYER, _OF_NORM = ("kernel", "bias"), ("gamma", "beta", "moving_mean", "moving_variance")

_COMPARED = {
    "Conv1D": ("kernel_size", "strides", "padding"),
    "BatchNormalization": ("epsilon",),
    "Dropout": ("rate",),
    "Rescaling": ("scale", "offset"),
}
"""What is compared of a layer's settings, besides the shapes of its weights."""


@dataclass(frozen=True)
class _Size:
    """Arguments of `network.build`."""

    filters: int
    layers: int
    boxes: int
    n_lines: int
    dropout: float = 0.0
    rescale_offsets: bool = True
    bins: int = LOGARITHMIC.n

    def build(self) -> keras.Model:
        return network.build(**asdict(self))


class _Place(NamedTuple):
    """A variable of a file, and its place in the network: layer, variable, and units of the layer."""

    layer: str
    variable: str
    own_layer: str
    units: slice = slice(None)


def to_quasarnp(
    model: keras.Model, path: str | Path, about: Mapping[str, Any] | None = None, grid: Grid | None = None
) -> None:
    """Write a network for QuasarNP and desispec.

    Both take the outputs to be the seven of `objective.LINES` and CIV(1548) in absorption, in 13 boxes each.

    Parameters
    ----------
    model : keras.Model
        Of `network.build`, of any size.
    path : str or Path
        HDF5 file written.
    about : mapping, optional
        Anything that JSON can hold, kept in the attribute `quasarcurves`; other programs pass over it.
    grid : Grid, optional
        That of the spectra; unless given, the one of `spectra.grid.GRIDS` that has as many bins as the model takes.

    Raises
    ------
    ValueError
        If the model is built otherwise, with the first layer that differs, or takes spectra of another grid.
    """
    size = _size_of(model)
    grid = grid or grid_with(size.bins)
    if grid.n != size.bins:
        raise ValueError(f"the model {model.name!r} takes {size.bins} bins, the grid has {grid}")
    with whole_hdf5(path) as file:
        config = _model_config(size)
        file.attrs.update(_KERAS, grid_spacing=grid.spacing)
        file.attrs[_CONFIG], file.attrs[_ABOUT] = json.dumps(config), json.dumps(dict(about or {}))
        file[GRID] = grid.wavelength
        group = file.create_group(_WEIGHTS)
        group.attrs.update(_KERAS)
        layers = [layer["name"] for layer in config["config"]["layers"]]
        group.attrs["layer_names"] = np.array(layers, "S")
        for name in layers:
            group.create_group(name)
        for place in _places(size, _norm_names(size.layers)):
            values = _variables(model, place.own_layer)[place.variable].numpy()
            group[f"{place.layer}/{place.layer}/{place.variable}:0"] = values[..., place.units]
        for name in layers:
            _name_weights(group[name], name)


def from_quasarnp(path: str | Path) -> keras.Model:
    """Read a network of QuasarNP, desispec or QuasarNET.

    Parameters
    ----------
    path : str or Path
        HDF5 file, or the archive that Keras 3 writes (`.keras`). Its layers are found by name; optimizer state and
        pickled functions in it are not looked at.

    Returns
    -------
    keras.Model
        As of `network.build`.

    Raises
    ------
    FileNotFoundError
    ValueError
        If it is not of that layout, or of a network that `network.build` cannot build: with the file, the group,
        what was found and what was expected.
    """
    with _opened(path) as file:
        size = _size_in(file, path)
        model = size.build()
        values: dict[tuple[str, str], np.ndarray] = {}
        for place in _places(size, _found(file, path, _NORM)):
            variable = _variables(model, place.own_layer)[place.variable]
            whole = values.setdefault((place.own_layer, place.variable), np.empty(variable.shape, np.float32))
            part = whole[..., place.units]
            part[...] = _read(file, path, place, part.shape)
    for (layer, variable), value in values.items():
        _variables(model, layer)[variable].assign(value)
    return model


def has_separate_heads(path: str | Path) -> bool:
    """Return whether an archive of Keras 3 has a layer for each head, as QuasarNET has, where `network` has one."""
    return any(name.startswith("fc_box") for name in Archive.read(path).names)


def read_about(path: str | Path) -> dict[str, Any]:
    """Return the `about` that `to_quasarnp` wrote; empty for files from elsewhere."""
    with _opened(path) as file:
        return parse_about(file.attrs.get(_ABOUT, "{}"), path)


def read_grid(path: str | Path) -> Grid:
    """Return the grid of the spectra that a network takes; the logarithmic one, if the file names none.

    Raises
    ------
    ValueError
        If its bins have no constant width.
    """
    with _opened(path) as file:
        return _grid_in(file, path)


def _places(size: _Size, norms: list[str]) -> Iterator[_Place]:
    """Yield the place of every variable of a file, whose normalisations have these names."""
    for i, norm in enumerate(norms, start=1):
        last = i == len(norms)
        layer = "fc_common" if last else f"conv_{i}"
        yield from (_Place(layer, variable, layer) for variable in _OF_LAYER)
        yield from (_Place(norm, variable, "norm_common" if last else f"norm_{i}") for variable in _OF_NORM)
    for kind, slices in zip(("box", "offset"), network.head_slices(size.boxes, size.n_lines), strict=True):
        for k, units in enumerate(slices):
            yield from (_Place(f"fc_{kind}_{k}", variable, network.HEADS, units) for variable in _OF_LAYER)


def _norm_names(layers: int) -> list[str]:
    return [_NORM, *(f"{_NORM}_{i}" for i in range(1, layers + 1))]


def _variables(model: keras.Model, layer: str) -> dict[str, keras.Variable]:
    return {variable.name: variable for variable in model.get_layer(layer).weights}


def _name_weights(group: h5py.Group, name: str) -> None:
    """Write the order in which Keras takes a layer's variables."""
    order = _OF_NORM if name.startswith(_NORM) else _OF_LAYER
    names = [f"{name}/{variable}:0" for variable in order] if len(group) else []
    # as Keras writes none: a string of no length is no type of HDF5
    group.attrs["weight_names"] = np.array(names, "S") if names else np.empty(0)


# what a model or a file is the network of


def _size_of(model: keras.Model) -> _Size:
    """Read the size off a model; refuse one that `network.build` would not build so."""
    layers = {layer.name: layer for layer in model.layers}
    shape = model.output_shape
    if "conv_1" not in layers or not isinstance(shape, tuple) or len(shape) != 3:
        raise ValueError(
            f"the model {model.name!r} is no QuasarNET: no layer conv_1, or not one output (n, lines, boxes)"
        )
    size = _Size(
        filters=layers["conv_1"].filters,
        layers=sum(bool(re.fullmatch(r"conv_\d+", name)) for name in layers),
        boxes=shape[2] // 2,
        n_lines=shape[1],
        dropout=layers["dropout_1"].rate if "dropout_1" in layers else 0.0,
        rescale_offsets="rescale" in layers,
        bins=model.input_shape[1],
    )
    expected = size.build()
    if len(model.layers) != len(expected.layers):
        raise ValueError(f"the model {model.name!r} has {len(model.layers)} layers, a QuasarNET {len(expected.layers)}")
    for found, wanted in zip(map(_described, model.layers), map(_described, expected.layers), strict=True):
        if found != wanted:
            raise ValueError(f"the model {model.name!r} is no QuasarNET: found {found}, expected {wanted}")
    return size


def _described(layer: keras.Layer) -> tuple:
    kind, settings = type(layer).__name__, layer.get_config()
    compared = {key: settings[key] for key in _COMPARED.get(kind, ())}
    return kind, layer.name, compared, [(variable.name, tuple(variable.shape)) for variable in layer.weights]


def _size_in(file: h5py.File, path: str | Path) -> _Size:
    """Read the size off a file; refuse one whose layers are not those of such a network."""
    convolutions, boxes = _found(file, path, "conv"), _found(file, path, "fc_box")
    layers, n_lines = len(convolutions), len(boxes)
    norms = _found(file, path, _NORM)
    expected = [
        *(f"conv_{i}" for i in range(1, layers + 1)), *(norms if len(norms) == layers + 1 else _norm_names(layers)),
        "fc_common", *(f"fc_{kind}_{k}" for kind in ("box", "offset") for k in range(n_lines)),
    ]  # fmt: skip
    found = [name for name, group in file[_WEIGHTS].items() if isinstance(group, h5py.Group) and len(group)]
    if not layers or not n_lines or sorted(found) != sorted(expected):
        raise ValueError(
            f"{path}: {_WEIGHTS} has weights of {', '.join(sorted(found)) or 'no layer'}; "
            f"expected {', '.join(sorted(expected))}"
        )
    described = Described.read(file.attrs.get(_CONFIG), f"{path}: attribute {_CONFIG}")
    size = _Size(
        filters=_dataset(file, path, "conv_1", "kernel").shape[-1],
        layers=layers,
        boxes=_dataset(file, path, boxes[0], "bias").shape[-1],
        n_lines=n_lines,
        dropout=described.dropout,
        rescale_offsets=described.rescales_offsets(n_lines),
        bins=_grid_in(file, path).n,
    )
    described.check(convolutions, norms, n_lines)
    return size


def _found(file: h5py.File, path: str | Path, kind: str) -> list[str]:
    """Names of a kind of layer, by number: `conv_1`, `conv_2` ...; that without a number comes first."""
    if not isinstance(file.get(_WEIGHTS), h5py.Group):
        raise ValueError(
            f"{path}: no group {_WEIGHTS}, it has {', '.join(file) or 'nothing'}; expected a Keras 2 model"
        )
    matches = [re.fullmatch(rf"{kind}(?:_(\d+))?", name) for name in file[_WEIGHTS]]
    return [match[0] for match in sorted(filter(None, matches), key=lambda match: int(match[1] or 0))]


def _grid_in(file: h5py.File, path: str | Path) -> Grid:
    if GRID not in file:
        return LOGARITHMIC
    if not isinstance(file[GRID], h5py.Dataset) or file[GRID].dtype.kind != "f":
        raise ValueError(f"{path}: {GRID} is {file[GRID]}, expected an array of floats")
    try:
        return Grid.of_wavelengths(file[GRID][()])
    except ValueError as error:
        raise ValueError(f"{path}: {GRID}: {error}") from error


@contextmanager
def _opened(path: str | Path) -> Iterator[h5py.File]:
    if zipfile.is_zipfile(path):
        with _laid_out(Archive.read(path)) as file:
            yield file
        return
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read, expected an HDF5 file ({error})") from error
    with file:
        check_network(file, path)
        yield file


def _laid_out(archive: Archive) -> h5py.File:
    """Return a Keras file in this layout: an HDF5 file in memory."""
    file = h5py.File(io.BytesIO(), "w")
    file.attrs[_CONFIG] = json.dumps({"config": archive.config})
    group = file.create_group(_WEIGHTS)
    for name, values in archive.weights.items():
        layer, variable = name.split("/")
        group[f"{layer}/{layer}/{variable}:0"] = values
    return file


def _dataset(file: h5py.File, path: str | Path, layer: str, variable: str) -> h5py.Dataset:
    name = f"{_WEIGHTS}/{layer}/{layer}/{variable}:0"
    # Keras 3 writes names without a number
    data = file.get(name, file.get(name.removesuffix(":0")))
    if not isinstance(data, h5py.Dataset) or not data.shape or data.dtype.kind != "f":
        raise ValueError(f"{path}: {name} is {data or 'missing'}, expected an array of floats")
    return data


def _read(file: h5py.File, path: str | Path, place: _Place, shape: tuple[int, ...]) -> np.ndarray:
    data = _dataset(file, path, place.layer, place.variable)
    if data.shape != shape:
        raise ValueError(f"{path}: {data.name} has shape {data.shape}, expected {shape}")
    values = data[()]
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: {data.name} has {(~np.isfinite(values)).sum()} values that are not finite")
    return values


# the model as Keras 2 describes it


def _model_config(size: _Size) -> dict[str, Any]:
    """Describe the network layer by layer, its heads apart, as Keras 2 does.

    Keras hands out weights in the order of the layers' depth, so the offsets, which are rescaled yet, come first.
    """
    heads = range(size.n_lines)
    offsets = [f"fc_offset_{k}" for k in heads]
    layers = [*_trunk(size), *(_head(name, size) for name in offsets)]
    for k in heads:
        layers.append(_head(f"fc_box_{k}", size))
        if size.rescale_offsets:
            # QuasarNP looks for the name, Keras for the class; QuasarNET's own is a Lambda with pickled code
            name = f"{_RESCALED}_{k}" if k else _RESCALED
            layers.append(_layer("Rescaling", name, offsets[k], scale=OFFSET_SCALE, offset=OFFSET_SHIFT))
            offsets[k] = name
    layers += [_layer("Concatenate", f"conc_box_{k}", f"fc_box_{k}", offsets[k], axis=-1) for k in heads]
    outputs = [[f"conc_box_{k}", 0, 0] for k in heads]
    config = {"name": "QuasarNET", "layers": layers, "input_layers": [["input_1", 0, 0]], "output_layers": outputs}
    return {"class_name": "Functional", "config": config}


def _head(name: str, size: _Size) -> dict[str, Any]:
    return _layer("Dense", name, "fc_activation", units=size.boxes, activation="sigmoid")


def _trunk(size: _Size) -> Iterator[dict[str, Any]]:
    """Describe the layers from the spectrum to the common layer."""
    norms = _norm_names(size.layers)
    yield _layer("InputLayer", "input_1", batch_input_shape=[None, size.bins, 1])
    convolution = {
        "filters": size.filters, "kernel_size": [network.KERNEL_WIDTH], "strides": [network.STRIDE],
        "padding": network.padding_of(size.layers),
    }  # fmt: skip
    last = "input_1"
    for i, norm in enumerate(norms[:-1]):
        activation, dropout = (f"{name}_{i}" if i else name for name in ("activation", "dropout"))
        yield _layer("Conv1D", f"conv_{i + 1}", last, **convolution)
        yield _layer("BatchNormalization", norm, f"conv_{i + 1}", axis=[2], epsilon=EPSILON)
        yield _layer("Activation", activation, norm, activation="relu")
        last = activation
        if size.dropout:
            yield _layer("Dropout", dropout, last, rate=size.dropout)
            last = dropout
    yield _layer("Flatten", "flatten", last)
    yield _layer("Dense", "fc_common", "flatten", units=size.filters, activation="linear")
    yield _layer("BatchNormalization", norms[-1], "fc_common", axis=[1], epsilon=EPSILON)
    yield _layer("Activation", "fc_activation", norms[-1], activation="relu")


def _layer(class_name: str, name: str, *inputs: str, **settings: object) -> dict[str, Any]:
    config = {"name": name, "dtype": "float32", **settings}
    nodes = [[[each, 0, 0, {}] for each in inputs]] if inputs else []
    return {"class_name": class_name, "config": config, "name": name, "inbound_nodes": nodes}
