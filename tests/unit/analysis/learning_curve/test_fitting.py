"""How much data is enough, checked on curves whose truth is known; and where the data cannot say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from quasarcurves.analysis.learning_curve import fit
from quasarcurves.analysis.learning_curve.candidates import Sizes
from quasarcurves.analysis.learning_curve.fitting import _seen, find_failed
from support import planted_curves as planted

SIZES = np.array([1000, 2000, 5000, 10_000, 30_000, 100_000])

# science.md section 3: training losses of Farr et al. (2020) at epoch 200 and 500
FARR_N = np.array([563, 313, 125, 63, 31, 16, 6]) * 1000
FARR_LOSS = {
    200: np.array([0.00160, 0.00068, 0.00032, 0.00039, 0.00053, 0.00091, 0.00216]),
    500: np.array([0.00065, 0.00033, 0.00017, 0.00019, 0.00024, 0.00036, 0.00076]),
}


def runs(curve, sizes=SIZES, replicates=5, noise=0.05, seed=0):
    n = np.repeat(sizes, replicates)
    return n, curve(n) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(n)))


def power(n):
    return 0.01 + 5 * n**-0.6


def test_a_power_law_is_answered():
    needed = 200_000
    curve = fit(*runs(power, noise=0.03, replicates=10), power(needed))
    assert curve.reasons == ()
    assert curve.interval[0] <= needed <= curve.interval[1] < 10 * curve.interval[0]
    assert curve.interval[0] <= curve.n_required <= curve.interval[1]
    assert curve.predict(curve.n_required) == pytest.approx(power(needed), rel=1e-6)
    assert curve.floor_interval[0] <= 0.01 <= curve.floor_interval[1]
    gain = 1 - power(200_000) / power(100_000)
    assert curve.doubling_gain_interval[0] <= gain <= curve.doubling_gain_interval[1]
    assert curve.certain_gain
    assert f"{curve.n_required:,.0f} examples are needed" in curve.verdict


def test_exact_data_give_the_truth():
    curve = fit(*runs(power, sizes=np.geomspace(300, 100_000, 8), noise=0), power(300_000))
    assert curve.n_required == pytest.approx(300_000, rel=0.02)
    assert curve.doubling_gain == pytest.approx(1 - power(200_000) / power(100_000), rel=0.02)
    assert curve.floor == pytest.approx(0.01, rel=0.05)


def test_the_family_is_that_which_predicts_the_largest_size():
    n, error = runs(power)
    curve = fit(n, error)
    misses = {name: abs(np.log(ratio)) for name, ratio in curve.left_out.items() if name != "last1"}
    assert set(curve.left_out) == {"last1", "pow3", "pow4", "mmf4", "wbl4"}
    assert curve.family == min(misses, key=misses.get)
    means = [np.log(error[n == size]).mean() for size in SIZES[-2:]]
    assert curve.left_out["last1"] == pytest.approx(np.exp(means[0] - means[1]))


def test_prediction_of_the_largest_does_not_know_it():
    n, error = runs(power)
    changed = np.where(n == n.max(), 1.3 * error, error)
    one, other = fit(n, error).left_out, fit(n, changed).left_out
    for name in one:
        assert one[name] == pytest.approx(1.3 * other[name], rel=1e-3)


@pytest.mark.parametrize(("sizes", "families"), [(4, set()), (5, {"pow3"}), (6, {"pow3", "pow4", "mmf4", "wbl4"})])
def test_a_family_needs_more_sizes_than_parameters_after_leaving_one_out(sizes, families):
    curve = fit(*runs(power, sizes=np.geomspace(1000, 100_000, sizes)))
    assert set(curve.left_out) == families | {"last1"}
    if not families:
        assert "too few to see whether a curve" in curve.verdict


def test_fewer_than_four_sizes_cannot_say():
    curve = fit(*runs(power, sizes=SIZES[:3]), 0.02)
    assert curve.family == "last1"
    assert "cannot say: 3 sizes" in curve.verdict
    assert np.isnan([curve.n_required, *curve.interval, curve.doubling_gain]).all()
    n, error = runs(power, sizes=SIZES[:3])
    assert curve.predict(1e6) == pytest.approx(np.exp(np.log(error[n == SIZES[2]]).mean()))
    assert np.isnan(curve.band(SIZES)).all()


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [200, 500])
@pytest.mark.parametrize("target", [None, 1e-4, 2.5e-4, 5e-4])
def test_the_published_losses_cannot_say(epoch, target):
    """They fall to 125,000 spectra and rise from there: training losses after equal epochs."""
    curve = fit(FARR_N, FARR_LOSS[epoch], target)
    assert "These data cannot say" in curve.verdict
    assert "rises" in curve.verdict
    assert "from 125,000 to 563,000 examples" in curve.verdict
    assert not curve.certain_gain


def test_four_single_runs_are_no_certainty():
    """A curve of four parameters goes through every point; the noise is not nothing for that."""
    curve = fit(np.array([128, 256, 512, 1024]), np.array([6.42, 5.42, 3.61, 2.27]), 1.5)
    low, high = curve.doubling_gain_interval
    assert high - low > 0.1
    assert curve.interval[1] > 2 * curve.interval[0]
    assert "cannot say" in curve.verdict


def test_a_rise_between_replicated_sizes_cannot_say():
    n, error = runs(lambda n: 0.02 * np.where(n > 20_000, 1.4, 1.0) * n**-0.1)
    assert "the error rises" in fit(n, error, 0.005).verdict
    n, error = runs(lambda n: np.full(len(n), 0.02))
    assert "rises" not in fit(n, error, 0.005).verdict


def test_what_no_family_fits_cannot_say():
    def steps(n):
        return np.where(n > 3000, 0.02, 0.08) * n**-0.05

    assert "no family of curves fits" in fit(*runs(steps, noise=0.02), 0.01).verdict


def test_a_target_below_the_floor_cannot_say():
    def floored(n):
        return 0.02 + 50 / n

    curve = fit(*runs(floored, replicates=10), 0.01)
    assert "the target 0.01 is out of reach: the curve tends to 0.02" in curve.verdict
    other = fit(*runs(floored, replicates=10), 0.01, own=lambda error: 1 - error).verdict
    assert "the target 0.99 is out of reach: the curve tends to 0.98 (0.979 to 0.98)" in other
    assert curve.n_required == np.inf
    assert curve.interval == (np.inf, np.inf)


def test_a_far_target_has_no_upper_end():
    curve = fit(*runs(lambda n: 0.02 + n**-0.4, replicates=3, noise=0.1), 0.021)
    assert "has no upper end" in curve.verdict or "wider than a factor 10" in curve.verdict


def test_a_target_that_the_smallest_set_reaches():
    curve = fit(*runs(power), 10 * power(1000))
    assert curve.interval[0] == 0
    assert curve.interval[1] < 1000
    assert "At most" in curve.verdict


def test_failed_replicates_are_left_out_and_listed():
    n, error = runs(power, replicates=10)
    whole = fit(n, error, 0.016)
    spoilt = error.copy()
    spoilt[[3, 47]] = [8 * error[3], np.nan]
    curve = fit(n, spoilt, 0.016)
    assert list(np.flatnonzero(curve.failed)) == [3, 47]
    assert not whole.failed.any()
    assert curve.n_required == pytest.approx(whole.n_required, rel=0.1)


def test_failure_is_not_told_of_two_replicates_nor_of_a_good_run():
    n, error = runs(power, replicates=2)
    error[0] *= 8
    assert not find_failed(n, error).any()
    n, error = runs(power, replicates=10)
    error[0] /= 8
    assert not find_failed(n, error).any()


@pytest.mark.parametrize("replicates", [3, 10])
def test_few_are_called_failed_by_chance(replicates):
    called = [find_failed(*runs(power, replicates=replicates, seed=seed)).mean() for seed in range(60)]
    assert np.mean(called) < 0.005


@settings(max_examples=3, deadline=None)
@given(factor=st.floats(1e-3, 1e3), more=st.floats(0.1, 100), order=st.randoms(use_true_random=False))
def test_units_and_order_do_not_matter(factor, more, order):
    n, error = runs(power)
    places = list(range(len(n)))
    order.shuffle(places)
    one = fit(n, error, 0.015)
    other = fit(more * n[places], factor * error[places], factor * 0.015)
    assert other.family == one.family
    np.testing.assert_allclose(other.interval, more * np.array(one.interval), rtol=1e-3)
    np.testing.assert_allclose(other.doubling_gain_interval, one.doubling_gain_interval, atol=1e-4)
    assert other.n_required == pytest.approx(more * one.n_required, rel=1e-3)
    assert other.floor == pytest.approx(factor * one.floor, rel=1e-2, abs=1e-5 * factor)


def test_the_same_data_give_the_same_answer():
    one, other = (fit(*runs(power), 0.015) for _ in range(2))
    assert (one.interval, one.floor_interval, one.verdict) == (other.interval, other.floor_interval, other.verdict)


def test_band_and_interval_agree():
    """The target is inside the band exactly at the sizes inside the interval."""
    curve = fit(*runs(power), 0.015)
    (low, high), (_, top) = (curve.band(np.array([end])) for end in curve.interval)
    assert low[0] == pytest.approx(0.015, rel=0.01)
    assert top[0] == pytest.approx(0.015, rel=0.01)
    assert high[0] > 0.015


@pytest.mark.parametrize(
    ("n", "error", "target", "message"),
    [
        ([1, 2], [1.0], None, r"one length, found shapes \(2,\) and \(1,\)"),
        ([1, -2], [1.0, 1.0], None, "n: expected values above 0, found -2"),
        ([1, 2], [1.0, 0.0], None, "error: expected values above 0, found 0"),
        ([1, 2], [1.0, 1.0], -1.0, "target: expected an error above 0, found -1"),
        ([1, 2], [np.nan, np.inf], None, "error: expected finite values, found none in 2"),
    ],
)
def test_wrong_arguments_are_refused(n, error, target, message):
    with pytest.raises(ValueError, match=message):
        fit(np.array(n), np.array(error), target)


def test_sizes_to_predict_must_be_positive():
    with pytest.raises(ValueError, match="above 0"):
        fit(*runs(power)).predict(0)


@pytest.mark.slow
def test_flat_curves_promise_nothing():
    curves = [fit(*planted.flat(np.random.default_rng([3, seed])), 0.015) for seed in range(5)]
    assert sum(curve.certain_gain for curve in curves) <= stats.binom.isf(0.001, 5, 0.1)
    assert not any(not curve.reasons for curve in curves)


@pytest.mark.slow
@pytest.mark.parametrize("kind", planted.KINDS)
def test_intervals_hold_the_truth(kind):
    """Of 60 trials as many as a 90 % interval should hold, within binomial bounds at 1 in 1,000 either way."""
    held = []
    for seed in range(60):
        truth = planted.plant(kind, np.random.default_rng([11, seed]))
        curve = fit(truth.n, truth.error, truth.target)
        (low, high), gains = curve.interval, curve.doubling_gain_interval
        held.append((low <= truth.n_required <= high, gains[0] <= truth.gain <= gains[1]))
    fewest = stats.binom.ppf(0.001, 60, 0.9)
    assert (np.sum(held, axis=0) >= fewest).all(), np.mean(held, axis=0)


TOLD = {
    (noise, replicates): {
        "noise": (noise, noise),
        "replicates": (replicates, replicates),
        # with one replicate the noise between runs is not seen
        "test_share": 1.0 - (0.1 / noise) ** 2 if replicates == 1 and noise > 0.1 else 0.5,
    }
    for noise in (0.1, 0.25)
    for replicates in (1, 3)
}
"""How runs are planted whose noise the test set tells."""


@pytest.mark.slow
@pytest.mark.parametrize("way", TOLD)
@pytest.mark.parametrize("sizes", [2, 3, 5])
def test_what_is_seen_without_a_curve_holds_the_truth(way, sizes):
    """Of 1,000 trials 90 % (- 3) of the intervals hold, a third of the trials of a flat curve."""
    held, signs = [], []
    for seed in range(1000):
        rng = np.random.default_rng([12, seed])
        truth = planted.plant("pow3", rng, sizes=(sizes, sizes), **TOLD[way])
        null = seed % 3 == 0
        error, ratio = (truth.error / truth.curve, 1.0) if null else (truth.error, truth.ratio)
        data = Sizes.of(truth.n, error, truth.told)
        seen = _seen(data)
        held.append(seen["ratio_interval"][0] <= ratio <= seen["ratio_interval"][1])
        if sizes > 2:
            low, high = seen["gain_per_doubling_interval"]
            assert held[-1] == (low <= 1 - ratio ** (1 / np.log2(100)) <= high)
            signs += [low > 0] if null else []
    assert np.mean(held) >= 0.87
    assert not signs or np.mean(signs) <= 0.08


def test_the_test_set_is_noise_that_replicates_do_not_lower():
    n = np.repeat(SIZES, 4)
    error = 0.02 * np.exp(0.01 * np.random.default_rng(0).standard_normal(len(n)))
    few, many = (Sizes.of(n[::step], error[::step], np.full(len(n[::step]), 0.2)) for step in (4, 1))
    np.testing.assert_allclose(few.variances, 0.04 + 0.01, rtol=1e-3)
    np.testing.assert_allclose(many.variances, 0.04, rtol=0.01)
    assert fit(n, error, noise=np.full(len(n), 0.2)).noise == pytest.approx(0.2, rel=0.01)
    with pytest.raises(ValueError, match="noise: expected a value per run"):
        fit(n, error, noise=np.ones(2))


@pytest.mark.slow
@pytest.mark.parametrize("way", TOLD)
def test_intervals_hold_the_truth_where_the_test_set_tells_the_noise(way):
    """Of 40 trials of 4 to 6 sizes, and of 10 flat curves, within binomial bounds at 1 in 1,000."""
    held, promised = [], 0
    for seed in range(40):
        rng = np.random.default_rng([13, seed])
        truth = planted.plant(planted.KINDS[seed % 5], rng, sizes=(4, 6), **TOLD[way])
        if seed < 10:
            promised += fit(truth.n, truth.error / truth.curve, noise=truth.told).certain_gain
        curve = fit(truth.n, truth.error, truth.target, noise=truth.told)
        (low, high), gains = curve.interval, curve.doubling_gain_interval
        held.append((low <= truth.n_required <= high, gains[0] <= truth.gain <= gains[1]))
    assert (np.sum(held, axis=0) >= stats.binom.ppf(0.001, 40, 0.9)).all(), np.mean(held, axis=0)
    assert promised <= stats.binom.isf(0.001, 10, 0.1)
