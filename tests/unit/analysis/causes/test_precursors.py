"""What moves first and what predicts, on planted precursors and on none."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from quasarcurves.analysis.causes import precursors
from quasarcurves.analysis.causes.alignment import align, align_runs
from quasarcurves.analysis.causes.precursors import LEADS, predictors
from quasarcurves.analysis.stats import resampling
from support.planted_runs import T, correlated, history, measures, onsets_and_ends, ramp, spike_table

RAMP, GAIN = 100, 0.3
NAMES = ["one", "two", "three"]


def study(rng, runs=5, spikes=8, plant=None):
    """Replicates with spikes; `plant` may change the measures before them."""
    histories, tables = [], []
    for replicate in range(runs):
        onset, end = onsets_and_ends(rng, spikes)
        steps = measures(rng, onset, end)
        if plant:
            plant(steps, onset)
        histories.append(history(steps, replicate))
        tables.append(spike_table(onset, end))
    return align_runs(histories, tables)


def step_grows(steps, onset):
    steps["effective_step_q50"] *= np.exp(GAIN * ramp(onset, RAMP))


def test_the_planted_precursor_moves_first_and_at_about_its_time():
    table = predictors(study(np.random.default_rng(1), plant=step_grows)).set_index("measure")
    row = table.loc["effective_step_q50"]
    assert row["moves_first"] is True
    assert 50 <= row["first_move"] <= RAMP
    assert row["first_move_low"] <= row["first_move"] <= row["first_move_high"]
    assert row["first_move_low"] >= 50
    assert table.drop("effective_step_q50")["first_move"].isna().all()
    assert row["auc"] > 0.9
    assert (row["n_spikes"], row["n_runs"]) == (table["n_spikes"].max(), 5)
    assert 20 <= row["n_spikes"] <= 35  # of 40, those that have a match


def test_the_earlier_of_two_precursors_is_first():
    def plant(steps, onset):
        step_grows(steps, onset)
        steps["rms_worst"] *= np.exp(2 * ramp(onset, 15))

    right = []
    for seed in range(20, 26):
        table = predictors(study(np.random.default_rng(seed), plant=plant)).set_index("measure")
        assert 5 <= table.loc["rms_worst", "first_move"] <= 15
        assert table.loc["rms_worst", "moves_first"] is not True
        verdicts = (table.loc["effective_step_q50", "moves_first"], table.loc["rms_worst", "moves_first"])
        right.append(verdicts == (True, False))
    assert sum(right) >= 4


def test_of_two_that_move_together_neither_is_first():
    def plant(steps, onset):
        step_grows(steps, onset)
        steps["update_norm"] = steps["effective_step_q50"] * np.exp(0.05 * correlated(np.random.default_rng(0)))

    table = predictors(study(np.random.default_rng(3), plant=plant)).set_index("measure")
    assert (table.loc[["effective_step_q50", "update_norm"], "first_move"] > 40).all()
    assert not (table["moves_first"] == True).any()  # noqa: E712


def test_statistics_of_one_quantity_are_no_rivals():
    def plant(steps, onset):
        step_grows(steps, onset)
        steps["effective_step_mean"] = 0.9 * steps["effective_step_q50"]

    table = predictors(study(np.random.default_rng(4), plant=plant)).set_index("measure")
    assert table.loc[["effective_step_q50", "effective_step_mean"], "moves_first"].tolist() == [True, True]


@pytest.mark.slow
def test_without_precursors_nothing_moves_first_and_nothing_predicts():
    """A measure may move in one of 20 tables; of 12 at most 3 are allowed (probability of more: 0.2 %)."""
    rng, tables = np.random.default_rng(5), []
    for number in range(12):
        tables.append(predictors(study(rng, runs=3)).assign(number=number))
    table = pd.concat(tables)
    assert table["first_move"].notna().groupby(table["number"]).any().sum() <= 3
    assert (table["moves_first"] == True).sum() <= 2  # noqa: E712
    covered = (table["auc_low"] <= 0.5) & (table["auc_high"] >= 0.5)
    assert covered.mean() >= 0.88
    assert abs(table["auc"].mean() - 0.5) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "spikes"), [(1, 14), (5, 8)])
def test_rates_without_precursors(runs, spikes):
    rng, tables = np.random.default_rng(6), []
    for number in range(200):
        tables.append(predictors(study(rng, runs, spikes)).assign(number=number))
    table = pd.concat(tables)
    assert table["first_move"].notna().groupby(table["number"]).any().mean() <= 0.085
    known = table[(table["measure"] != "last_layer_norm") & table["auc"].notna()]
    for _, rows in known.groupby("measure"):
        covered = (rows["auc_low"] <= 0.5) & (rows["auc_high"] >= 0.5)
        assert 0.88 <= covered.mean() <= 1


def test_few_spikes_say_nothing():
    table = predictors(study(np.random.default_rng(7), runs=1, spikes=5, plant=step_grows))
    assert (table["note"] == "too few spikes").all()
    assert table[["first_move", "moves_first", "auc", "auc_low"]].isna().all(axis=None)


@pytest.mark.slow
def test_random_differences_rarely_leave_the_band():
    """Whose stretches are alike within a spike, and heavy-tailed: at most 5 % of tables."""
    rng, n = np.random.default_rng(8), 40
    weights, moved = resampling.draw_weights(np.repeat(np.arange(5), 8), rng, 20), []
    for _ in range(200):
        differences = rng.standard_t(3, (n, 3, len(LEADS))) + rng.standard_normal((n, 3, 1))
        moved.append(precursors.first_moves(differences, NAMES, weights, rng)["first_move"].notna().any())
    assert np.mean(moved) <= 0.095


def test_tiny_moves_are_none_however_clear():
    weights = resampling.draw_weights(np.zeros(40, int), np.random.default_rng(9))
    differences = np.zeros((40, 3, len(LEADS)))
    differences[:, 0], differences[:, 1] = 0.009, 0.011
    table = precursors.first_moves(differences, NAMES, weights, np.random.default_rng(9))
    assert table["first_move"].notna().tolist() == [False, True, False]


def test_a_move_that_does_not_last_is_none():
    statistics = np.full((1, 1, len(LEADS)), -1.5)
    statistics[0, 0, 10] = 9
    large = np.ones((1, len(LEADS)), bool)
    assert precursors.leads(statistics, 3, large)[0, 0] == 0
    assert precursors.leads(np.abs(statistics), 3, large)[0, 0] == LEADS[10][0]


def test_signed_ranks_give_wilcoxon():
    differences = np.random.default_rng(10).normal(0.3, 1, (25, 1, 1))
    ranks = precursors.signed_ranks(differences)
    expected = stats.wilcoxon(differences.ravel(), method="approx", correction=False)
    z = precursors._standardised(np.ones((1, 25)), ranks).item()
    assert 2 * stats.norm.sf(abs(z)) == pytest.approx(expected.pvalue)


def test_unknown_differences_do_not_count():
    differences = np.array([1.0, -2, np.nan, 3]).reshape(4, 1, 1)
    assert precursors.signed_ranks(differences).ravel().tolist() == [1, -2, 0, 3]


def test_auc_counts_the_pairs_won():
    rng = np.random.default_rng(11)
    a, b = rng.integers(0, 6, 30).astype(float), rng.integers(0, 6, 50).astype(float)
    won = np.mean([(x > y) + 0.5 * (x == y) for x in a for y in b])
    (found,) = precursors.auc(np.append(a, np.nan)[None], b[None])
    assert found == pytest.approx(won)
    assert found == pytest.approx(stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)))
    rows = precursors.auc(np.stack([a, a, np.full(30, np.nan)]), np.stack([b, b + 9, b]))
    np.testing.assert_allclose(rows, [won, 0, np.nan])
    assert np.isnan(precursors.auc(a[None], b[None, :0])).all()


def shifted(size):
    """The effective step is higher by so many standard deviations of white noise in the 50 steps before a spike."""

    def plant(steps, onset):
        before = ramp(onset, 50) > 0
        steps["effective_step_q50"] = np.exp(
            0.1 * np.random.default_rng(onset).standard_normal(T) + 0.1 * size * before
        )

    return plant


def test_the_planted_auc_is_found():
    """Two Gaussians a shift apart: AUC = Phi(shift / sqrt 2), as far as the running median stays behind."""
    table = predictors(study(np.random.default_rng(12), plant=shifted(1.0))).set_index("measure")
    row = table.loc["effective_step_q50"]
    assert row["auc"] == pytest.approx(stats.norm.cdf(1 / np.sqrt(2)), abs=0.04)
    assert row["auc_low"] < row["auc"] < row["auc_high"]


def test_intervals_cover_the_planted_auc():
    """Not the closed form, which the running median is a little below, but the mean over all runs."""
    rng, found = np.random.default_rng(13), []
    for _ in range(40):
        runs = study(rng, runs=3, spikes=6, plant=shifted(0.5))
        areas = precursors.spike_aucs(runs, "effective_step_q50")
        owner = np.repeat(np.arange(3), [len(run.centres["spike"]) for run in runs])
        found.append((areas.mean(), *resampling.mean_interval(areas, resampling.draw_weights(owner, rng))))
    mean, low, high = np.nanmean(found, axis=0)[0], *np.array(found)[:, 1:].T
    assert stats.norm.cdf(0.5 / np.sqrt(2)) == pytest.approx(mean, abs=0.03)
    assert 0.85 <= np.mean((low <= mean) & (mean <= high)) <= 1


def test_curvature_keeps_its_own_scale_and_says_how_often_it_was_measured():
    rng, runs = np.random.default_rng(14), []
    for replicate in range(2):
        onset, end = onsets_and_ends(rng, 10)
        step = np.arange(0, T, 100)
        above = np.isin(step, (onset[:, None] - np.arange(1, 101)).ravel())
        curvature = {"step": step, "sharpness": 30 + 20.0 * above, "threshold": np.full(len(step), 38.0)}
        made = history(measures(rng, onset, end), replicate, curvature)
        runs.append(align(made, spike_table(onset, end)))
    row = predictors(runs).set_index("measure").loc["sharpness_over_threshold"]
    assert row["note"] == "measured every 100 steps: no lead is known better"
    assert 0 < row["first_move"] <= 100
    assert row["auc"] > 0.6
