"""The file that trainings start from, as a study knows it before anything is trained."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py

from quasarcurves.quasarnet.about import parse_about
from quasarcurves.quasarnet.foreign_files import check_keras, check_network
from quasarcurves.quasarnet.keras_archive import Archive, about_in
from quasarcurves.quasarnet.settings import NetworkSettings, Start
from quasarcurves.quasarnet.shapes import kernel_shapes

_KEY = "network.start"


def start_of(file: str) -> Start:
    """Return a file with the hash of its content.

    Raises
    ------
    FileNotFoundError
    """
    try:
        return Start(file, hashlib.sha256(Path(file).read_bytes()).hexdigest())
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(f"{_KEY}: {file}: no such file") from None


def check(settings: NetworkSettings) -> None:
    """Refuse a file to start from whose lines or kernels are not those of the study's network.

    Raises
    ------
    ValueError
        With the layer, what was found and what was expected.
    """
    if settings.start is None:
        return
    shapes, about = _read(settings.start.file)
    check_lines(settings, [*about["lines"], *about["bal_lines"]] if "lines" in about else ())
    expected = kernel_shapes(settings)
    for name in dict.fromkeys([*expected, *sorted(shapes)]):
        found, wanted = (str(each.get(name, "missing")) for each in (shapes, expected))
        if found != wanted:
            raise ValueError(
                f"{_KEY}: {settings.start.file}: the kernel of {name} is {found}, expected {wanted} as in the study"
            )


def check_lines(settings: NetworkSettings, lines: Sequence[str]) -> None:
    """Refuse a file of other lines; one that does not say them has none here.

    Raises
    ------
    ValueError
    """
    expected = [*settings.lines, *settings.bal_lines]
    if settings.start and lines and list(lines) != expected:
        raise ValueError(
            f"{_KEY}: {settings.start.file}: its lines are {', '.join(lines)}; expected those of the study, "
            f"{', '.join(expected)}"
        )


def _read(file: str) -> tuple[dict[str, tuple[int, ...]], Mapping[str, Any]]:
    """Return the shapes of the kernels before the heads by their layers, and what the file says of itself."""
    about: Mapping[str, Any]
    if zipfile.is_zipfile(file):
        check_keras(file)
        weights, about = Archive.read(file).weights, about_in(file)
        shapes = {
            name.removesuffix("/kernel"): each.shape for name, each in weights.items() if name.endswith("/kernel")
        }
    else:
        shapes, about = _read_quasarnp(file)
    return {name: shape for name, shape in shapes.items() if name.startswith(("conv_", "fc_common"))}, about


def _read_quasarnp(file: str) -> tuple[dict[str, tuple[int, ...]], Mapping[str, Any]]:
    try:
        opened = h5py.File(file, "r")
    except OSError as error:
        raise ValueError(f"{_KEY}: {file}: neither a Keras file (.keras) nor one of QuasarNP (.h5)") from error
    with opened:
        check_network(opened, file)
        names = opened.get("model_weights", {})
        # Keras 3 writes names without a number
        places = {name: f"model_weights/{name}/{name}/kernel" for name in names}
        found = {name: opened.get(f"{place}:0", opened.get(place)) for name, place in places.items()}
        shapes = {name: each.shape for name, each in found.items() if isinstance(each, h5py.Dataset)}
        return shapes, parse_about(opened.attrs.get("quasarcurves", "{}"), file)
