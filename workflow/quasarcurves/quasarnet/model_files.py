"""Keras files that say which of their outputs belongs to which line.

A `.keras` file describes how a network is built, but not what its outputs are. The lines stand in one more member of
the archive. Keras ignores it, so it still opens the file.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras

from quasarcurves.files import whole_file
from quasarcurves.quasarnet.keras_archive import ABOUT, about_in
from quasarcurves.spectra.grid import GRIDS, LOGARITHMIC, LOGARITHMIC_SPACING
from quasarcurves.training.run_settings import BEST, FINAL, RunSettings

_CONFIG, _METADATA = "config.json", "metadata.json"


def about_run(run: RunSettings, model: str) -> dict[str, Any]:
    """Return what a model file is to say of its run: its lines, its name, and its grid if it is not the usual one.

    Parameters
    ----------
    run : RunSettings
    model : str
        Which of the run's models: final or best.
    """
    return _about(run.to_json(), model)


def _about(params: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return lines and name from a run's stored settings; those of earlier versions may lack others."""
    name = "{study}/f{fraction}_r{replicate}/{optimizer}".format_map(params) + f" {model}"
    if "task" in params:
        return {"task": params["task"]["name"], "name": name}
    network = params["network"]
    about = {"lines": network["lines"], "bal_lines": network["bal_lines"], "name": name}
    grid = GRIDS[network.get("grid", LOGARITHMIC_SPACING)]
    return about if grid == LOGARITHMIC else {**about, "grid": grid.to_json()}


def save_keras(model: keras.Model, path: str | Path, about: Mapping[str, Any]) -> None:
    """Write a Keras file that says which lines the outputs are; `about` as of `about_run`.

    The same model gives the same bytes.
    """
    with whole_file(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members[_CONFIG] = _numbered(members[_CONFIG])
        metadata = json.loads(members[_METADATA])
        del metadata["date_saved"]
        members |= {_METADATA: json.dumps(metadata).encode(), ABOUT: json.dumps(dict(about)).encode()}
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, content in members.items():
                # of a name alone: a member with the date of 1980
                archive.writestr(zipfile.ZipInfo(name), content)


def _numbered(config: bytes) -> bytes:
    """Number the objects that layers share: Keras names them by addresses in memory, which differ each time."""
    numbers: dict[bytes, int] = {}
    return re.sub(
        rb'(?<="shared_object_id": )\d+', lambda found: b"%d" % numbers.setdefault(found[0], len(numbers)), config
    )


def load_keras(path: str | Path) -> keras.Model:
    """Open a Keras file without running any code that it may hold.

    Raises
    ------
    ValueError
        If it is none, or cannot be opened without.
    """
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise ValueError(f"{path}: cannot be opened as a Keras model without code in it ({error})") from error


def read_about(path: Path) -> dict[str, Any]:
    """Return lines and run as a Keras file names them, else the history of the run beside it; empty if neither does."""
    return about_in(path) or _about_beside(path)


def _about_beside(path: Path) -> dict[str, Any]:
    """Return lines and run from the history beside a model; models of earlier versions do not name them."""
    history = path.with_name("history.h5")
    if not history.is_file():
        return {}
    with h5py.File(history) as file:
        return _about(json.loads(file.attrs["params"]), BEST if path.stem == BEST else FINAL)
