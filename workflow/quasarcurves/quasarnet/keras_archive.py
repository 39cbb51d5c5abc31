"""The archive that Keras 3 writes (`.keras`), read without Keras: settings of layers as JSON, and arrays."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from quasarcurves.quasarnet.about import parse_about

ABOUT = "quasarcurves.json"
"""Member of the archive in which this library says what the outputs are; Keras ignores it."""

VARIABLES = {
    "Conv1D": ("kernel", "bias"),
    "Dense": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}
"""Variables of a layer, in the order of the file."""


@dataclass(frozen=True)
class Archive:
    """What a Keras file says of a network.

    Parameters
    ----------
    config : mapping
        Of the model: `layers`, a list with `class_name`, `config` and `inbound_nodes` of each.
    weights : mapping of str to array
        By layer and variable, such as `conv_1/kernel`: the paths of Keras's variables.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, np.ndarray]

    @property
    def names(self) -> list[str]:
        """Names of all layers."""
        return [layer["config"]["name"] for layer in self.config["layers"]]

    @classmethod
    def read(cls, path: str | Path) -> Archive:
        """Read a Keras file.

        Raises
        ------
        FileNotFoundError
        ValueError
            If it is none.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json"))["config"]
                kinds = {layer["config"]["name"]: layer["class_name"] for layer in config["layers"]}
                with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
                    return cls(config, _weights(file["layers"], kinds))
        except FileNotFoundError:
            raise
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError, OSError) as error:
            raise ValueError(f"{path}: cannot be read as a network of Keras ({error})") from error


def about_in(path: str | Path) -> dict[str, Any]:
    """Return what a Keras file says of itself where this library wrote it; empty for files from elsewhere."""
    with zipfile.ZipFile(path) as archive:
        return parse_about(archive.read(ABOUT), path) if ABOUT in archive.namelist() else {}


def _weights(group: h5py.Group, kinds: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Read the weights by their paths; Keras's groups are numbered, and say in an attribute which layer they are."""
    found = {}
    for entry in group.values():
        layer = entry["vars"].attrs["name"]
        for i, variable in enumerate(VARIABLES.get(kinds[layer], ())):
            if str(i) in entry["vars"]:
                found[f"{layer}/{variable}"] = entry["vars"][str(i)][()]
    return found
