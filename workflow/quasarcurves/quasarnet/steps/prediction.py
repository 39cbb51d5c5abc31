"""Classifying spectra of any source with a trained network: from files to one FITS table, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from astropy.io import fits

from quasarcurves import __version__
from quasarcurves.files import whole_file
from quasarcurves.quasarnet.analysis.test_set import Predicted
from quasarcurves.quasarnet.calibration import FEWEST, Scaling
from quasarcurves.quasarnet.objective import Decoded
from quasarcurves.quasarnet.trained_network import Trained
from quasarcurves.spectra.grid import median_snr, normalise
from quasarcurves.spectra.sources import read_binned

EXTENSION = "QUASARNET"
CLASSIFIED, NO_IVAR, CONSTANT = range(3)
"""Values of FLAG. A spectrum without signal has no meaningful result, so its columns are NaN."""

_ROWS = 512
"""Input spectra in memory at a time."""

_NOTES = (
    "One row per spectrum read, in the order of the files; exposures of one target in a DESI file are one.",
    "ZBEST: redshift of the most confident emission line, whether or not it is a quasar.",
    "IS_QSO: at least NDETECT emission lines have a confidence above THRESH; P_QSO is, where there is one.",
    "P_QSO: probability of being a quasar, by the confidence of the NDETECT-th most confident line.",
    "C_*, Z_*: confidence and redshift of each line. C_BAL_*, Z_BAL_*: of broad absorption.",
    "SNR: median signal-to-noise ratio per bin of the network's grid.",
    "FLAG: 0 classified, 1 ivar is 0 everywhere, 2 flux is constant. If not 0 nothing else is said.",
)


@dataclass(frozen=True)
class Counts:
    """Numbers of spectra.

    Parameters
    ----------
    spectra, quasars, unusable : int
        Spectra read, spectra called quasars, and spectra without signal.
    """

    spectra: int
    quasars: int
    unusable: int


def predict(
    trained: Trained,
    config: Mapping[str, Any],
    out: Path,
    *,
    threshold: float = 0.5,
    n_detect: int = 1,
    calibrated: bool = False,
    rows: int = _ROWS,
    progress: Callable[[float, int], None] = lambda done, spectra: None,
) -> Counts:
    """Classify spectra.

    Parameters
    ----------
    trained : Trained
    config : mapping
        `source` and `spectra`, as in a study's `data` block; truth and catalogue are not read.
    out : Path
        FITS file written: a table with a row per spectrum, columns as its header explains.
    threshold, n_detect : float, int
        A quasar has at least `n_detect` emission lines with a confidence above `threshold`.
    calibrated : bool
        Whether to say the probability of being a quasar as well, P_QSO, and to hold that against the threshold.
    rows : int
        Input spectra at a time: bounds the memory needed.
    progress : callable
        Called after each part with the share of the input that has been read, and the number of spectra in it.

    Raises
    ------
    ValueError, OSError
        If a file cannot be read, with its name, or nothing is known of how to calibrate the network.
    """
    rule = _Rule(threshold, n_detect, scaling_of(trained, n_detect) if calibrated else None)
    columns = _columns(trained, calibrated)
    counts = Counts(0, 0, 0)
    with whole_file(out) as temporary, TemporaryFile(dir=temporary.parent) as staging:
        for done, table in _tables(trained, config, columns, rows, rule):
            table.tofile(staging)
            counts = Counts(
                counts.spectra + len(table),
                counts.quasars + int(table["IS_QSO"].sum()),
                counts.unusable + int((table["FLAG"] != CLASSIFIED).sum()),
            )
            progress(done, counts.spectra)
        table = np.memmap(staging, columns, "r", shape=(counts.spectra,)) if counts.spectra else np.empty(0, columns)
        hdu = fits.BinTableHDU(table, name=EXTENSION)
        hdu.header.update(_cards(trained, config, rule))
        for note in _NOTES:
            hdu.header.add_comment(note)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(temporary)
    return counts


def scaling_of(trained: Trained, n_detect: int) -> Scaling:
    """Return what makes confidences probabilities, for a number of lines.

    Raises
    ------
    ValueError
        If the network does not know.
    """
    if str(n_detect) not in trained.scalings:
        known = ", ".join(trained.scalings) or "none"
        raise ValueError(
            f"{trained.name}: not calibrated for {n_detect} lines (for {known}); expected a run of a study whose "
            f"validation set has {FEWEST} quasars and {FEWEST} others at least, or a file exported of one"
        )
    return trained.scalings[str(n_detect)]


@dataclass(frozen=True)
class _Rule:
    """What makes a quasar: lines above a threshold or, where there is a scaling, a probability above it."""

    threshold: float
    n_detect: int
    scaling: Scaling | None


def column_names(trained: Trained) -> dict[str, list[str]]:
    """Names of the columns of every line, as in DESI's quasar catalogues: C_CIV for CIV(1548).

    Returns
    -------
    dict
        Lists of names by the attribute of `Decoded` that they show.
    """
    lines, bal_lines = ([name.split("(")[0] for name in names] for names in (trained.lines, trained.bal_lines))
    return {
        "confidence": [f"C_{name}" for name in lines],
        "z_line": [f"Z_{name}" for name in lines],
        "bal_confidence": [f"C_BAL_{name}" for name in bal_lines],
        "bal_z_line": [f"Z_BAL_{name}" for name in bal_lines],
    }


def _columns(trained: Trained, calibrated: bool) -> np.dtype:
    """Columns of the table, in the byte order of FITS."""
    names = column_names(trained)
    return np.dtype([
        ("TARGETID", ">i8"), ("ZBEST", ">f8"), ("IS_QSO", "?"), *([("P_QSO", ">f4")] if calibrated else []),
        *((name, ">f4") for name in names["confidence"]), *((name, ">f8") for name in names["z_line"]),
        *((name, ">f4") for name in names["bal_confidence"]), *((name, ">f8") for name in names["bal_z_line"]),
        ("SNR", ">f4"), ("FLAG", ">i2"),
    ])  # fmt: skip


def _tables(
    trained: Trained, config: Mapping[str, Any], columns: np.dtype, rows: int, rule: _Rule
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the share of the input that has been read, and the part of the table that it gave."""
    for binned in read_binned({**config, "grid": trained.grid.to_json()}, rows):
        flux, usable = normalise(binned.flux, binned.ivar)
        table = np.empty(len(binned), columns)
        table["TARGETID"] = binned.key
        table["SNR"] = median_snr(binned.flux, binned.ivar)
        table["FLAG"] = np.select([usable, ~(binned.ivar > 0).any(axis=1)], [CLASSIFIED, NO_IVAR], CONSTANT)
        _fill(table, trained.apply(flux), column_names(trained), rule)
        for name in columns.names or ():
            if columns[name].kind == "f" and name != "SNR":
                table[name][~usable] = np.nan
        table["IS_QSO"] &= usable
        yield binned.done, table


def _fill(table: np.ndarray, decoded: Decoded, names: Mapping[str, list[str]], rule: _Rule) -> None:
    table["ZBEST"] = decoded.z_best
    if rule.scaling is None:
        table["IS_QSO"] = decoded.is_quasar(rule.threshold, rule.n_detect)
    else:
        score = Predicted(decoded.confidence, decoded.z_best, decoded.bal_confidence).score(rule.n_detect)
        table["P_QSO"] = rule.scaling.apply(score)
        table["IS_QSO"] = table["P_QSO"] > rule.threshold
    for attribute, of_lines in names.items():
        for name, values in zip(of_lines, getattr(decoded, attribute).T, strict=True):
            table[name] = values


def _cards(trained: Trained, config: Mapping[str, Any], rule: _Rule) -> list[tuple[str, object, str]]:
    scaling = rule.scaling
    scaled = [] if scaling is None else [
        ("CALSLOPE", scaling.slope, "P_QSO: slope of the logit of the confidence"),
        ("CALOFFS", scaling.offset, "P_QSO: offset of the same"),
        ("CALN", scaling.n, "spectra that both were fitted on"),
    ]  # fmt: skip
    return [
        # a header holds ASCII only
        ("MODEL", trained.name.encode("ascii", "replace").decode(), "run or file of the network"),
        ("MODELID", trained.id, "hash of its weights and lines"),
        ("GRID", str(trained.grid), ""),
        # no room for more on this card
        ("LINES", ",".join(trained.lines), ""),
        ("BALLINES", ",".join(trained.bal_lines), "lines of broad absorption"),
        ("THRESH", rule.threshold, "confidence that a line needs" if scaling is None else "P_QSO that a quasar needs"),
        ("NDETECT", rule.n_detect, "lines that a quasar needs"),
        *scaled,
        ("SOURCE", config["source"], "format of the spectra"),
        ("CREATOR", f"quasarcurves {__version__}", ""),
    ]
