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
    free = np.sort(rng.uniform(0, t - durations.sum(), n))
    return free + np.cumsum(durations) - durations, durations


@pytest.mark.parametrize("duration", [5, 25])
def test_random_spikes_are_as_regular_as_chance_has_it(monkeypatch, duration):
    """Long spikes are a dead time: none begins within another, which looks regular by itself."""
    monkeypatch.setattr(st, "SHUFFLES", 99)
    rng = np.random.default_rng(5)
    found = [st.regularity(*random_spikes(10, 600, rng, duration), rng) for _ in range(300)]
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.05) <= 0.08


def test_random_spikes_that_come_late_are_not_regular(monkeypatch):
    """They are close to each other, and what they last keeps them apart: over all of training they look even."""
    monkeypatch.setattr(st, "SHUFFLES", 99)
    rng, found = np.random.default_rng(23), []
    for _ in range(200):
        onsets, durations = random_spikes(12, 600, rng, 25)
        spikes = planted("sustained", 5400 + onsets).assign(end=5400 + onsets + durations)
        found.append(st.describe(spikes, np.ones(6000), 1, 10)["regularity_p"])
    assert np.mean(np.array(found) <= 0.05) <= 0.09


def restarted(rng, n, mean, variation):
    """Each spike restarts the clock."""
    return np.cumsum(rng.gamma(variation**-2, variation**2 * mean, n))


def kept_in_time(rng, n, mean, variation):
    """All spikes are off one clock."""
    return np.sort(mean * (1 + np.arange(n)) + rng.normal(0, variation * mean / 2**0.5, n))


@pytest.mark.parametrize("clock", [restarted, kept_in_time])
def test_ten_spikes_whose_spacings_vary_by_a_third_are_seen_to_be_regular(monkeypatch, clock):
    monkeypatch.setattr(st, "SHUFFLES", 99)
    rng, found = np.random.default_rng(6), []
    for _ in range(100):
        onsets = clock(rng, 10, 60, 0.3)
        durations = np.minimum(5.0, np.append(np.diff(onsets), 5))
        found.append(st.regularity(onsets, durations, rng))
    assert np.mean(np.array(found) <= 0.05) >= 0.8


def test_few_spikes_have_no_regularity():
    assert np.isnan(st.regularity(np.arange(3.0), np.ones(3), np.random.default_rng(0)))


def planted(kinds, onsets):
    n = len(onsets)
    found = {"onset": onsets, "end": np.array(onsets) + 4.0, "recovery": 3, "height_ratio": np.arange(2.0, 2 + n)}
    return pd.DataFrame(found | {"kind": kinds})


def test_outliers_are_counted_beside_the_sustained_spikes():
    spikes = planted(["sustained", "outlier"] * 6, np.arange(12) * 40)
    row = st.describe(spikes, np.ones(500), 1, 10)
    alone = st.describe(spikes[spikes["kind"] == "sustained"], np.ones(500), 1, 10)
    assert (row["spikes"], row["outliers"], alone["outliers"]) == (6, 6, 0)
    assert (row["spacing"], row["share_in_spike"], row["height"]) == (80, 24 / 500, 7)
    assert {key: value for key, value in row.items() if key != "outliers"} == pytest.approx(
        {key: value for key, value in alone.items() if key != "outliers"}, nan_ok=True
    )


def test_intervals_of_a_run_say_that_they_are_within_it():
    assert st.describe(planted(["sustained"], [3]), np.ones(500), 1, 10)["within_run"]


def test_a_run_is_described():
    rng = np.random.default_rng(7)
    loss = rng.lognormal(0, 0.03, 600)
    onsets = range(50, 600, 50)
    for onset in onsets:
        loss[onset : onset + 4] *= 10
    spikes = find_spikes(loss).assign(kind="sustained")
    row = st.describe(spikes, np.append(loss, np.nan), 32, 32)
    assert (row["points"], row["spikes"], row["never_back"], row["spacing"]) == (600, 11, 0, 50)
    assert row["per_epoch"] == pytest.approx(11 / 600)
    assert row["per_1000_steps"] == pytest.approx(11 / 19.2)
    assert row["per_epoch_low"] < row["per_epoch"] < row["per_epoch_high"]
    assert row["height_low"] <= row["height"] <= row["height_high"]
    assert row["height"] == pytest.approx(10, rel=0.1)
    assert row["share_in_spike"] == pytest.approx(44 / 600, rel=0.1)
    assert row["spacing_cv"] < 0.05
    assert row["regularity_p"] < 0.01


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
    rows, onsets = [], []
    for batch in batches:
        for n_train in (256, 512, 1024, 2048):
            per_epoch, steps = n_train / batch, 10_000
            rate = per_1000 / 1000 * (per_epoch / 16) ** exponents[0] * (n_train / 512) ** exponents[1]
            for replicate in range(replicates):
                own = rng.gamma(1 / spread, spread) if spread else 1
                onsets.append(rng.uniform(0, steps, rng.poisson(rate * steps * own)))
                rows.append((n_train, replicate, per_epoch, n_train, steps, len(onsets[-1])))
    columns = ["fraction", "replicate", "steps_per_epoch", "n_train", "steps", "spikes"]
    return pd.DataFrame(rows, columns=columns), onsets


@pytest.fixture
def few_permutations(monkeypatch):
    monkeypatch.setattr(st, "_PERMUTATIONS", 199)


def test_runs_with_the_same_spikes_do_not_refuse_steps():
    runs = pd.DataFrame({"steps": [3000.0] * 6, "steps_per_epoch": [5.0, 8.0, 12.0, 20.0, 30.0, 40.0]})
    row = st.locking(runs, [np.arange(600.0, 3000, 300)] * 6, covariates=("steps_per_epoch",))
    assert row["steps_p"] == 1
    assert row["verdict"] == "steps"


@pytest.mark.usefixtures("few_permutations")
@pytest.mark.parametrize(
    ("exponents", "verdict"), [((0, 0), "steps"), ((-1, 0), "epochs"), ((0.8, 0), "neither"), ((0, -0.8), "neither")]
)
def test_the_verdict_names_what_spikes_are_locked_to(exponents, verdict):
    rng = np.random.default_rng(9)
    found = [st.locking(*study(rng, exponents))["verdict"] for _ in range(60)]
    # the last of these differs least from what it is told apart from
    assert np.mean(np.array(found) == verdict) >= 0.7


@pytest.mark.slow
@pytest.mark.usefixtures("few_permutations")
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_true_hypothesis_is_seldom_refused(spread):
    rng = np.random.default_rng(10)
    for exponents, name in (((0, 0), "steps_p"), ((-1, 0), "epochs_p")):
        p = np.array([st.locking(*study(rng, exponents, spread=spread))[name] for _ in range(100)])
        assert np.mean(p <= 0.05) <= 0.05 + 0.045  # two standard errors


def changing_study(rng, locked_to):
    """Runs of 600 epochs each, so of unequal steps, or of 4,800 steps each, so of unequal epochs.

    No spike comes in the first 2,000 steps (or 120 epochs); later their rate is the same in all runs.
    """
    rows, onsets = [], []
    for per_epoch in (32, 16, 8, 4):
        for _ in range(3):
            steps = 600 * per_epoch if locked_to == "steps" else 4800
            unit = 1 if locked_to == "steps" else per_epoch
            first, per_unit = (2000, 2e-3) if locked_to == "steps" else (120, 0.03)
            length = steps / unit
            n = rng.poisson(per_unit * max(length - first, 0))
            onsets.append(rng.uniform(first, max(length, first), n) * unit)
            rows.append((per_epoch, 32 * per_epoch, steps))
    return pd.DataFrame(rows, columns=["steps_per_epoch", "n_train", "steps"]), onsets


@pytest.mark.usefixtures("few_permutations")
@pytest.mark.parametrize("unit", ["steps", "epochs"])
def test_unequal_exposures_do_not_refuse_a_true_hypothesis(unit):
    """Over whole runs, each of its own length, the truth is refused in most studies; over what they share it is not."""
    rng, whole, shared = np.random.default_rng(19), [], []
    for _ in range(120):
        runs, onsets = changing_study(rng, unit)
        counts = np.array([len(own) for own in onsets], float)
        size = np.log(runs["steps_per_epoch"].to_numpy(float))
        length = runs["steps"] if unit == "steps" else runs["steps"] / runs["steps_per_epoch"]
        design = np.column_stack([np.ones(len(size)), size - size.mean()])
        fit = regression.poisson_regression(counts, design, np.log(length.to_numpy(float)))
        error = np.sqrt(fit.covariance[1, 1] * max(fit.dispersion, 1))
        whole.append(2 * stats.norm.sf(abs(fit.coefficients[1]) / error) < 0.05)
        shared.append(st.locking(runs, onsets)[f"{unit}_p"] <= 0.05)
    assert np.mean(whole) > 0.6
    assert np.mean(shared) <= 0.07


def test_what_runs_do_not_share_is_not_judged():
    runs, onsets = changing_study(np.random.default_rng(20), "steps")
    late = [own[own > 2400] for own in onsets]
    row = st.locking(runs, late)
    assert (row["common_steps"], row["common_epochs"], row["spikes_in_common_steps"]) == (2400, 600, 0)
    assert row["verdict"] == "undecided"
    assert row["reason"] == "no spike begins within the 2400 steps that all runs have"
    assert np.isnan(row["steps_p"])


def test_four_runs_decide_nothing():
    """Each of 24 orders of 4 runs is as likely: no probability below 1/24 can be reached, and 1/12 by both ends."""
    runs, onsets = study(np.random.default_rng(21), per_1000=3, batches=(32,), replicates=1)
    row = st.locking(runs, onsets)
    assert row["verdict"] == "undecided"
    assert row["reason"].startswith("neither is refused by")


@pytest.mark.usefixtures("few_permutations")
def test_intervals_of_slopes_cover():
    rng = np.random.default_rng(11)
    rows = [st.locking(*study(rng, (-0.5, 0.3))) for _ in range(100)]
    for name, truth in (("slope_steps_per_epoch", -0.5), ("slope_n_train", 0.3)):
        assert coverage([(row[f"{name}_low"], row[f"{name}_high"]) for row in rows], truth) >= 0.9


def pooled_study(rng, exponent, memory):
    """Tables of optimizers that differ in their memory; log rate goes with log steps per epoch and log memory."""
    runs, spikes = [], []
    for steps in (100, 1000):
        for batch in (16, 32, 64):
            table, onsets = study(rng, (exponent, 0), 1.0 * (steps / 300) ** memory, (batch,))
            keys = {"optimizer": f"b2_{steps}_{batch}", "scale": "step"}
            runs.append(table.assign(**keys, family="class Adam", memory=steps, height=2.0))
            for row, own in zip(table.to_dict("records"), onsets, strict=True):
                place = {name: row[name] for name in ("fraction", "replicate")}
                found = pd.DataFrame({"onset": np.sort(own), "end": np.sort(own), "kind": "sustained"})
                spikes.append(found.assign(**place, **keys))
    runs = pd.concat(runs, ignore_index=True)
    runs["points"] = runs["steps"].astype(int)
    runs = runs.assign(per_1000_steps=runs["spikes"] / 10, per_epoch=runs["spikes"] / 10_000 * runs["steps_per_epoch"])
    return runs, pd.concat(spikes, ignore_index=True)


@pytest.mark.usefixtures("few_permutations")
@pytest.mark.parametrize(("exponent", "verdict"), [(0, "steps"), (-1, "epochs")])
@pytest.mark.parametrize("memory", [-1, 0])
def test_optimizers_of_a_family_are_pooled_and_their_memory_is_told_apart(exponent, verdict, memory):
    rng, slopes, verdicts = np.random.default_rng(17), [], []
    for _ in range(5):
        table = st.trends(*pooled_study(rng, exponent, memory)).set_index("optimizer")
        assert len(table) == 7
        assert np.isnan(table.loc["b2_100_16", "slope_memory"])
        pooled = table.loc["class Adam"]
        slopes.append((pooled["slope_memory_low"], pooled["slope_memory_high"]))
        verdicts.append(pooled["verdict"])
    assert coverage(slopes, memory) >= 0.8
    assert np.mean(np.array(verdicts) == verdict) >= 0.8


def test_trends_are_of_sustained_spikes_in_steps():
    runs, spikes = pooled_study(np.random.default_rng(22), 0, 0)
    outliers = spikes.assign(kind="outlier")
    pd.testing.assert_frame_equal(st.trends(runs, pd.concat([spikes, outliers])), st.trends(runs, spikes))
    epochs = spikes.merge(runs[["fraction", "replicate", "optimizer", "steps_per_epoch"]])
    epochs["onset"] = epochs["end"] = epochs["onset"] // epochs.pop("steps_per_epoch")
    of_epochs = runs.assign(scale="epoch", points=(runs["steps"] / runs["steps_per_epoch"]).astype(int))
    found = st.trends(of_epochs, epochs.assign(scale="epoch"))
    assert found["spikes"].equals(st.trends(runs, spikes)["spikes"])
    assert found["spikes_in_common_steps"].iloc[-1] == pytest.approx(len(spikes), rel=0.05)


def lasting_study(rng, unit, lasts=100):
    """Runs of 6,000 steps whose spikes last 100 steps each; between them, their rate per step or epoch is constant."""
    rows, spikes = [], []
    for per_epoch in (8, 16, 32, 64):
        for replicate in range(3):
            spacing = 200 if unit == "steps" else 6 * per_epoch
            onsets = np.cumsum(rng.exponential(spacing, 100) + np.append(0, np.full(99, lasts)))
            onsets = np.floor(onsets[onsets < 6000])
            keys = {"fraction": per_epoch / 64, "replicate": replicate, "optimizer": "adam", "scale": "step"}
            rows.append({**keys, "steps_per_epoch": per_epoch, "n_train": 32 * per_epoch, "points": 6000})
            ends = np.where(onsets + lasts < 6000, onsets + lasts, np.nan)
            spikes.append(pd.DataFrame({"onset": onsets, "end": ends, "kind": "sustained"}).assign(**keys))
    runs = pd.DataFrame(rows).assign(family="adam", memory=1000.0, per_epoch=1.0, per_1000_steps=1.0, height=2.0)
    return runs.assign(steps=runs["points"]), pd.concat(spikes, ignore_index=True)


@pytest.mark.usefixtures("few_permutations")
@pytest.mark.parametrize("unit", ["steps", "epochs"])
def test_how_long_spikes_last_does_not_refuse_what_they_are_locked_to(unit):
    rng, other = np.random.default_rng(23), {"steps": "epochs", "epochs": "steps"}[unit]
    refused = (
        pd.DataFrame([st.trends(*lasting_study(rng, unit)).iloc[0] for _ in range(40)])[["steps_p", "epochs_p"]] <= 0.05
    )
    assert refused[f"{unit}_p"].mean() <= 0.05 + 0.07  # two standard errors
    assert refused[f"{other}_p"].mean() >= 0.8


@pytest.mark.usefixtures("few_permutations")
def test_with_time_in_spikes_a_true_rate_per_epoch_would_be_refused():
    rng = np.random.default_rng(23)
    studies = [lasting_study(rng, "epochs") for _ in range(20)]
    p = [st.trends(runs, spikes.assign(end=spikes["onset"]))["epochs_p"].iloc[0] for runs, spikes in studies]
    assert np.mean(np.array(p) <= 0.05) > 0.5


def test_time_at_risk_is_outside_of_spikes():
    """Spikes at 10 to 14 and 20 to 30, and one at 50 that is never over, in 100 steps: 4, 10 and 50 are left out."""
    before, length = st.time_at_risk(np.array([10.0, 20, 50]), np.array([14.0, 30, np.nan]), 100)
    assert before.tolist() == [10, 16, 36]
    assert length == 36
    assert st.time_at_risk(np.empty(0), np.empty(0), 100)[1] == 100


def test_at_one_batch_size_what_is_collinear_is_left_out():
    row = st.locking(*study(np.random.default_rng(12), batches=(32,)))
    assert np.isnan(row["slope_n_train"])
    assert abs(row["slope_steps_per_epoch"]) < 0.5


def test_no_spikes_decide_nothing():
    row = st.locking(*study(np.random.default_rng(13), per_1000=0))
    assert (row["verdict"], row["spikes"]) == ("undecided", 0)


def test_runs_that_diverged_at_once_are_left_out():
    runs, onsets = study(np.random.default_rng(18))
    at_once = runs.head(3).assign(steps=0, spikes=0)
    assert st.locking(pd.concat([runs, at_once]), [*onsets, [], [], []]) == st.locking(runs, onsets)
    alone = st.locking(at_once, [[], [], []])
    assert alone.keys() == st.locking(runs, onsets).keys()
    assert (alone["runs"], alone["verdict"]) == (0, "undecided")


def test_one_size_decides_nothing():
    runs, onsets = study(np.random.default_rng(14), batches=(32,))
    one = (runs["n_train"] == 512).to_numpy()
    row = st.locking(runs[one], [own for own, keep in zip(onsets, one, strict=True) if keep])
    assert (row["verdict"], row["reason"]) == ("undecided", "all runs have the same number of steps per epoch")


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
