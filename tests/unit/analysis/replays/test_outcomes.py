"""The files of replay jobs are read and joined; what they lack is named. Curves, regression and power are checked."""

import time

import numpy as np
import pandas as pd
import pytest
from statsmodels.genmod import families
from statsmodels.genmod.generalized_linear_model import GLM
from tests.support.planted_replays import STEPS, make, save, waves_of

from quasarcurves.analysis import tables
from quasarcurves.analysis.replays import hazard_model, outcomes, power, survival, tabulate
from quasarcurves.analysis.replays.hazards import COLUMNS
from quasarcurves.analysis.stats.matched import matched_p

OUTPUTS = ("replays", "forks", "hazards", "interventions", "survival", "hazard_model", "replay_findings")


def test_all_tables_are_written(tmp_path):
    made = make(runs=2, hazard=2.0, before=2, absent=["amsgrad"])
    paths = [tmp_path / f"{name}.csv" for name in OUTPUTS]
    tabulate.write(*save(made, tmp_path), *paths)
    found = {path.stem: tables.read(path) for path in paths}
    assert list(found["replays"].columns) == tabulate.JOINED
    assert len(found["replays"]) == (made.replays["replay"] >= 0).sum()
    assert len(found["forks"]) == len(made.forks)
    assert list(found["hazards"].columns) == COLUMNS
    assert all(len(table) for table in found.values())


@pytest.fixture
def files(tmp_path):
    return save(make(), tmp_path, jobs=1)


def spoil(path, change):
    table = pd.read_csv(path)
    change(table).to_csv(path, index=False)


def test_a_missing_column_is_named(files):
    spoil(files[0][0], lambda table: table.drop(columns="steps"))
    with pytest.raises(ValueError, match=r"replays_0_0.csv: expected the columns run, .*, missing steps"):
        outcomes.read(*files)


def test_values_without_sense_are_named(files):
    spoil(files[0][0], lambda table: table.assign(spiked=table["spiked"].where(table.index != 3, 2)))
    with pytest.raises(
        ValueError, match=r"expected spiked of 0 or 1 .* found 2 and 600 at run f0.4_r0/adam, fork_step"
    ):
        outcomes.read(*files)


def test_a_replay_that_is_there_twice_is_named(files):
    with pytest.raises(
        ValueError, match=r"expected each once, found run f0.4_r0/adam, fork_step 1000, .*replay 0 twice"
    ):
        outcomes.read(files[0] * 2, files[1])


def test_a_fork_that_is_not_described_is_named(files):
    spoil(files[1][0], lambda table: table[table["fork_step"] != 2500])
    with pytest.raises(ValueError, match=r"expected a row for run f0.4_r0/adam, fork_step 2500, found none"):
        outcomes.read(*files)


def test_forks_of_two_kinds_count_once(tmp_path):
    made = make(grid=4)
    forks = pd.concat([made.forks, made.forks.iloc[:2].assign(kind="quiet")], ignore_index=True)
    both = outcomes.Outcomes(made.replays, forks)
    assert len(both.at("grid", "quiet").replays) == len(made.replays)
    assert len(both.at("quiet").replays) == len(made.replays) / 2


# Survival ------------------------------------------------------------------------------------------------------------


def test_the_curve_of_freireich():
    """6-MP in leukaemia (Freireich et al. 1963), the example of many textbooks."""
    steps = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35])
    spiked = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0])
    curve = survival.kaplan_meier(steps, spiked == 1).set_index("steps")
    assert curve.loc[[0, 6, 7, 10, 13, 16, 22, 23], "survival"].tolist() == pytest.approx(
        [1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], abs=1e-3
    )
    assert curve.loc[23, ["low", "high"]].tolist() == pytest.approx([0.188, 0.680], abs=1e-3)
    assert curve.loc[[6, 23], "at_risk"].tolist() == [21, 6]


def test_curves_without_and_with_nothing_but_spikes():
    none = survival.kaplan_meier(np.array([5.0, 5, 5]), np.zeros(3, bool))
    assert (none[["survival", "low", "high"]] == 1).all(axis=None)
    every = survival.kaplan_meier(np.array([1.0, 2, 3]), np.ones(3, bool)).iloc[-1]
    assert (every["survival"], every["low"]) == (0, 0)
    assert 0 < every["high"] < 1


def test_bands_hold_the_truth():
    rng, held = np.random.default_rng(0), []
    for _ in range(150):
        time_to = rng.exponential(400, 40)
        curve = survival.kaplan_meier(np.minimum(time_to, 600), time_to < 600)
        row = curve[curve["steps"] <= 300].iloc[-1]
        held.append(row["low"] <= np.exp(-300 / 400) <= row["high"])
    assert 0.9 <= np.mean(held) <= 0.99


# Regression ----------------------------------------------------------------------------------------------------------


def test_a_hazard_that_rises_with_the_step_is_seen_and_nothing_else():
    table = hazard_model.fit(make("rising", 5, arms={}, hazard=2.0, grid=20)).set_index("covariate")
    slope = table.loc["effective_step"]
    assert slope["low"] / slope["sd"] < 2 < slope["high"] / slope["sd"]  # the hazard goes as the square of the step
    assert slope["p_holm"] < 1e-6
    assert (table.drop("effective_step")["p_holm"] > 0.05).all()


def test_coefficients_are_those_of_a_poisson_regression_with_a_level_per_run():
    made = make("rising", 3, arms={}, hazard=2.0, grid=20)
    found = hazard_model.fit(made).set_index("covariate")
    known = hazard_model._known(made)
    x = known[list(hazard_model.COVARIATES)]
    design = np.hstack([pd.get_dummies(known["run"]).to_numpy(float), ((x - x.mean()) / x.std()).to_numpy()])
    model = GLM(known["events"].to_numpy(float), design, families.Poisson(), exposure=known["exposure"].to_numpy(float))
    expected = model.fit().params[3:]
    np.testing.assert_allclose(found["coefficient"], expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("process", ["constant", "batch", "state"])
def test_covariates_that_say_nothing_are_not_found_to(process):
    found = [
        (hazard_model.fit(make(process, 3, hazard=2.0, grid=20, seed=s))["p_holm"] < 0.05).any() for s in range(40)
    ]
    assert np.mean(found) <= 0.15


@pytest.mark.slow
def test_what_changes_as_slowly_as_the_hazard_is_not_found_to_matter():
    """Hazard and covariates wander over the same number of steps, each by itself: errors of independent forks find one
    of the five to matter in 14 of 100."""
    runs, grid, found, wider = 6, 12, [], []
    for seed in range(120):
        made = make("waves", runs, arms={}, hazard=2.0, grid=grid, steps=300, seed=seed)
        for i, name in enumerate(hazard_model.COVARIATES):
            own = [waves_of(1000 + 10 * seed + i, r, STEPS[:grid]) for r in range(runs)]
            made.forks[name] = np.concatenate(own)
        table = hazard_model.fit(made)
        if table["p"].notna().all():
            found.append((table["p_holm"] < 0.05).any())
            wider += list(table["widening"])
    assert len(found) > 80
    assert np.mean(found) <= 0.083  # 5 % and two standard errors of 100
    assert 1.05 < np.mean(wider) < 1.5


def test_too_few_spikes_and_what_was_not_measured_are_said():
    few = hazard_model.fit(make(hazard=0.1))
    assert few["coefficient"].isna().all()
    assert few["reason"].str.contains("fewer than 10 for each of 5 covariates").all()
    made = make(runs=3, hazard=3.0, grid=20)
    made.forks["sharpness_share"] = np.nan
    made.forks["noise"] = 0.5
    reasons = hazard_model.fit(made).set_index("covariate")["reason"]
    assert reasons.to_dict() == {
        "effective_step": "", "loss": "", "sharpness_share": "not measured", "since_spike": "",
        "noise": "the same at all forks",
    }  # fmt: skip


# Power ---------------------------------------------------------------------------------------------------------------


def test_more_replays_show_more():
    start = time.process_time()
    few, many = (power.power(0.3, exposure, 8, 5, replays=4) for exposure in (2e4, 6e5))
    assert time.process_time() - start < 3
    assert few.chance < 0.2
    assert many.chance > 0.9
    assert 1 < many.width < few.width
    assert power.power(0.3, 6e5, 8, 5, replays=4) == many  # the seed is fixed


def test_a_hazard_that_stays_is_not_seen():
    assert power.power(2.0, 6e4, 8, 3, ratio=1.0, replays=4, arms=1).chance <= 0.1


def test_the_power_foretold_is_that_of_replays():
    foretold = power.power(1.0, 8 * 5 * 8 * 600, 8, 5, ratio=0.3, replays=8, between_forks=0, arms=1).chance
    seen = [matched_p(make(runs=5, grid=8, arms={"x": 0.3}, seed=seed).matched("x"), 1.0) < 0.05 for seed in range(25)]
    assert abs(np.mean(seen) - foretold) < 0.3


@pytest.mark.slow
def test_the_design_found_has_the_chance_asked_for():
    found = power.design(2.0, 1000, 3, arms=12)
    assert found.chance >= 0.9
    again = power.power(2.0, 1000 * found.replays * found.forks * 3, found.forks, 3, replays=found.replays, arms=12)
    assert again.chance == found.chance
    assert power.design(1e-4, 100, 1) is None


def test_a_study_without_a_fork_has_empty_tables(tmp_path):
    made = make(grid=2)
    empty = outcomes.Outcomes(made.replays.iloc[:0], made.forks.iloc[:0])
    paths = [tmp_path / f"{name}.csv" for name in OUTPUTS]
    for table, name in ((empty.replays, "none"), (empty.forks, "no_forks")):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    none = ([tmp_path / "none.csv"], [tmp_path / "no_forks.csv"])
    tabulate.write(*none, *paths)
    assert all(tables.read(path).empty for path in paths)
    some = save(made, tmp_path)
    tabulate.write(some[0] + none[0], some[1] + none[1], *paths)
    assert len(tables.read(paths[0])) == len(made.replays)
