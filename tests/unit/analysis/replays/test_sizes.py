"""Hazards of two sizes of training sets: nothing is found where nothing is, whatever forks and runs have in common."""

import numpy as np
import pandas as pd
import pytest
from tests.support.planted_replays import make

from quasarcurves.analysis.replays import findings, sizes
from quasarcurves.analysis.replays.outcomes import Outcomes


def of_size(n, seed, hazard, process="constant", runs=5):
    made = make(process, runs, hazard=hazard, grid=9, steps=300.0, arms={}, seed=seed)
    run = made.replays["run"].str.replace("f0.4", f"f{n}")
    forks = made.forks["run"].str.replace("f0.4", f"f{n}")
    return Outcomes(made.replays.assign(n_train=n, run=run), made.forks.assign(n_train=n, run=forks))


def compared(seed, ratio, process="constant", hazard=0.4):
    own, largest = of_size(256, 2 * seed, hazard * ratio, process), of_size(1024, 2 * seed + 1, hazard, process)
    return sizes.compare(256, own, 1024, largest, "spectra")


@pytest.mark.slow
@pytest.mark.parametrize("process", ["constant", "waves", "state", "batch"])
def test_sizes_that_change_nothing_are_not_found_to(process):
    """Runs differ by a half, forks of a run share waves or decide alone: at most 5 % of 40, and the truth is held."""
    rows = [compared(seed, 1.0, process) for seed in range(40)]
    assert np.mean([row["answer"] == "yes" for row in rows]) <= 0.075
    assert np.mean([row["low"] <= 1 <= row["high"] for row in rows]) >= 0.9


@pytest.mark.slow
def test_a_hazard_of_a_fifth_is_mostly_found():
    rows = [compared(seed, 0.2) for seed in range(40)]
    assert np.mean([row["answer"] == "yes" for row in rows]) >= 0.6
    assert np.mean([row["low"] <= 0.2 <= row["high"] for row in rows]) >= 0.9


def test_the_estimate_is_the_ratio_of_what_was_seen():
    own, largest = of_size(256, 1, 0.5), of_size(1024, 2, 5.0)
    row = sizes.compare(256, own, 1024, largest, "spectra")
    rates = [each.replays["spiked"].sum() / each.replays["steps"].sum() for each in (own, largest)]
    assert row["estimate"] == pytest.approx(rates[0] / rates[1])
    assert row["answer"] == "yes"
    assert row["sentence"].startswith("Yes, fewer spectra change the hazard: with 256 there is 0.")
    assert row["low"] < row["estimate"] < row["high"] < 1


def test_without_spikes_nothing_is_said():
    row = sizes.compare(256, of_size(256, 1, 0.0, "none"), 1024, of_size(1024, 2, 0.0, "none"), "spectra")
    assert (row["answer"], row["low"], row["high"]) == ("cannot say", 0, np.inf)
    assert row["sentence"].endswith("with 256 and 1,024 no replay as it is spiked.")


def test_each_size_is_compared_with_the_largest_of_its_optimizer_and_learning_rate():
    parts = [of_size(1024, 1, 2.0, runs=2), of_size(512, 2, 2.0, runs=2), of_size(256, 3, 2.0, runs=2)]
    faster = of_size(2048, 4, 2.0, runs=2)
    parts.append(Outcomes(*(table.assign(learning_rate=3e-3) for table in (faster.replays, faster.forks))))
    both = Outcomes(
        *(pd.concat(tables) for tables in zip(*((each.replays, each.forks) for each in parts), strict=True))
    )
    found = findings.judge(both, "spectra")
    found = found[found["rule"] == "fewer spectra change it"]
    assert list(found["n_train"]) == [256, 512]
    assert set(found["asked"]) == {"is the hazard another than that with 1,024 spectra?"}
