"""The errors of a model on the test set, by kind, and the worst spectra of each kind.

A spectrum is called a quasar if enough of its lines have a confidence above the threshold, and a redshift is right
within 6000 km/s, as everywhere (`quasarnet.metrics`). So a galaxy that is called a quasar at its right redshift is no
error: it does not lower the purity either. Spectra whose truth is not trusted are no errors of anybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.scorer import MODELS
from quasarcurves.quasarnet.analysis.scores import WORKING_THRESHOLD
from quasarcurves.quasarnet.analysis.test_set import N_DETECT, Predicted, Tested
from quasarcurves.quasarnet.metrics import has_good_redshift, velocity
from quasarcurves.quasarnet.objective import rest_wavelengths
from quasarcurves.spectra.table import BAD, GALAXY, QSO_HIGH, QSO_LOW, STAR

KINDS = ("missed", "contaminant", "redshift", "bal")
"""Quasars not called so; others called quasars; quasars with a wrong redshift; wrong on broad absorption."""

CLASSES = {STAR: "star", GALAXY: "galaxy", QSO_LOW: "quasar z < 2.1", QSO_HIGH: "quasar z >= 2.1", BAD: "not trusted"}
"""Names of the labels of `spectra.table`."""

WORST = 12
"""Spectra of each kind in the table of a study."""

BIN = 0.02
"""Width of the bins of redshifts in redshift_counts.csv."""


@dataclass(frozen=True)
class Errors:
    """The errors of a model, a row per kind of `KINDS`.

    Parameters
    ----------
    wrong, among : (4, n) bool arrays
        Which spectra are errors of a kind, and which could be.
    severity : (4, n) float64 array
        The worst has the most: what the confidence lacks of 1; the confidence; |dv| in km/s; the error of the
        confidence of broad absorption.
    called : (n,) bool array
        Called a quasar.
    """

    wrong: np.ndarray
    among: np.ndarray
    severity: np.ndarray
    called: np.ndarray

    def worst(self, kind: int, n: int) -> np.ndarray:
        """Return the places of the `n` worst errors of a kind, the worst first; fewer if there are not so many."""
        found = np.flatnonzero(self.wrong[kind])
        return found[np.argsort(-self.severity[kind, found], kind="stable")][:n]


def find_errors(
    tested: Tested, predicted: Predicted, threshold: float = WORKING_THRESHOLD, n_detect: int = 1
) -> Errors:
    """Find the errors of a model.

    Parameters
    ----------
    tested : Tested
        n spectra.
    predicted : Predicted
        Of the same. Spectra whose confidences are not finite (of a model that diverged) are no errors of any kind.
    threshold, n_detect : float, int
        A quasar has at least `n_detect` emission lines with a confidence above `threshold`.
    """
    usable = np.isfinite(predicted.confidence).all(axis=1)
    score = np.where(usable, predicted.score(n_detect), 0.0)
    called, good = score > threshold, has_good_redshift(predicted.z_best, tested.z)
    is_qso, others = tested.is_qso & usable, ((tested.label == STAR) | tested.is_galaxy) & usable
    is_bal, bal_score = tested.bal == 1, np.nan_to_num(predicted.bal_score)
    with_bal = is_qso & called & (tested.bal != 0) & (predicted.bal_confidence.shape[1] > 0)
    wrong = [
        is_qso & ~called,
        others & called & ~(tested.is_galaxy & good),
        is_qso & called & ~good,
        with_bal & ((bal_score > threshold) != is_bal),
    ]
    among = [is_qso, others, is_qso & called, with_bal]
    severity = [1 - score, score, np.abs(velocity(predicted.z_best, tested.z)), np.abs(bal_score - is_bal)]
    return Errors(np.array(wrong), np.array(among), np.array(severity), called)


def choose(
    tested: Tested, predicted: Predicted, errors: Errors, rows: np.ndarray, lines: Mapping[str, Sequence[str]], n: int
) -> pd.DataFrame:
    """Return the `n` worst spectra of each kind; the columns are those of `write`, without those of a run.

    Parameters
    ----------
    tested, predicted, errors
        Of the same spectra.
    rows : (n,) int array
        Where each spectrum stands in the file that it was read from.
    lines : mapping
        Names of the `lines` and `bal_lines` of the network.
    n : int
    """
    parts = []
    for k, kind in enumerate(KINDS):
        at = errors.worst(k, n)
        table = pd.DataFrame({"kind": kind, "rank": np.arange(1, len(at) + 1), "row": rows[at]})
        for name in ("target_id", "z", "bal", "snr"):
            table[name] = getattr(tested, name)[at]
        table["class"] = [CLASSES[label] for label in tested.label[at].tolist()]
        table["called"], table["z_found"] = errors.called[at], predicted.z_best[at]
        table["dv"] = velocity(predicted.z_best, tested.z)[at]
        z = np.where(tested.is_qso | tested.is_galaxy, tested.z, np.nan)  # a star has none of these lines
        table["mistaken"] = mistaken_lines(predicted, z, at, lines["lines"])
        for names, values, prefix in (
            (lines["lines"], predicted.confidence, "c_"), (lines["bal_lines"], predicted.bal_confidence, "c_bal_"),
        ):  # fmt: skip
            table = table.assign(**{f"{prefix}{name}": values[at, i] for i, name in enumerate(names)})
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def mistaken_lines(predicted: Predicted, z: np.ndarray, at: np.ndarray, lines: Sequence[str]) -> list[str]:
    """Say, for the spectra at some places, which line the most confident one was taken for; "" where none fits.

    The line found stands at its wavelength at the redshift found. A line that stands there at the true redshift, within
    6000 km/s, is what was seen.
    """
    rest, said = rest_wavelengths(lines), []
    for i in at:
        best = int(np.argmax(predicted.confidence[i]))
        seen = rest[best] * (1 + predicted.z_best[i]) / (1 + z[i]) if np.isfinite(z[i]) else np.nan
        # a wavelength less 1 is the redshift of 1 Angstrom
        fitting = has_good_redshift(np.full(len(rest), seen - 1), rest - 1)
        fits = [name for j, name in enumerate(lines) if j != best and fitting[j]]
        said.append(f"{fits[0]} for {lines[best]}" if fits else "")
    return said


def confusion(
    tested: Tested, predicted: Predicted, threshold: float = WORKING_THRESHOLD, numbers: Sequence[int] = N_DETECT
) -> pd.DataFrame:
    """Return, per number of lines and class, how many spectra are called quasars and with which redshift."""
    good = has_good_redshift(predicted.z_best, tested.z)
    unusable = ~np.isfinite(predicted.confidence).all(axis=1)
    rows = []
    for n_detect in numbers:
        called = find_errors(tested, predicted, threshold, n_detect).called
        for label, name in CLASSES.items():
            own = tested.label == label
            counts = {
                "right_redshift": own & called & good,
                "wrong_redshift": own & called & ~good,
                "not_called": own & ~called & ~unusable,
                "unusable": own & unusable,
            }
            sums = {key: int(mask.sum()) for key, mask in counts.items()}
            rows.append({"n_detect": n_detect, "class": name, "spectra": int(own.sum()), **sums})
    return pd.DataFrame(rows)


def error_counts(errors: Errors) -> pd.DataFrame:
    """Return how many errors of each kind there are, and among how many spectra."""
    return pd.DataFrame({"kind": KINDS, "errors": errors.wrong.sum(axis=1), "among": errors.among.sum(axis=1)})


def redshift_counts(tested: Tested, predicted: Predicted, called: np.ndarray) -> pd.DataFrame:
    """Return how many spectra that are called quasars lie in each bin of true and found redshift, by class."""
    known = called & np.isfinite(tested.z) & np.isfinite(predicted.z_best)
    table = pd.DataFrame({"class": [CLASSES.get(label, "") for label in tested.label[known].tolist()]})
    for name, z in (("z", tested.z), ("z_found", predicted.z_best)):
        table[name] = (np.floor(z[known] / BIN) + 0.5) * BIN
    return table.groupby(["class", "z", "z_found"], as_index=False).size().rename(columns={"size": "spectra"})


def write(
    predictions: Iterable[Path],
    spectra: Path,
    examples: Path,
    confusion_table: Path,
    counts: Path,
    redshifts: Path,
) -> None:
    """Write the tables of errors on the test set. A quasar has a line above 0.5, where `n_detect` does not say 2.

    Columns of confusion.csv, a row per run, model, n_detect and class
    ------------------------------------------------------------------
    spectra
        Of that class in the test set.
    right_redshift, wrong_redshift, not_called
        Called quasars with a redshift within 6000 km/s of the truth, or another one; not called quasars.
    unusable
        Spectra of which the model says nothing finite, as it diverged.

    Columns of error_counts.csv, a row per run, model and kind
    ----------------------------------------------------------
    kind
        One of `KINDS`.
    errors, among
        Spectra that are errors of the kind, of how many that could be: quasars; stars and galaxies; quasars called so;
        those of them whose broad absorption is known.

    Columns of examples.csv, a row per optimizer, kind and rank
    -----------------------------------------------------------
    fraction, replicate, optimizer
        The run that is looked at: the first replicate, of the largest training set, whose final model says anything.
    rank
        The worst is 1: missed quasars by the least confidence, contaminants by the most, redshifts by |dv|, broad
        absorption by the error of its confidence.
    row, target_id, class, z, bal, snr
        The spectrum in data/spectra.h5, and what is known of it.
    called, z_found, dv, mistaken
        Whether it is called a quasar, its redshift, the error in km/s, and "CIV(1548) for LYA" where one line was taken
        for another.
    c_<line>, c_bal_<line>
        Confidences.
    wrong_in, replicates
        Replicates of that size and optimizer that make the same kind of error, of how many. What all make is the
        spectrum's; what one makes is the training's.

    Columns of redshift_counts.csv, a row per optimizer, class and bin
    ------------------------------------------------------------------
    z, z_found, spectra
        Centres of bins of 0.02, and the number of spectra called quasars in them, of the run in examples.csv.

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    spectra : Path
        The prepared spectra.
    examples, confusion_table, counts, redshifts : Path
        Files written.
    """
    runs = [PredictedRun.open(path) for path in predictions]
    tested = Tested.load(spectra, runs[0].rows())
    tables.write(pd.concat([run.keyed(run.confusions(tested)) for run in runs]), confusion_table)
    tables.write(pd.concat([run.keyed(run.counts(tested)) for run in runs]), counts)
    chosen, binned = [], []
    for group in _largest(runs):
        shown = next((run for run in group if run.says_anything()), group[0])
        predicted = shown.predicted("final")
        errors = find_errors(tested, predicted)
        table = choose(tested, predicted, errors, shown.rows(), shown.lines, WORST)
        chosen.append(shown.keyed(_with_replicates(table, group, tested)))
        binned.append(shown.keyed(redshift_counts(tested, predicted, errors.called)))
    tables.write(pd.concat(chosen), examples)
    tables.write(pd.concat(binned), redshifts)


@dataclass(frozen=True)
class PredictedRun:
    """A run's file of predictions, which is read as it is asked for.

    Parameters
    ----------
    path : Path
    keys : mapping
        Fraction, replicate and optimizer.
    lines : mapping
        Names of the `lines` and `bal_lines` of the network.
    """

    path: Path
    keys: Mapping[str, Any]
    lines: Mapping[str, Sequence[str]]

    @classmethod
    def open(cls, path: Path) -> PredictedRun:
        """Read what stands beside the predictions."""
        with h5py.File(path, "r") as file:
            run = json.loads(file.attrs["run"])
        return cls(path, {key: run[key] for key in tables.RUN_KEYS}, run["network"])

    def rows(self) -> np.ndarray:
        """(n,) rows of the test set in the file of prepared spectra."""
        with h5py.File(self.path, "r") as file:
            return file["row"][:]

    def predicted(self, model: str) -> Predicted:
        """Return what the final or the best model says."""
        with h5py.File(self.path, "r") as file:
            return Predicted.load(file[model])

    def says_anything(self) -> bool:
        """Whether any output of the final model is finite."""
        return bool(np.isfinite(self.predicted("final").confidence).all(axis=1).any())

    def confusions(self, tested: Tested) -> pd.DataFrame:
        """Return the rows of confusion.csv."""
        return pd.concat([confusion(tested, self.predicted(model)).assign(model=model) for model in MODELS])

    def counts(self, tested: Tested) -> pd.DataFrame:
        """Return the rows of error_counts.csv."""
        found = {model: find_errors(tested, self.predicted(model)) for model in MODELS}
        return pd.concat([error_counts(errors).assign(model=model) for model, errors in found.items()])

    def keyed(self, table: pd.DataFrame) -> pd.DataFrame:
        """Put the keys of the run, and its model, before the other columns."""
        first = [*tables.RUN_KEYS, *(["model"] if "model" in table else [])]
        return table.assign(**self.keys)[[*first, *(name for name in table.columns if name != "model")]]


def _largest(runs: Sequence[PredictedRun]) -> list[list[PredictedRun]]:
    """Return the replicates of the largest training set of each optimizer."""
    groups = []
    for optimizer in dict.fromkeys(run.keys["optimizer"] for run in runs):
        own = [run for run in runs if run.keys["optimizer"] == optimizer]
        largest = max(run.keys["fraction"] for run in own)
        own = [run for run in own if run.keys["fraction"] == largest]
        groups.append(sorted(own, key=lambda run: run.keys["replicate"]))
    return groups


def _with_replicates(table: pd.DataFrame, group: Sequence[PredictedRun], tested: Tested) -> pd.DataFrame:
    """Add in how many replicates a spectrum is an error of the same kind."""
    wrong = np.zeros((len(KINDS), len(tested.z)), int)
    for run in group:
        wrong += find_errors(tested, run.predicted("final")).wrong
    place = {row: i for i, row in enumerate(group[0].rows().tolist())}
    shared = [wrong[KINDS.index(kind), place[row]] for kind, row in zip(table["kind"], table["row"], strict=True)]
    return table.assign(wrong_in=np.array(shared, int), replicates=len(group))
