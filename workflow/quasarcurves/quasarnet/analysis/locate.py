"""Where the errors of a study's final models are: at which redshifts, where within a box, and among which fibres.

The models of one optimizer and size of the training set are taken together, by one line with a confidence above 0.5.
They are tested on the same objects, so that what they say of one object is alike, and so are repeat observations of it.
An object with all that all models say of it is one cluster, and intervals are over objects
(`analysis.stats.clustered`). They hold for these models: how much trainings differ is in test_summary.csv. A model that
says nothing finite of any spectrum has diverged and is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.scorer import MODELS
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.clustered import Shares, means, shares, wave
from quasarcurves.analysis.stats.comparisons import holm
from quasarcurves.quasarnet.analysis.scores import FEWEST, WORKING_THRESHOLD
from quasarcurves.quasarnet.analysis.test_set import N_DETECT, Predicted, Tested, tested_runs
from quasarcurves.quasarnet.metrics import DV_MAX, has_good_redshift, velocity
from quasarcurves.quasarnet.objective import NO_BOX, line_targets
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra.empty_fibres import is_empty
from quasarcurves.spectra.table import STAR

GROUP = ["optimizer", "fraction", "n_train"]

WIDTHS, PER_BIN = (0.05, 0.1, 0.2, 0.5, 1.0), 20
"""Widths of bins in redshift: the first that has so many test quasars per bin is taken, or the last."""

PLACES = 8
"""Bins of the place of a line within its box."""

FEWEST_OF_WAVE = 100
"""Fewest quasars that a wave is fitted to: of 60 without a wave, 7 % of fits find one at the level of 5 %."""

BEST = "best"
"""In place of a line: the most confident one, by which the redshift of the spectrum is found."""

SNR_EDGES = (-np.inf, 1.0, 2.0, 4.0, 8.0, 16.0, np.inf)
"""Median signal-to-noise ratio per bin, the same for all studies: fibres without an object have about 0."""

CLASSES = ("star", "galaxy", "empty")
"""What is no quasar for certain; spectra that are not trusted may be."""


def write(
    predictions: Iterable[Path], spectra: Path, runs: Path, by_redshift: Path, wiggles: Path, false_positives: Path
) -> None:
    """Write where errors are. A `_low` and `_high` bound 95 % over objects; a `note` says why a number is missing.

    Columns of all three
    --------------------
    optimizer, fraction, n_train
        Whose models are taken together.
    models, diverged
        How many these are, and how many more say nothing.

    Columns of errors_by_redshift.csv, a row per optimizer, size and bin
    --------------------------------------------------------------------
    z_low, z_high
        Ends of the bin; empty at the open ends, where redshifts may be found but no test quasar is.
    n_quasars, completeness
        Test quasars with a true redshift in the bin; share of them, over all models, that are called so with a good
        redshift.
    n_called, purity
        Calls of all models together with a redshift found in the bin, spectra that are not trusted left out; share of
        them that are right, see `quasarnet.metrics.purity_completeness`.
    completeness_p_holm, purity_p_holm
        Probability that the share is so far from that of all other bins by chance, adjusted for the number of bins.

    Columns of redshift_wiggles.csv, a row per optimizer, size, line and bin
    ------------------------------------------------------------------------
    line
        The redshifts are those from this line, where its confidence is above 0.5 and dv within 6000 km/s; `best`: those
        of the spectra, each by its most confident line.
    place_low, place_high
        The bin: the true place of the line within its box, 0 to 1.
    n_quasars, n_redshifts
        Test quasars, and their redshifts by all models together.
    mean_dv, median_dv
        km/s; the interval of the mean is there for ten quasars and more.
    amplitude, amplitude_by_chance, amplitude_p, amplitude_p_holm, wiggles
        Of the line, in all of its rows: amplitude in km/s of the wave that fits dv best beside a parabola over the
        spectrum, sines of one and two periods of the box; what chance alone exceeds in 5 % of cases; the probability of
        such a wave by chance, alone and adjusted for all lines, optimizers and sizes of the table; whether the last is
        below 5 %.

    Columns of false_positives.csv, a row per optimizer, size, class and bin of S/N
    -------------------------------------------------------------------------------
    class
        `star`, `galaxy`, or `empty`: a fibre without an object (`spectra.empty_fibres`).
    snr_low, snr_high
        Ends of the bin; empty at the open ends.
    n_spectra, called, false_positives
        Test spectra; how many of them are called quasars, over all models; the same without galaxies at their right
        redshift, which are no error in the purity either.
    per_1000
        False positives of one model among 1,000 such fibres. To have those of a survey, multiply by its fibres.
    line
        The line by which most of them are taken for quasars.

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    spectra, runs : Path
        The prepared spectra, and runs.csv.
    by_redshift, wiggles, false_positives : Path
        Tables written.

    Raises
    ------
    ValueError
        If runs differ in their test sets, or a file lacks something.
    """
    parts: list[list[pd.DataFrame]] = [[], [], []]
    for keys, tested, models in _groups(predictions, spectra, tables.read(runs), runs):
        edges = redshift_edges(tested.z[tested.is_qso])
        for rows, found in zip(
            parts, (redshift_errors(tested, models, edges), place_errors(tested, models), fibre_errors(tested, models)),
            strict=True,
        ):  # fmt: skip
            rows.append(found.assign(**keys)[[*keys, *found.columns]])
    redshifts, places, fibres = (pd.concat(rows, ignore_index=True) for rows in parts)
    tables.write(redshifts, by_redshift)
    tables.write(judged(places), wiggles)
    tables.write(fibres, false_positives)


@dataclass(frozen=True)
class Model:
    """What a model says of n test spectra.

    Parameters
    ----------
    predicted : Predicted
    z_line : (n, lines) array
        Redshift from each line.
    network : NetworkSettings
    """

    predicted: Predicted
    z_line: np.ndarray
    network: NetworkSettings

    @property
    def called(self) -> np.ndarray:
        """(n,) bool: called a quasar; a NaN never is."""
        return self.predicted.score(N_DETECT[0]) > WORKING_THRESHOLD

    @property
    def best(self) -> np.ndarray:
        """(n,) the most confident line, by its place among the lines."""
        return np.nan_to_num(self.predicted.confidence, nan=-1).argmax(axis=1)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its lines."""
        return self.network.lines


def _groups(
    predictions: Iterable[Path], spectra: Path, table: pd.DataFrame, path: Path
) -> Iterator[tuple[dict[str, Any], Tested, list[Model]]]:
    """Yield the final models of every optimizer and size with the test set, one group in memory at a time."""
    n_train = table.set_index(tables.RUN_KEYS)["n_train"]

    def group(run: Mapping[str, Any]) -> tuple[str, float]:
        return run["optimizer"], -run["fraction"]

    ordered = sorted(((group(_run(file)), i, file) for i, file in enumerate(predictions)), key=lambda each: each[:2])
    of_runs = tested_runs((file for *_, file in ordered), spectra)
    for (optimizer, size), runs in groupby(of_runs, key=lambda each: group(each[0])):
        models, sizes, count = [], [], 0
        for run, file, tested in runs:
            count += 1
            sizes.append(tables.of_run(n_train, run, path))
            model = _load(file[MODELS[0]], run["network"])
            if np.isfinite(model.predicted.confidence).any() or not len(tested.z):
                models.append(model)
        keys = {"optimizer": optimizer, "fraction": -size, "n_train": int(np.median(sizes))}
        yield keys | {"models": len(models), "diverged": count - len(models)}, tested, models


def _run(path: Path) -> dict[str, Any]:
    with h5py.File(path, "r") as file:
        found: dict[str, Any] = json.loads(file.attrs["run"])
    return found


def _load(group: h5py.Group, network: Mapping[str, Any]) -> Model:
    return Model(Predicted.load(group), group["z_line"][:].astype(np.float64), NetworkSettings.from_json(network))


def redshift_edges(z: np.ndarray) -> np.ndarray:
    """Return edges of bins for the redshifts (n,) of test quasars: at multiples of a width, the first and last filled.

    The bins are as wide as `WIDTHS` says; a single one from 0 to 1 where there is no quasar.
    """
    if not len(z):
        return np.array([0.0, 1.0])
    for width in WIDTHS:
        first, last = np.floor(z.min() / width), np.floor(z.max() / width) + 1
        if len(z) >= PER_BIN * (last - first) or width == WIDTHS[-1]:
            break
    return np.round(np.arange(first, last + 1) * width, 10)


def redshift_errors(tested: Tested, models: Sequence[Model], edges: np.ndarray) -> pd.DataFrame:
    """Return the rows of errors_by_redshift.csv for some models, in bins with these edges and beyond them."""
    open_edges = np.concatenate([[-np.inf], edges, [np.inf]])
    bins, true = len(open_edges) - 1, _bin(tested.z, open_edges)
    found, called = _Pool(tested), _Pool(tested)
    for model in models:
        z, good = model.predicted.z_best, has_good_redshift(model.predicted.z_best, tested.z)
        found.add(tested.is_qso, true, model.called & good)
        called.add(model.called & ~tested.is_bad, _bin(z, open_edges), good & (tested.is_qso | tested.is_galaxy))
    complete, pure = found.shares(bins), called.shares(bins)
    n_quasars = np.bincount(true[tested.is_qso], minlength=bins)
    table = pd.DataFrame({"z_low": open_edges[:-1], "z_high": open_edges[1:]}).replace([-np.inf, np.inf], np.nan)
    table = table.assign(n_quasars=n_quasars, **_columns("completeness", complete), n_called=pure.n)
    table = table.assign(**_columns("purity", pure))
    for name, each in (("completeness", complete), ("purity", pure)):
        table[f"{name}_p_holm"] = holm(each.differs())
    table["note"] = _notes({"no quasar": n_quasars == 0, "nothing called": pure.n == 0}, bins, models)
    return table


def place_errors(tested: Tested, models: Sequence[Model]) -> pd.DataFrame:
    """Return the rows of redshift_wiggles.csv for some models, without what compares lines (`judged`)."""
    pools = {name: _Places() for name in (BEST, *(models[0].names if models else ()))}
    cluster = np.unique(tested.target_id, return_inverse=True)[1]
    for model in models:
        lines, settings = model.names, model.network
        # the true place of each line within its box
        box, offset, _ = line_targets(
            tested.z, tested.is_qso, tested.bal, lines, (), settings.boxes, settings.wavelength_grid
        )
        for i, name in enumerate(lines):
            confident = model.predicted.confidence[:, i] > WORKING_THRESHOLD
            pools[name].add(cluster, box[:, i], offset[:, i], velocity(model.z_line[:, i], tested.z), confident)
        best, rows = model.best, np.arange(len(tested.z))
        dv = velocity(model.predicted.z_best, tested.z)
        pools[BEST].add(cluster, box[rows, best], offset[rows, best], dv, model.called)
    return pd.concat([pool.table(name, models) for name, pool in pools.items()], ignore_index=True)


def judged(wiggles: pd.DataFrame) -> pd.DataFrame:
    """Add `amplitude_p_holm` and `wiggles` to the rows of redshift_wiggles.csv."""
    lines = wiggles.drop_duplicates([*GROUP, "line"])[[*GROUP, "line", "amplitude_p"]]
    lines["amplitude_p_holm"] = holm(lines.pop("amplitude_p").to_numpy())
    whole = wiggles.merge(lines, how="left", on=[*GROUP, "line"])
    p = whole["amplitude_p_holm"]
    whole["wiggles"] = np.where(p.isna(), "", np.where(p < ALPHA, "yes", "no"))
    return whole[[*(name for name in whole.columns if name != "note"), "note"]]


def fibre_errors(tested: Tested, models: Sequence[Model]) -> pd.DataFrame:
    """Return the rows of false_positives.csv for some models."""
    empty = is_empty(tested.label, tested.target_id)
    classes = dict(zip(CLASSES, (tested.label == STAR, tested.is_galaxy, empty), strict=True))
    of_snr, bins = _bin(tested.snr, np.array(SNR_EDGES)), len(SNR_EDGES) - 1
    at = of_snr + bins * sum(i * mask for i, mask in enumerate(classes.values()))
    known, cells = np.any(list(classes.values()), axis=0), bins * len(classes)
    wrong, called = _Pool(tested), np.zeros(cells, int)
    lines = np.zeros((cells, len(models[0].names) if models else 1))  # how often each is the most confident one
    for model in models:
        right = tested.is_galaxy & has_good_redshift(model.predicted.z_best, tested.z)
        is_wrong = known & model.called & ~right
        wrong.add(known, at, is_wrong)
        called += np.bincount(at[known & model.called], minlength=cells)
        np.add.at(lines, (at[is_wrong], model.best[is_wrong]), 1)
    found, n = wrong.shares(cells), np.bincount(at[known], minlength=cells)
    low, high = found.interval
    commonest = [models[0].names[row.argmax()] if row.any() else "" for row in lines]
    return pd.DataFrame({
        "class": np.repeat(CLASSES, bins), "snr_low": np.tile(SNR_EDGES[:-1], len(classes)),
        "snr_high": np.tile(SNR_EDGES[1:], len(classes)), "n_spectra": n, "called": called,
        "false_positives": found.part, "per_1000": 1000 * found.share, "per_1000_low": 1000 * low,
        "per_1000_high": 1000 * high, "line": commonest,
        "note": _notes({"no spectrum": n == 0}, cells, models),
    }).replace([-np.inf, np.inf], np.nan)  # fmt: skip


class _Pool:
    """What models say of the same test spectra, in bins: right or wrong."""

    def __init__(self, tested: Tested) -> None:
        self._object = np.unique(tested.target_id, return_inverse=True)[1]
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, among: np.ndarray, place: np.ndarray, right: np.ndarray) -> None:
        """Add what a model says: of which spectra, in which bins, and which are right; (n,) each."""
        self._parts.append((self._object[among], place[among], right[among]))

    def shares(self, bins: int) -> Shares:
        """Return the shares of what is right."""
        none = np.empty(0, int), np.empty(0, int), np.empty(0, bool)
        cluster, place, right = (np.concatenate(each) for each in zip(none, *self._parts, strict=True))
        return shares(cluster, place, right, bins)


class _Places:
    """Errors of redshifts from a line by all models, with the true place of the line within its box."""

    def __init__(self) -> None:
        self._parts = [np.empty((0, 4))]

    def add(
        self, cluster: np.ndarray, box: np.ndarray, place: np.ndarray, dv: np.ndarray, confident: np.ndarray
    ) -> None:
        """Add those of a model, (n,) each."""
        used = confident & (box != NO_BOX) & (np.abs(dv) <= DV_MAX)  # a line off the grid has no place
        self._parts.append(np.column_stack([cluster, place, box + place, dv])[used])

    def table(self, line: str, models: Sequence[Model]) -> pd.DataFrame:
        """Return the rows of the line, without those of other lines to compare with."""
        cluster, place, along, dv = np.concatenate(self._parts).T
        at = np.minimum((place * PLACES).astype(int), PLACES - 1)
        found = means(cluster.astype(int), at, dv, PLACES)
        fitted = wave(cluster, place, along, dv, FEWEST_OF_WAVE)
        enough = found.clusters >= FEWEST
        edges = np.arange(PLACES + 1) / PLACES
        return pd.DataFrame({
            "line": line, "place_low": edges[:-1], "place_high": edges[1:], "n_quasars": found.clusters,
            "n_redshifts": found.n, "mean_dv": found.mean, "mean_dv_low": np.where(enough, found.low, np.nan),
            "mean_dv_high": np.where(enough, found.high, np.nan), "median_dv": found.median,
            "amplitude": fitted.amplitude, "amplitude_by_chance": fitted.by_chance, "amplitude_p": fitted.p,
            "note": _notes({"no redshift": found.n == 0, "too few quasars": ~enough}, PLACES, models),
        })  # fmt: skip


def _bin(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bins (n,) of values, 0 and up; NaN are in the last."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def _columns(name: str, found: Shares) -> dict[str, np.ndarray]:
    low, high = found.interval
    return {name: found.share, f"{name}_low": low, f"{name}_high": high}


def _notes(reasons: Mapping[str, np.ndarray], n: int, models: Sequence[Model]) -> list[str]:
    """Return, for each of n rows, the reasons that hold, or that there is no model."""
    if not models:
        return ["all models diverged"] * n
    return ["; ".join(name for name, holds in reasons.items() if holds[i]) for i in range(n)]
