"""A trained network together with the lines of its outputs, from a file of either kind."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from quasarcurves.quasarnet import export, model_files
from quasarcurves.quasarnet.calibration import Scaling
from quasarcurves.quasarnet.foreign_files import check_keras
from quasarcurves.quasarnet.objective import LINES, Decoded, decode, rest_wavelengths
from quasarcurves.spectra.grid import LOGARITHMIC, Grid

BAL_LINES = ("CIV(1548)",)
"""With `LINES` the outputs of the networks of QuasarNET and DESI, in their order."""


@dataclass(frozen=True)
class Trained:
    """A trained network that knows its lines.

    Parameters
    ----------
    model : keras.Model
        (n, bins, 1) -> (n, L, 2B).
    lines, bal_lines : sequences of str
        Names in `objective.LINES` of the L outputs, the BAL lines last.
    name : str
        Of the run that made it, or of its file.
    grid : Grid
        That of the spectra it takes.
    scalings : mapping of str to Scaling
        What makes its confidences probabilities, by the number of lines that a quasar needs; empty if nothing is known.

    Raises
    ------
    ValueError
        If the model has another number of outputs, takes something else, or a line is not known.
    """

    model: keras.Model
    lines: Sequence[str]
    bal_lines: Sequence[str]
    name: str = ""
    grid: Grid = LOGARITHMIC
    scalings: Mapping[str, Scaling] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rest_wavelengths([*self.lines, *self.bal_lines])
        n_lines = len(self.lines) + len(self.bal_lines)
        taken, given = self.model.input_shape, self.model.output_shape
        if taken != (None, self.grid.n, 1) or len(given) != 3 or given[1] != n_lines or not self.lines:
            raise ValueError(
                f"{self.name}: the network takes {taken} and gives {given}; "
                f"expected (None, {self.grid.n}, 1) and (None, {n_lines}, 2 * boxes) for {n_lines} lines"
            )

    @property
    def id(self) -> str:
        """Hash of weights, lines, grid and scale of offsets, 16 hexadecimal digits; the same in every file format."""
        found = hashlib.sha256(json.dumps([list(self.lines), list(self.bal_lines)]).encode())
        if not any(isinstance(layer, keras.layers.Rescaling) for layer in self.model.layers):
            found.update(b"offsets are not rescaled")
        if self.grid != LOGARITHMIC:
            found.update(json.dumps(self.grid.to_json()).encode())
        for layer in self.model.layers:
            for variable in layer.weights:
                # the state of a random generator is no weight
                if np.dtype(variable.dtype).kind == "f":
                    found.update(f"{layer.name}/{variable.name}{tuple(variable.shape)}".encode())
                    found.update(variable.numpy().astype("<f4").tobytes())
        return found.hexdigest()[:16]

    @property
    def is_published_form(self) -> bool:
        """Whether its outputs are those that QuasarNP and desispec expect: seven lines in 13 boxes."""
        return (*self.lines, *self.bal_lines) == (*LINES, *BAL_LINES) and self.model.output_shape[2] == 2 * 13

    def apply(self, flux: np.ndarray) -> Decoded:
        """Return confidences and redshifts of normalised spectra on its grid, (n, bins)."""
        outputs = self.model.predict_on_batch(np.asarray(flux, np.float32)[..., None])
        return decode(np.asarray(outputs), self.lines, self.bal_lines, self.grid)

    def save(self, path: str | Path) -> None:
        """Write to a Keras file if the name ends in `.keras`, else in QuasarNP's layout."""
        about: dict[str, Any] = {"lines": list(self.lines), "bal_lines": list(self.bal_lines), "name": self.name}
        if self.scalings:
            about["scalings"] = {name: scaling.to_json() for name, scaling in self.scalings.items()}
        if Path(path).suffix == ".keras":
            of_grid = {} if self.grid == LOGARITHMIC else {"grid": self.grid.to_json()}
            model_files.save_keras(self.model, path, about | of_grid)
        else:
            export.to_quasarnp(self.model, path, about, self.grid)

    @classmethod
    def load(cls, path: str | Path) -> Trained:
        """Read a Keras file or one of QuasarNP's layout, whatever it is called.

        The lines are those that the file names, else those of the run whose history lies beside it, else, for seven
        outputs, those of QuasarNET.

        Raises
        ------
        FileNotFoundError
        ValueError
            If it is neither, holds code, has weights that are not finite, or does not say which lines its outputs are.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        if h5py.is_hdf5(path):
            model, about, grid = export.from_quasarnp(path), export.read_about(path), export.read_grid(path)
        elif zipfile.is_zipfile(path):
            check_keras(path)
            about = model_files.read_about(path)
            if "task" in about:
                raise ValueError(f"{path}: a model of the task {about['task']}, expected one of QuasarNET")
            read = export.from_quasarnp if export.has_separate_heads(path) else model_files.load_keras
            model = read(path)
            grid = Grid.from_json(about["grid"]) if "grid" in about else LOGARITHMIC
        else:
            raise ValueError(f"{path}: neither a Keras file (.keras) nor one of QuasarNP (.h5)")
        _require_finite(model, path)
        about = about or _published(model, path)
        name = about.get("name") or path.name
        return cls(model, about["lines"], about["bal_lines"], name, grid, _scalings(about.get("scalings", {}), path))


def _scalings(values: Any, path: Path) -> dict[str, Scaling]:
    if not isinstance(values, dict):
        raise ValueError(f"{path}: scalings: expected some by number of lines, found {str(values)[:80]}")
    try:
        return {name: Scaling.from_json(each) for name, each in values.items()}
    except ValueError as error:
        raise ValueError(f"{path}: scalings: {error}") from None


def _require_finite(model: keras.Model, path: Path) -> None:
    for layer in model.layers:
        for variable in layer.weights:
            if not np.isfinite(variable.numpy()).all():
                raise ValueError(
                    f"{path}: {layer.name}/{variable.name} has values that are not finite, as after a training that "
                    "diverged; expected finite weights"
                )


def _published(model: keras.Model, path: Path) -> dict[str, Any]:
    expected = len(LINES) + len(BAL_LINES)
    if model.output_shape[1:2] != (expected,):
        raise ValueError(
            f"{path}: does not name the lines of its outputs {model.output_shape}; expected the {expected} of "
            "QuasarNET, or a file written by quasarcurves, or the history.h5 of its run beside it"
        )
    return {"lines": list(LINES), "bal_lines": list(BAL_LINES)}
