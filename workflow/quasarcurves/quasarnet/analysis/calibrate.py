"""How far the confidences of a study's models are from probabilities, before and after they are scaled.

A scaling is fitted on the validation set and tried on the test set. Spectra whose class is not trusted are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.scorer import MODELS
from quasarcurves.files import whole_file
from quasarcurves.quasarnet.analysis.test_set import N_DETECT, Predicted, Tested, tested_runs
from quasarcurves.quasarnet.calibration import Calibration, Scaling, expected_error, fit, reliability
from quasarcurves.spectra.table import BAD, QSO_SPLIT_Z

_KEYS = [*tables.RUN_KEYS, "n_train", "model", "n_detect"]
_VALIDATION = "validation"


def write(
    predictions: Iterable[Path], spectra: Path, runs: Path, calibration: Path, curves: Path, scalings: Path
) -> None:
    """Write what confidences are worth as probabilities.

    Columns of calibration.csv, a row per run, model, number of lines and sample
    ----------------------------------------------------------------------------
    fraction, replicate, optimizer, n_train, model, n_detect
        The confidence is that of the `n_detect`-th most confident line.
    sample
        `all`; of the last model and one line also spectra whose redshift is found below 2.1 and above, and thirds in
        S/N.
    n, quasars
        Test spectra, and quasars among them.
    slope, offset, n_fitted
        The scaling (`calibration.Scaling`), and the validation spectra that it is fitted on; empty where these are too
        few.
    calibration_error, calibration_error_low, calibration_error_high
        Expected calibration error of the confidences, 95 % over objects.
    by_chance, by_chance_high, is_off
        What it would be if they were probabilities, mean and 95th percentile, and whether the error is above that.
    scaled_error, scaled_error_low, scaled_error_high, scaled_by_chance, scaled_by_chance_high, scaled_is_off
        The same of the probabilities that the scaling makes of them.

    Columns of reliability.csv, a row per run, model, number of lines, kind and bin
    -------------------------------------------------------------------------------
    kind
        `as it is` or `scaled`.
    spectra, confidence, share, share_low, share_high
        Test spectra in the bin, mean confidence, share of quasars with its 95 % interval.

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    spectra, runs : Path
        The prepared spectra, and runs.csv.
    calibration, curves : Path
        Tables written.
    scalings : Path
        JSON written: by run, model and number of lines what `Scaling.to_json` returns; null where there is none.

    Raises
    ------
    ValueError
        If runs differ in their test sets, or a file lacks something.
    """
    n_train = tables.read(runs).set_index(tables.RUN_KEYS)["n_train"]
    rows: list[dict[str, Any]] = []
    bins: list[pd.DataFrame] = []
    fitted: dict[str, dict[str, dict[str, Any]]] = {}
    for run, file, tested in tested_runs(predictions, spectra):
        keys = {key: run[key] for key in tables.RUN_KEYS}
        keys["n_train"] = tables.of_run(n_train, keys, runs)
        of_run = fitted.setdefault(run_name(keys), {})
        validation = _validation_set(file, spectra)
        for model in MODELS:
            for n_detect in N_DETECT:
                found = _fit(file, model, n_detect, validation)
                of_run.setdefault(model, {})[str(n_detect)] = found and found.to_json()
                own = {**keys, "model": model, "n_detect": n_detect}
                predicted = Predicted.load(file[model])
                rows += [own | row for row in _rows(tested, predicted, n_detect, found, model == MODELS[0])]
                bins += [each.assign(**own) for each in _curves(tested, predicted, n_detect, found)]
    tables.write(pd.DataFrame(rows), calibration)
    whole = pd.concat(bins, ignore_index=True)
    tables.write(whole[[*_KEYS, *(name for name in whole.columns if name not in _KEYS)]], curves)
    with whole_file(scalings) as temporary:
        temporary.write_text(json.dumps(fitted, indent=1, sort_keys=True))


def run_name(keys: dict[str, Any]) -> str:
    """Return the name of a run, as its folder has it."""
    return f"f{keys['fraction']:g}_r{keys['replicate']}/{keys['optimizer']}"


def scalings_of(scalings: Path, run: str, model: str) -> dict[str, Scaling]:
    """Return the scalings of a model of a run, by number of lines, from the file that `write` has written.

    Raises
    ------
    FileNotFoundError
        If the study has not measured its calibration yet.
    """
    if not scalings.is_file():
        raise FileNotFoundError(f"{scalings}: no such file; the study makes it once its models are evaluated")
    found = json.loads(scalings.read_text()).get(run, {}).get(model, {})
    return {n_detect: Scaling.from_json(each) for n_detect, each in found.items() if each}


def _validation_set(file: h5py.File, spectra: Path) -> Tested | None:
    return Tested.load(spectra, file[_VALIDATION]["row"][:]) if _VALIDATION in file else None


def _fit(file: h5py.File, model: str, n_detect: int, validation: Tested | None) -> Scaling | None:
    if validation is None:
        return None
    trusted = validation.label != BAD
    score = Predicted.load(file[_VALIDATION][model]).score(n_detect)
    return fit(score[trusted], validation.is_qso[trusted])


def _rows(
    tested: Tested, predicted: Predicted, n_detect: int, scaling: Scaling | None, is_last: bool
) -> Iterator[dict[str, Any]]:
    """Yield a row per sample."""
    score = predicted.score(n_detect)
    scaled = scaling.apply(score) if scaling else None
    about = {"slope": np.nan, "offset": np.nan, "n_fitted": 0}
    if scaling:
        about = {"slope": scaling.slope, "offset": scaling.offset, "n_fitted": scaling.n}
    for name, sample in _samples(tested, predicted):
        if name != "all" and not (is_last and n_detect == N_DETECT[0]):
            return
        mask = sample & (tested.label != BAD)
        row = {"sample": name, "n": int(mask.sum()), "quasars": int(tested.is_qso[mask].sum()), **about}
        row |= _errors("calibration", "", score, tested, mask)
        yield row | _errors("scaled", "scaled_", scaled, tested, mask)


def _samples(tested: Tested, predicted: Predicted) -> Iterator[tuple[str, np.ndarray]]:
    """Yield samples that are chosen without looking at the truth: in others the share of quasars would be fixed."""
    yield "all", np.ones(len(tested.z), bool)
    yield "z_found<2.1", predicted.z_best < QSO_SPLIT_Z
    yield "z_found>=2.1", predicted.z_best >= QSO_SPLIT_Z
    limits = np.quantile(tested.snr, [1 / 3, 2 / 3]) if len(tested.snr) else np.empty(0)
    for i, name in enumerate(("snr_low", "snr_mid", "snr_high")):
        yield name, np.searchsorted(limits, tested.snr) == i


def _errors(of: str, prefix: str, values: np.ndarray | None, tested: Tested, mask: np.ndarray) -> dict[str, Any]:
    found = Calibration(np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    if values is not None:
        found = expected_error(values[mask], tested.is_qso[mask], tested.target_id[mask])
    return {
        f"{of}_error": found.error,
        f"{of}_error_low": found.low,
        f"{of}_error_high": found.high,
        f"{prefix}by_chance": found.perfect,
        f"{prefix}by_chance_high": found.perfect_high,
        f"{prefix}is_off": found.is_off if found.n else "",
    }


def _curves(tested: Tested, predicted: Predicted, n_detect: int, scaling: Scaling | None) -> Iterator[pd.DataFrame]:
    score, trusted = predicted.score(n_detect), tested.label != BAD
    kinds = {"as it is": score} | ({"scaled": scaling.apply(score)} if scaling else {})
    for kind, values in kinds.items():
        known = trusted & np.isfinite(values)
        found = reliability(values[known], tested.is_qso[known])
        yield pd.DataFrame(
            {
                "kind": kind, "spectra": found.n, "confidence": found.confidence, "share": found.share,
                "share_low": found.low, "share_high": found.high,
            }
        )  # fmt: skip
