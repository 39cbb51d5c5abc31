"""Replays of made-up processes come out as what they are: levels, verdicts, decision rules, and nothing in nulls."""

import numpy as np
import pandas as pd
import pytest
from tests.support.planted_replays import PROCESSES, STEPS, make, waves_of

from quasarcurves.analysis.replays import AS_IT_IS, findings, interventions
from quasarcurves.analysis.replays.hazards import COLUMNS, level, per_fork
from quasarcurves.analysis.replays.interventions import LOWERS, NOT_SHOWN, RAISES, REFERENCE
from quasarcurves.analysis.replays.outcomes import matched_arms
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.comparisons import holm
from quasarcurves.analysis.stats.matched import matched_p
from quasarcurves.analysis.stats.rates import poisson_interval

NULLS = {"a": 1.0, "b": 1.0, "c": 1.0}


def verdicts(outcomes):
    table = interventions.compare(outcomes)
    return dict(zip(table["arm"], table["verdict"], strict=True))


def answers(outcomes):
    table = findings.judge(outcomes)
    return dict(zip(table["rule"], table["answer"], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("runs", [1, 5])
def test_arms_that_change_nothing_are_not_found_to(process, runs):
    false = sum(
        {*verdicts(make(process, runs, arms=NULLS, replays=4, grid=6 if runs > 1 else 16, seed=seed)).values()}
        != {REFERENCE, NOT_SHOWN}
        for seed in range(5)
    )
    assert false <= 1


OF_RULES = {name: 1.0 for name in ("step_x0.5", "v_x4", "m_0", "batch_x0.5", "batch_x2", "worst_out", "random_out")}


def null(process, runs, seed):
    """Return replays of which no arm changes anything."""
    return make(process, runs, arms=OF_RULES, replays=4, grid=20 if runs == 1 else 8, hazard=2.0, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("runs", [1, 5])
def test_false_verdicts_are_rare(process, runs):
    """By the probabilities that verdicts are made of, which take less time than intervals."""
    false = []
    for seed in range(80):
        outcomes = null(process, runs, seed)
        false.append((holm([matched_p(outcomes.matched(arm), 1.0) for arm in OF_RULES]) < ALPHA).any())
    assert np.mean(false) <= 0.0625  # of 80: five


@pytest.mark.slow
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("runs", [1, 5])
def test_false_findings_are_rare(process, runs):
    found = [answers(null(process, runs, seed)) for seed in range(12)]
    assert sum("yes" in [answer for rule, answer in one.items() if rule != findings.ORDER] for one in found) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("process", ["constant", "rising", "state", "batch", "waves"])
@pytest.mark.parametrize("runs", [1, 5])
def test_levels_hold_the_truth(process, runs):
    """The mean of the process over the grid: of all runs, or of the states of one."""
    held = []
    for seed in range(150):
        outcomes = make(process, runs, arms={}, hazard=2.0, grid=20, steps=300, replays=8, seed=seed)
        _, low, high = level(outcomes.counts())
        held.append(low <= truth(process, runs, seed) <= high)
    assert np.mean(held) >= 0.92, np.mean(held)


def truth(process, runs, seed):
    """Spikes per 1,000 steps of exposure."""
    rate = 2e-3 * np.ones(20)
    if process == "rising":
        rate *= (STEPS / 3750) ** 2
    if process == "waves" and runs == 1:
        rate *= waves_of(seed, 0, STEPS)
    spikes = -np.expm1(-rate * 300)
    exposure = spikes * 150 + (1 - spikes) * 300 if process == "state" else spikes / rate
    return 1000 * spikes.sum() / exposure.sum()


def test_a_cure_and_a_harm_are_found_and_what_cannot_be_had_says_why():
    found = verdicts(make(runs=5, hazard=3.0, arms={"cure": 0.05, "harm": 4.0, "same": 1.0}, absent=["amsgrad"]))
    assert found == {
        "as_it_is": REFERENCE, "cure": LOWERS, "harm": RAISES, "same": NOT_SHOWN,
        "amsgrad": "cannot be had: Adam without amsgrad has no maximum",
    }  # fmt: skip


def own_verdicts(outcomes):
    table = interventions.compare(outcomes)
    return dict(zip(table["arm"], table["own_verdict"], strict=True))


def test_an_arm_that_only_lowers_the_loss_lowers_no_rise_over_its_own_level():
    made = make(runs=5, hazard=3.0, arms={"cure": 0.05, "low": 1.0}, low=["low"], prices={"low": 0.2}, grid=16, seed=1)
    assert verdicts(made) == {"as_it_is": REFERENCE, "cure": LOWERS, "low": LOWERS}
    assert own_verdicts(made) == {"as_it_is": REFERENCE, "cure": LOWERS, "low": NOT_SHOWN}
    row = interventions.compare(made).set_index("arm").loc["low"]
    assert row["events"] == 0 and row["own_ratio_low"] < 1 < row["own_ratio_high"]


def test_rises_over_the_own_level_are_counted_where_both_can_be_seen():
    made = make(hazard=3.0, arms={"x": 1.0}, absent=["y"])
    rows = interventions.compare(made).set_index("arm")
    for arm in ("as_it_is", "x"):
        assert rows.loc[arm, "own_rises"] == made.replays.query("arm == @arm")["own_rise"].notna().sum() > 0
    assert rows.loc["x", "own_rises_as_it_is"] == rows.loc["as_it_is", "own_rises"]
    assert rows.loc["y", "own_verdict"] == rows.loc["y", "verdict"]


@pytest.mark.slow
@pytest.mark.parametrize("process", ["state", "waves"])
def test_false_verdicts_over_the_own_level_are_rare(process):
    false = []
    for seed in range(60):
        counts = null(process, 5, seed).counts_over_own_level()
        ps = [matched_p(matched_arms(counts, arm, AS_IT_IS), 1.0) for arm in OF_RULES]
        false.append((holm(ps) < ALPHA).any())
    assert np.mean(false) <= 0.0667  # of 60: four


def test_a_single_run_settles_what_holds_for_it():
    assert verdicts(make(runs=1, hazard=3.0, arms={"cure": 0.05}, grid=16))["cure"] == LOWERS


def test_levels_are_of_the_grid_alone():
    outcomes = make("state", 1, before=6, grid=8)
    row = interventions.compare(outcomes).iloc[0]
    grid = (
        outcomes.counts().merge(outcomes.forks.query("kind == 'grid'")[["run", "fork_step"]]).query("arm == 'as_it_is'")
    )
    assert (row["forks"], row["grid_forks"]) == (20, 8)
    assert row["hazard"] == pytest.approx(1000 * grid["events"].sum() / grid["exposure"].sum())
    assert row["events"] == row["grid_events"] + 12 * 8  # every replay before a spike spikes


def test_optimizers_and_sizes_are_apart():
    one, other = make(seed=1), make(seed=2)
    for table in (other.replays, other.forks):
        table["run"], table["n_train"], table["learning_rate"] = "f0.2_r0/adam", 512, np.nan
    both = type(one)(
        *(pd.concat([a, b], ignore_index=True) for a, b in ((one.replays, other.replays), (one.forks, other.forks)))
    )
    table = interventions.compare(both)
    assert list(table["n_train"]) == [512, 512, 1024, 1024]
    assert len(per_fork(both)) == len(per_fork(one)) + len(per_fork(other))


def test_hazards_of_forks_are_exact():
    table = per_fork(make(hazard=2.0, arms={"x": 0.5}, absent=["y"]))
    assert list(table.columns) == COLUMNS
    assert (table.query("arm == 'y'")[["n", "events", "exposure"]] == 0).all(axis=None)
    assert table.query("arm == 'y'")[["hazard", "low", "ratio"]].isna().all(axis=None)
    row = table.query("arm == 'x' and events > 0").iloc[0]
    own = table.query(f"arm == 'as_it_is' and fork_step == {row['fork_step']}").iloc[0]
    bounds = poisson_interval(row["events"], row["exposure"] / 1000)
    assert (row["low"], row["high"]) == pytest.approx(bounds)
    assert row["hazard"] == pytest.approx(1000 * row["events"] / row["exposure"])
    assert row["ratio"] == pytest.approx(row["hazard"] / own["hazard"])
    assert row["ratio_low"] < row["ratio"] < row["ratio_high"]


SIZE = {"step_x0.5": 0.02, "v_x4": 0.02}


@pytest.mark.parametrize(
    ("arms", "rule", "answer"),
    [
        (SIZE, "the step's size permits it", "yes"),
        ({"step_x0.5": 0.02, "v_x4": 1.0}, "the step's size permits it", "no"),
        ({"step_x0.5": 0.02}, "the step's size permits it", "cannot say"),
        ({"step_x0.5": 0.2, "v_x4": 0.2}, "the step's size permits it", "cannot say"),
        ({"batch_x2": 0.5, "batch_x4": 0.02, "batch_x0.5": 4.0}, "noise drives it", "yes"),
        ({"batch_x4": 0.02, "batch_x0.5": 0.3}, "noise drives it", "no"),
        ({"batch_x2": 0.02, "batch_x0.5": 1.0}, "noise drives it", "cannot say"),
        ({"m_0": 0.1}, "momentum matters", "yes"),
        ({"m_0": 6.0}, "momentum matters", "yes"),
        ({"m_0": 1.0}, "momentum matters", "no"),
        ({"worst_out": 0.05, "random_out": 1.0}, "few examples carry it", "yes"),
        ({"worst_out": 0.5, "random_out": 1.0}, "few examples carry it", "cannot say"),
        ({"worst_out": 1.0, "random_out": 1.0}, "few examples carry it", "no"),
        ({"logits": 1.0, "float64": 0.02}, "numerical", "yes"),
        ({"logits": 1.0, "float64": 1.0}, "numerical", "no"),
    ],
)
def test_rules_decide_by_their_thresholds(arms, rule, answer):
    table = findings.judge(make(runs=1, hazard=3.0, arms=arms, grid=24, replays=12, seed=5))
    row = table.set_index("rule").loc[rule]
    assert row["answer"] == answer, row["sentence"]
    assert row["sentence"].startswith({"yes": "Yes, ", "no": "No, ", "cannot say": "Whether "}[answer])
    if answer != "cannot say":
        assert row["low"] <= row["estimate"] <= row["high"]


@pytest.mark.parametrize(
    ("process", "answer"), [("state", "no"), ("batch", "yes"), ("constant", "yes"), ("none", "yes")]
)
def test_whether_the_order_decides(process, answer):
    outcomes = make(process, runs=5, hazard=0.5, before=4, grid=12, steps=400)
    assert answers(outcomes)[findings.ORDER] == answer


def test_without_forks_before_spikes_the_order_is_left_open():
    row = findings.judge(make()).iloc[-1]
    assert (row["rule"], row["answer"]) == (findings.ORDER, "cannot say")
    assert "no forks before spikes" in row["sentence"]
