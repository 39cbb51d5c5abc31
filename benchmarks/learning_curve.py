"""How honest `fit` is: `python benchmarks/learning_curve.py [TRIALS]` writes learning_curve.csv here.

A row per kind of planted curve and way it is measured: how often the 90 % intervals hold the true number of spectra
needed, the true gain from doubling, the true ratio of errors and the true floor; how often `fit` gives an answer, and
whether these hold the truth; the bias of the number of spectra. Flat curves must not promise a gain. 500 trials a row,
100 for the less usual ways: some 9 CPU-minutes.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis.learning_curve import fit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import planted_curves as planted

PATH = Path(__file__).with_suffix(".csv")
SEED = 2026

WAYS: dict[str, dict[str, Any]] = {
    "standard": {},
    "few replicates": {"replicates": (1, 2)},
    "noise grows to small sizes": {"grows": 3.0},
    "a failed run in ten": {},
    **{
        f"{replicates} replicate(s), noise of {100 * noise:g} %": {
            "noise": (noise, noise),
            "replicates": (replicates, replicates),
            "sizes": (4, 7),
            "test_share": 1.0 - (0.1 / noise) ** 2 if replicates == 1 and noise > 0.1 else 0.5,
        }
        for noise in (0.1, 0.25)
        for replicates in (1, 3)
    },
}
"""How the errors are made; the first is 5 to 8 sizes over two decades, 3 to 10 replicates, noise of 3 to 10 %. In the
last the test set makes the noise, or half of its variance, and tells it."""

_SHARES = ("needed_held", "too_few", "gain_held", "ratio_held", "floor_held", "answers")
_FAILS = 0.1
_FAILED_BY = 1.5
"""Log error of a failed run above that of the others."""


def trial(kind: str, way: str, seed: int) -> dict[str, float]:
    """Fit one planted curve; say what of the truth the intervals hold."""
    rng = np.random.default_rng([SEED, seed])
    truth = planted.plant(kind, rng, **WAYS[way])
    error = truth.error
    if way == "a failed run in ten":
        error = error * np.exp(_FAILED_BY * (rng.random(len(error)) < _FAILS))
    start = time.process_time()
    curve = fit(truth.n, error, truth.target, noise=truth.told)
    return {
        "needed_held": _holds(curve.interval, truth.n_required),
        "too_few": curve.interval[1] < truth.n_required,
        "gain_held": _holds(curve.doubling_gain_interval, truth.gain),
        "ratio_held": _holds(curve.ratio_interval, truth.ratio),
        "floor_held": _holds(curve.floor_interval, truth.floor),
        "answers": not curve.reasons,
        "bias": np.log(curve.n_required / truth.n_required) if curve.n_required > 0 else -np.inf,
        "extrapolated": truth.n_required > planted.LARGEST,
        "seconds": time.process_time() - start,
    }


def _holds(interval: tuple[float, float], value: float) -> bool:
    # to a hundred thousandth: a floor or gain of 0 is the end of the interval
    return interval[0] * (1 - 1e-5) <= value <= interval[1] * (1 + 1e-5)


def row(kind: str, way: str, trials: int, pool: Executor) -> dict[str, Any]:
    """Summarise trials."""
    table = pd.DataFrame(pool.map(partial(trial, kind, way), range(trials), chunksize=10))
    answers, beyond = table[table["answers"]], table[table["extrapolated"]]
    return {
        "kind": kind, "way": way, "trials": trials,
        **{name: table[name].mean() for name in _SHARES},
        "needed_held_where_answered": answers["needed_held"].mean(),
        "needed_held_beyond_largest": beyond["needed_held"].mean(),
        "answers_beyond_largest": beyond["answers"].mean(),
        # by how much the number of spectra is off in the middle: below 1 is too optimistic
        "needed_over_truth": np.exp(table["bias"].median()),
        "needed_over_truth_where_answered": np.exp(answers["bias"].median()),
        "needed_over_truth_beyond_largest": np.exp(beyond["bias"].median()),
        "seconds": table["seconds"].mean(),
    }  # fmt: skip


def flat_row(trials: int, pool: Executor) -> dict[str, Any]:
    """Summarise trials with flat curves: none gains anything."""
    table = pd.DataFrame(pool.map(flat_trial, range(trials), chunksize=10))
    return {"kind": "flat", "way": "standard", "trials": trials, **table.mean()}


def flat_trial(seed: int) -> dict[str, float]:
    """Fit one flat curve; say whether it is promised to fall."""
    start = time.process_time()
    curve = fit(*planted.flat(np.random.default_rng([SEED, seed])))
    return {
        "gain_held": curve.doubling_gain_interval[0] == 0,
        "floor_held": _holds(curve.floor_interval, planted.ERROR),
        "promises_gain": curve.certain_gain,
        "answers": not curve.reasons,
        "seconds": time.process_time() - start,
    }


def main(trials: int = 500) -> None:
    """Measure all, and write down each row when it is there."""
    rows = []
    with ProcessPoolExecutor(2) as pool:
        for way in WAYS:
            for kind in planted.KINDS if way == "standard" else ("pow3", "wbl4"):
                rows.append(row(kind, way, trials if way == "standard" else trials // 5, pool))
                _write(rows)
            if way == "standard":
                rows.append(flat_row(trials, pool))
                _write(rows)


def _write(rows: list[dict[str, Any]]) -> None:
    pd.DataFrame(rows).to_csv(PATH, index=False, float_format="%.4g")
    print(rows[-1], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
