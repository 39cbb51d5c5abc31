"""The gallery of a model's errors as a folder of figures and tables: of a run, or of any spectra with known truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from astropy.io import fits

from quasarcurves.analysis import tables
from quasarcurves.figures import style
from quasarcurves.quasarnet.analysis import gallery
from quasarcurves.quasarnet.analysis.test_set import N_DETECT, Predicted, Tested
from quasarcurves.quasarnet.figures import gallery as figure
from quasarcurves.spectra import sources
from quasarcurves.spectra.grid import N_BINS, normalise
from quasarcurves.spectra.table import UNKNOWN, load_column

_CLASSIFIED = 0
"""Value of FLAG in the table of `prediction.predict` where there was a signal."""


@dataclass(frozen=True)
class Model:
    """What a model says of n spectra of known truth, and where they stand in the files that they were read from.

    Parameters
    ----------
    title : str
    tested : Tested
    predicted : Predicted
    rows : (n,) int array
    lines : mapping
        Names of the `lines` and `bal_lines` of the network.
    threshold, n_detect : float, int
        A quasar has at least `n_detect` emission lines with a confidence above `threshold`.
    """

    title: str
    tested: Tested
    predicted: Predicted
    rows: np.ndarray
    lines: Mapping[str, Sequence[str]]
    threshold: float = 0.5
    n_detect: int = N_DETECT[0]

    @classmethod
    def of_run(cls, results: Path, run: str, model: str) -> Model:
        """Read what the final or the best model of a run says of the test set.

        Raises
        ------
        FileNotFoundError
            If the run has no predictions, with the runs that have some.
        """
        runs = results / "runs"
        path = runs / run / "predictions.h5"
        if not path.is_file():
            known = sorted(str(found.parent.relative_to(runs)) for found in runs.glob("*/*/predictions.h5"))
            raise FileNotFoundError(f"{path}: no such file; there are predictions of {', '.join(known) or 'no run'}")
        with h5py.File(path, "r") as file:
            task = json.loads(file.attrs["run"]).get("task")
        if task:
            raise ValueError(f"{path}: predictions of the task {task['name']}, expected those of QuasarNET")
        made = gallery.PredictedRun.open(path)
        rows = made.rows()
        tested = Tested.load(results / "data" / "spectra.h5", rows)
        return cls(f"{run}, {model} model", tested, made.predicted(model), rows, made.lines)

    @classmethod
    def of_table(cls, path: Path, truth: Sequence[Path]) -> Model:
        """Read what `prediction.predict` has written, for the spectra that a catalogue knows and that have a signal.

        Raises
        ------
        ValueError
            If the catalogue knows none of them.
        """
        with fits.open(path, memmap=True) as hdus:
            header, table = hdus[1].header, hdus[1].data
            known = sources.read_truth(header["SOURCE"], truth).look_up(np.array(table["TARGETID"], np.int64))
            rows = np.flatnonzero(
                (table["FLAG"] == _CLASSIFIED) & known.found & known.inspected & (known.label != UNKNOWN)
            )
            if not len(rows):
                raise ValueError(f"{', '.join(map(str, truth))}: knows none of the {len(table)} spectra in {path}")
            lines = {"lines": header["LINES"].split(","), "bal_lines": [x for x in header["BALLINES"].split(",") if x]}
            predicted = Predicted(
                _columns(table, "C_", lines["lines"], rows),
                np.array(table["ZBEST"][rows], float),
                _columns(table, "C_BAL_", lines["bal_lines"], rows),
            )
            identity = np.array(table["TARGETID"][rows], np.int64)
            tested = Tested(known.z[rows], known.label[rows], known.bal[rows], np.array(table["SNR"][rows]), identity)
            criterion = (float(header["THRESH"]), int(header["NDETECT"]))
            return cls(f"{header['MODEL']}", tested, predicted, rows, lines, *criterion)

    def tables(self, n: int) -> dict[str, pd.DataFrame]:
        """Return the tables of `gallery.write` for this model, with the `n` worst spectra of each kind."""
        errors = gallery.find_errors(self.tested, self.predicted, self.threshold, self.n_detect)
        return {
            "examples": gallery.choose(self.tested, self.predicted, errors, self.rows, self.lines, n),
            "confusion": gallery.confusion(self.tested, self.predicted, self.threshold, (self.n_detect,)),
            "error_counts": gallery.error_counts(errors),
            "redshift_counts": gallery.redshift_counts(self.tested, self.predicted, errors.called),
        }


def write(model: Model, flux: np.ndarray, found: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    """Write the gallery of a model: an overview, a page per kind of error, and the tables.

    Parameters
    ----------
    model : Model
    flux : (n, bins) array
        Of the rows of `found["examples"]`.
    found : mapping
        Of `Model.tables`.
    folder : Path
        Made if there is none.

    Returns
    -------
    list of Path
        The pages, the overview first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    examples, counts = found["examples"], found["error_counts"]
    calls = found["confusion"]
    title = figure.title_of(model.title, calls)
    pages = {"overview": figure.draw(title, examples, flux, calls, counts, found["redshift_counts"])}
    for kind in gallery.KINDS:
        pages[kind] = figure.draw_kind(title, kind, examples, flux, counts)
    for name, page in pages.items():
        style.save(page, [folder / f"{name}.png"])
    for name, table in found.items():
        tables.write(table, folder / f"{name}.csv")
    return [folder / f"{name}.png" for name in pages]


def prepared_flux(spectra: Path, examples: pd.DataFrame) -> np.ndarray:
    """Read the flux of some examples, and of no other spectrum, from a study's prepared spectra."""
    return load_column(spectra, "flux", examples["row"].to_numpy(int))


def read_flux(config: Mapping[str, Any], examples: pd.DataFrame) -> np.ndarray:
    """Read the flux of some examples from the files that were classified, going through them once, part by part."""
    wanted, place = np.unique(examples["row"].to_numpy(int), return_inverse=True)
    flux, start = np.zeros((len(wanted), N_BINS), np.float32), 0
    for binned in sources.read_binned(config) if len(wanted) else ():
        here = (wanted >= start) & (wanted < start + len(binned))
        at = wanted[here] - start
        flux[here] = normalise(binned.flux[at], binned.ivar[at])[0]
        start += len(binned)
        if start > wanted[-1]:
            break
    return flux[place]


def _columns(table: fits.FITS_rec, prefix: str, lines: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """(n, lines) confidences of some rows of a table of predictions."""
    found = [np.array(table[f"{prefix}{name.split('(')[0]}"][rows], float) for name in lines]
    return np.stack(found, axis=1) if found else np.empty((len(rows), 0))
