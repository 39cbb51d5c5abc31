"""Intervals, tests and verdicts on planted truth, a null included."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.genmod import families
from statsmodels.genmod.generalized_linear_model import GLM

from quasarcurves.analysis.spikes import find_spikes
from quasarcurves.analysis.spikes import statistics as st
from quasarcurves.analysis.stats import rates, regression


def coverage(intervals, truth):
    return np.mean([low <= truth <= high for low, high in intervals])


def test_poisson_intervals_are_those_of_the_tables():
    assert rates.poisson_interval(0) == pytest.approx((0, 3.6889), abs=1e-4)
    assert rates.poisson_interval(10, 2) == pytest.approx((4.7954 / 2, 18.3904 / 2), abs=1e-4)
    assert rates.weighted_poisson_interval(np.ones(10), 2) == pytest.approx(rates.poisson_interval(10, 2))


@pytest.mark.parametrize("mean", [0.5, 3, 20])
def test_poisson_intervals_cover(mean):
    counts = np.random.default_rng(1).poisson(mean, 2000)
    assert coverage([rates.poisson_interval(int(n), 5) for n in counts], mean / 5) >= 0.94


def test_intervals_of_shares_cover():
    rng = np.random.default_rng(2)
    intervals = [rates.weighted_poisson_interval(rng.exponential(4, rng.poisson(15)), 600) for _ in range(1500)]
    assert coverage(intervals, 15 * 4 / 600) >= 0.93


@pytest.mark.parametrize("n", [6, 9, 40])
def test_intervals_of_medians_cover_without_being_too_wide(n):
    rng = np.random.default_rng(3)
    found = coverage([st.median_interval(rng.lognormal(0, 1, n)) for _ in range(2000)], 1)
    assert 0.94 <= found <= 0.99


def test_a_median_of_few_has_no_interval():
    assert np.isnan(st.median_interval([1, 2, 3, 4, 5])).all()
    assert st.median_interval([6, 1, 2, 3, 5, 4]) == (1, 6)
    assert np.isnan(st.median_interval([])).all()


@pytest.mark.parametrize("shape", [1, 4, 50])
@pytest.mark.parametrize("n", [3, 8, 40])
def test_intervals_of_the_variation_cover(shape, n):
    rng = np.random.default_rng(4)
    found = coverage([st.variation_interval(rng.gamma(shape, 1, n)) for _ in range(1500)], shape**-0.5)
    assert 0.93 <= found <= 0.985


def random_spikes(n, t, rng, duration=5):
    durations = rng.integers(1, 2 * duration, n).astype(float)
    return st._thrown(durations, t, rng), durations


def test_random_spikes_are_as_periodic_as_chance_has_it(monkeypatch):
    monkeypatch.setattr(st, "SHUFFLES", 99)
    rng = np.random.default_rng(5)
    periods, regularities = [], []
    for _ in range(150):
        onsets, durations = random_spikes(12, 600, rng)
        periods.append(st.periodicity(onsets, durations, 600, rng)[1])
        regularities.append(st.regularity(onsets, durations, 600, rng))
    for found in (periods, regularities):
        assert stats.kstest(found, "uniform").pvalue > 0.01
        assert np.mean(np.array(found) <= 0.05) <= 0.10


def test_periodic_spikes_are_seen_and_their_period_measured(monkeypatch):
    monkeypatch.setattr(st, "SHUFFLES", 99)
    rng, seen = np.random.default_rng(6), []
    for _ in range(40):
        onsets = np.arange(30, 600, 60) + rng.normal(0, 5, 10)
        period, p = st.periodicity(onsets, np.full(10, 5.0), 600, rng)
        seen.append((p <= 0.05, abs(period - 60) < 5, st.regularity(onsets, np.full(10, 5.0), 600, rng) <= 0.05))
    assert np.mean(seen, axis=0).min() >= 0.9


def test_few_spikes_have_no_period():
    rng = np.random.default_rng(0)
    assert np.isnan(st.periodicity(np.arange(3.0), np.ones(3), 10, rng)).all()
    assert np.isnan(st.regularity(np.arange(3.0), np.ones(3), 10, rng))


def test_a_run_is_described():
    rng = np.random.default_rng(7)
    loss = rng.lognormal(0, 0.03, 600)
    onsets = range(50, 600, 50)
    for onset in onsets:
        loss[onset : onset + 4] *= 10
    row = st.describe(find_spikes(loss), np.append(loss, np.nan), 32, 32)
    assert (row["points"], row["spikes"], row["never_back"], row["spacing"]) == (600, 11, 0, 50)
    assert row["per_epoch"] == pytest.approx(11 / 600)
    assert row["per_1000_steps"] == pytest.approx(11 / 19.2)
    assert row["per_epoch_low"] < row["per_epoch"] < row["per_epoch_high"]
    assert row["height_low"] <= row["height"] <= row["height_high"]
    assert row["height"] == pytest.approx(10, rel=0.1)
    assert row["share_in_spike"] == pytest.approx(44 / 600, rel=0.1)
    assert row["spacing_cv"] < 0.05
    assert row["regularity_p"] < 0.01
    assert row["period"] == pytest.approx(50, rel=0.05)


@pytest.mark.parametrize("loss", [np.ones(100), np.full(3, np.nan), np.ones(1)])
def test_a_run_without_spikes_is_described(loss):
    row = st.describe(find_spikes(loss), loss, 1, 4)
    assert row["spikes"] == row["per_epoch"] == row["per_epoch_low"] == 0
    assert np.isnan(row["height"])


def test_poisson_regression_finds_the_coefficients():
    rng = np.random.default_rng(8)
    x = rng.normal(size=4000)
    design, offset = np.column_stack([np.ones_like(x), x]), rng.normal(size=4000)
    fit = regression.poisson_regression(rng.poisson(np.exp(0.5 - 0.7 * x + offset)), design, offset)
    np.testing.assert_allclose(fit.coefficients, [0.5, -0.7], atol=4 * np.sqrt(np.diag(fit.covariance)).max())
    assert fit.dispersion == pytest.approx(1, abs=0.1)


def test_poisson_regression_of_two_groups_has_a_closed_form():
    counts, group = np.array([3.0, 5, 10, 14]), np.array([0.0, 0, 1, 1])
    fit = regression.poisson_regression(counts, np.column_stack([np.ones(4), group]), np.zeros(4))
    np.testing.assert_allclose(fit.coefficients, [np.log(4), np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(fit.covariance[1, 1], 1 / 8 + 1 / 24, rtol=1e-6)


def test_poisson_regression_agrees_with_statsmodels():
    rng = np.random.default_rng(10)
    design, offset = np.column_stack([np.ones(20), rng.normal(size=20)]), rng.normal(2, 1, 20)
    counts = rng.poisson(np.exp(design @ [0.5, -0.7] + offset))
    fit = regression.poisson_regression(counts, design, offset)
    other = GLM(counts, design, family=families.Poisson(), offset=offset).fit()
    np.testing.assert_allclose(fit.coefficients, other.params, rtol=1e-6)
    np.testing.assert_allclose(fit.covariance, other.cov_params(), rtol=1e-6)
    assert fit.dispersion == pytest.approx(other.pearson_chi2 / other.df_resid)


def study(rng, exponents=(0.0, 0.0), per_1000=1.0, batches=(16, 32, 64), replicates=2, spread=0.0):
    """Runs of 10,000 steps each; log rate per step goes with log steps per epoch and log spectra by those exponents."""
    rows = []
    for batch in batches:
        for n_train in (256, 512, 1024, 2048):
            per_epoch, steps = n_train / batch, 10_000
            rate = per_1000 / 1000 * (per_epoch / 16) ** exponents[0] * (n_train / 512) ** exponents[1]
            for _ in range(replicates):
                own = rng.gamma(1 / spread, spread) if spread else 1
                rows.append((per_epoch, n_train, steps, rng.poisson(rate * steps * own)))
    return pd.DataFrame(rows, columns=["steps_per_epoch", "n_train", "steps", "spikes"])


@pytest.mark.parametrize(
    ("exponents", "verdict"), [((0, 0), "steps"), ((-1, 0), "epochs"), ((0.8, 0), "neither"), ((0, -0.8), "neither")]
)
def test_the_verdict_names_what_spikes_are_locked_to(exponents, verdict):
    rng = np.random.default_rng(9)
    found = [st.locking(study(rng, exponents))["verdict"] for _ in range(100)]
    assert np.mean(np.array(found) == verdict) >= 0.9


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_a_true_hypothesis_is_seldom_refused(spread):
    rng = np.random.default_rng(10)
    for exponents, name in (((0, 0), "steps_p"), ((-1, 0), "epochs_p")):
        p = np.array([st.locking(study(rng, exponents, spread=spread))[name] for _ in range(300)])
        assert np.mean(p < 0.05) <= 0.09


def test_intervals_of_slopes_cover():
    rng = np.random.default_rng(11)
    rows = [st.locking(study(rng, (-0.5, 0.3))) for _ in range(200)]
    for name, truth in (("slope_steps_per_epoch", -0.5), ("slope_n_train", 0.3)):
        assert coverage([(row[f"{name}_low"], row[f"{name}_high"]) for row in rows], truth) >= 0.91


def pooled_study(rng, exponent, memory):
    """Runs of optimizers that differ in their memory; log rate goes with log steps per epoch and log memory."""
    rows = [
        study(rng, (exponent, 0), per_1000=1.0 * (steps / 300) ** memory).assign(
            optimizer=f"b2_{steps}", family="class Adam", scale="step", memory=steps, height=2.0
        )
        for steps in (100, 1000)
    ]
    runs = pd.concat(rows, ignore_index=True)
    return runs.assign(per_1000_steps=runs["spikes"] / 10, per_epoch=runs["spikes"] / 10_000 * runs["steps_per_epoch"])


@pytest.mark.parametrize(("exponent", "verdict"), [(0, "steps"), (-1, "epochs")])
@pytest.mark.parametrize("memory", [-1, 0])
def test_optimizers_of_a_family_are_pooled_and_their_memory_is_told_apart(exponent, verdict, memory):
    rng, slopes, verdicts = np.random.default_rng(17), [], []
    for _ in range(40):
        table = st.trends(pooled_study(rng, exponent, memory)).set_index("optimizer")
        assert list(table.index) == ["b2_100", "b2_1000", "class Adam"]
        assert np.isnan(table.loc["b2_100", "slope_memory"])
        pooled = table.loc["class Adam"]
        slopes.append((pooled["slope_memory_low"], pooled["slope_memory_high"]))
        verdicts.append(pooled["verdict"])
    assert coverage(slopes, memory) >= 0.85
    assert np.mean(np.array(verdicts) == verdict) >= 0.85


def test_at_one_batch_size_what_is_collinear_is_left_out():
    row = st.locking(study(np.random.default_rng(12), batches=(32,)))
    assert np.isnan(row["slope_n_train"])
    assert abs(row["slope_steps_per_epoch"]) < 0.5


def test_no_spikes_decide_nothing():
    row = st.locking(study(np.random.default_rng(13), per_1000=0))
    assert row["verdict"] == "undecided"


def test_runs_that_diverged_at_once_are_left_out():
    runs = study(np.random.default_rng(18))
    at_once = runs.head(3).assign(steps=0, spikes=0)
    assert st.locking(pd.concat([runs, at_once])) == st.locking(runs)
    alone = st.locking(at_once)
    assert alone.keys() == st.locking(runs).keys()
    assert (alone["runs"], alone["verdict"]) == (0, "undecided")


def test_one_size_decides_nothing():
    runs = study(np.random.default_rng(14), batches=(32,)).query("n_train == 512")
    assert st.locking(runs)["verdict"] == "undecided"


def test_trends_of_ranks_and_heights_are_right_under_the_null():
    rng, refused = np.random.default_rng(15), []
    for _ in range(100):
        runs = pd.DataFrame({"steps_per_epoch": [4, 8, 16, 32] * 2, "height": rng.lognormal(1, 0.5, 8)})
        refused.append((st.height_trend(runs)["height_p"] < 0.05, st.rank_trend(runs, "height")[1] < 0.05))
    assert np.mean(refused, axis=0).max() <= 0.11


def test_trends_of_ranks_and_heights_are_seen():
    rng = np.random.default_rng(16)
    sizes = np.array([4, 8, 16, 32] * 2)
    runs = pd.DataFrame({"steps_per_epoch": sizes, "height": 3 * sizes**-0.5 * rng.lognormal(0, 0.1, 8)})
    row = st.height_trend(runs)
    assert row["slope_height_low"] < -0.5 < row["slope_height_high"] < 0
    rho, p = st.rank_trend(runs, "height")
    assert (rho < -0.9, p < 0.01) == (True, True)
    assert np.isnan(st.rank_trend(runs.head(3), "height")).all()
