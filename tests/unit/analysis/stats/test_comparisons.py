"""Comparisons of rates and losses against closed forms, and on planted ratios, ratios of 1 included."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.rates import confint_poisson

from quasarcurves.analysis.stats import comparisons, rates, ratios

DRAWS = 200


def counts(events, exposures=None):
    events = np.asarray(events, float)
    return rates.Counts(events, np.ones(len(events)) if exposures is None else np.asarray(exposures, float))


def drawn(mean, spread, replicates, rng):
    """Poisson counts whose means differ between replicates as a gamma variable of that relative variance."""
    own = rng.gamma(1 / spread, spread, replicates) if spread else np.ones(replicates)
    return counts(rng.poisson(mean * own))


def test_one_run_has_garwoods_interval_and_several_have_no_narrower_one():
    assert rates.rate(counts([10], [5])) == pytest.approx((2, 4.7954 / 5, 18.3904 / 5), abs=1e-4)
    for events in ([4, 3, 3], [0, 0, 0], [0] * 20, [1, 30, 2]):
        _, low, high = rates.rate(counts(events))
        exact = rates.poisson_interval(sum(events), len(events))
        assert low <= exact[0] <= exact[1] <= high


def test_what_few_replicates_cost():
    """Upper limits without an event, over Garwood's for all runs together."""
    cost = {n: rates.rate(counts([0] * n))[2] / rates.poisson_interval(0, n)[1] for n in (2, 3, 5, 10)}
    assert cost == pytest.approx({2: 3.2, 3: 2.1, 5: 1.6, 10: 1.0}, abs=0.06)


def coverage_of_rates(mean, variation, replicates, size):
    rng = np.random.default_rng(2)
    intervals = [rates.rate(drawn(mean, variation**2, replicates, rng))[1:] for _ in range(size)]
    return np.mean([low <= mean <= high for low, high in intervals])


@pytest.mark.slow
@pytest.mark.parametrize("mean", [0.5, 2, 5, 20])
@pytest.mark.parametrize("variation", [0, 0.5, 1])
@pytest.mark.parametrize("replicates", [3, 5, 10])
def test_intervals_of_rates_cover_whatever_runs_differ_by(mean, variation, replicates):
    assert coverage_of_rates(mean, variation, replicates, 1500) >= 0.93


@pytest.mark.parametrize(("mean", "variation", "replicates"), [(2, 0, 3), (5, 1, 5), (20, 0.5, 10), (20, 1, 3)])
def test_intervals_of_rates_cover(mean, variation, replicates):
    assert coverage_of_rates(mean, variation, replicates, DRAWS) >= 0.92


def test_intervals_of_poisson_counts_do_not_cover_runs_that_differ():
    """The fault that is mended: a run's count taken for that of all runs."""
    rng, covered = np.random.default_rng(8), []
    for _ in range(1000):
        low, high = rates.poisson_interval(int(drawn(10, 1.0, 1, rng).total))
        covered.append(low <= 10 <= high)
    assert np.mean(covered) < 0.75


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("mean", [4, 20])
@pytest.mark.parametrize("spread", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("replicates", [3, 5])
def test_intervals_of_rate_ratios_cover_whatever_the_spread(ratio, mean, spread, replicates):
    assert coverage_of_rate_ratios(ratio, mean, spread, replicates, 1000) >= 0.93


@pytest.mark.parametrize(("ratio", "spread"), [(1.0, 0.0), (0.5, 0.25), (0.1, 1.0)])
def test_intervals_of_rate_ratios_cover(ratio, spread):
    assert coverage_of_rate_ratios(ratio, 20, spread, 5, DRAWS) >= 0.92


def coverage_of_rate_ratios(ratio, mean, spread, replicates, size):
    """An interval holds what the test at that ratio does not refuse."""
    rng = np.random.default_rng(3)
    pairs = ([drawn(mean * factor, spread, replicates, rng) for factor in (ratio, 1)] for _ in range(size))
    return np.mean([ratios.rate_ratio_p([tuple(pair)], ratio) >= 0.05 for pair in pairs])


MEANS = (5, 2, 1, 0.5)
"""Events per run of the reference, by stratum."""


def strata_of(ratio, variation, replicates, rng):
    return [tuple(drawn(mean * factor, variation**2, replicates, rng) for factor in (ratio, 1)) for mean in MEANS]


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1.0, 0.3])
@pytest.mark.parametrize("variation", [0, 0.5, 1])
@pytest.mark.parametrize("replicates", [1, 3])
def test_ratios_over_strata_cover_whatever_runs_differ_by(ratio, variation, replicates):
    rng = np.random.default_rng(11)
    p = [ratios.rate_ratio_p(strata_of(ratio, variation, replicates, rng), ratio) for _ in range(400)]
    assert np.mean(np.array(p) < 0.05) <= 0.07


def test_a_common_ratio_is_found_over_strata():
    rng = np.random.default_rng(12)
    found = [ratios.rate_ratio(strata_of(0.1, 0.5, 3, rng)) for _ in range(4)]
    assert all(one.high < 1 and one.low <= one.value <= one.high for one in found)
    assert np.mean([one.value for one in found]) == pytest.approx(0.1, abs=0.1)


def test_the_exact_test_over_strata_conditions_on_each_of_them():
    # rates differ a hundredfold between strata, and exposures the other way: pooled, they would look unequal
    strata = [(counts([40], [1]), counts([400], [10])), (counts([4], [10]), counts([0.0], [1]))]
    assert ratios.exact_rate_ratio_p(strata, 1.0) > 0.5
    one = [(counts([3]), counts([12]))]
    assert ratios.exact_rate_ratio_p(one, 1.0) == pytest.approx(stats.binomtest(3, 15).pvalue)
    # 6 against 0: all of 6 on one side, whatever the strata
    six = [(counts([0]), counts([5])), (counts([0]), counts([1])), (counts([0]), counts([0]))]
    assert ratios.exact_rate_ratio_p(six, 1.0) == pytest.approx(2 / 2**6)


def test_no_verdict_hangs_on_one_run():
    """A reference with all its spikes in one run removes nothing; one with a few in each does."""
    none = counts([0, 0, 0, 0])
    one_run, each = [(none, counts([40, 0, 0, 0]))], [(none, counts([10, 9, 11, 10]))]
    assert ratios.rate_ratio_p_without_one_run(one_run, 0.5) == 1
    assert ratios.rate_ratio_p_without_one_run(each, 0.5) < 0.05
    over_strata = [(counts([0]), counts([n])) for n in (40, 0, 0)]
    assert ratios.rate_ratio_p_without_one_run(over_strata, 0.5) == 1
    assert np.isnan(ratios.rate_ratio_p_without_one_run([(counts([0, 0]), counts([30, 30]))], 0.5))


def test_three_replicates_can_settle_a_removal():
    """5 spikes per run against none, in runs that differ by 50 %: more often settled than not."""
    rng, settled = np.random.default_rng(13), []
    for _ in range(150):
        strata = [(counts([0, 0, 0]), drawn(5, 0.25, 3, rng))]
        p = (ratios.rate_ratio_p(strata, 0.5), ratios.rate_ratio_p_without_one_run(strata, 0.5))
        settled.append(max(p) < 0.05)
    assert np.mean(settled) >= 0.5


def test_the_ratio_of_two_runs_is_that_of_the_exact_binomial_test():
    ratio = ratios.rate_ratio([(counts([3], [3]), counts([15], [6]))])
    low, high = stats.binomtest(3, 18).proportion_ci(0.95, "exact")
    assert ratio.value == pytest.approx(0.4)
    assert (ratio.low, ratio.high) == pytest.approx((2 * low / (1 - low), 2 * high / (1 - high)), rel=1e-6)
    tails = stats.binom.cdf(3, 18, 1 / 3), stats.binom.sf(2, 18, 1 / 3)
    assert ratio.p == pytest.approx(min(1, 2 * min(tails)))


@pytest.mark.parametrize("events", [([0, 0], [9, 7]), ([2, 3], [9, 7]), ([9, 7], [0, 0]), ([6, 4], [5, 5])])
def test_interval_and_probability_agree(events):
    pair = [tuple(counts(side) for side in events)]
    ratio = ratios.rate_ratio(pair)
    assert ratio.low <= ratio.value <= ratio.high
    for bound in (ratio.low, ratio.high):
        if 0 < bound < np.inf:
            assert ratios.rate_ratio_p(pair, bound) == pytest.approx(0.05, abs=1e-6)


def test_without_events_there_is_no_ratio():
    none, some = counts([0, 0]), counts([3, 2])
    empty = ratios.rate_ratio([(none, none)])
    assert (empty.low, empty.high, empty.p) == (0, np.inf, 1)
    assert np.isnan(empty.value)
    assert ratios.rate_ratio([(none, some)]).value == 0
    assert (ratios.rate_ratio([(some, none)]).value, ratios.rate_ratio([(some, none)]).high) == (np.inf, np.inf)


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_equal_rates_are_not_said_to_differ(spread):
    rng = np.random.default_rng(4)
    pairs = [[(drawn(10, spread, 5, rng), drawn(10, spread, 5, rng))] for _ in range(DRAWS)]
    assert np.mean([ratios.rate_ratio_p(pair, 1.0) < 0.05 for pair in pairs]) <= 0.075
    assert not any(comparisons.removes(0.4, ratios.rate_ratio_p(pair, 0.5), 0.5) == "yes" and
                   pair[0][0].total < pair[0][1].total / 2 for pair in pairs)  # fmt: skip


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_half_as_many_are_seldom_said_to_be_removed_or_not(spread):
    """At the limit itself either verdict is an error; each is allowed 2.5 %."""
    rng, found = np.random.default_rng(5), []
    for _ in range(DRAWS):
        a, b = drawn(10, spread, 5, rng), drawn(20, spread, 5, rng)
        found.append(comparisons.removes(a.total / b.total, ratios.rate_ratio_p([(a, b)], 0.5), 0.5))
    assert np.mean(np.array(found) == "yes") <= 0.05
    assert np.mean(np.array(found) == "no") <= 0.05


@pytest.mark.parametrize("noise", ["gaussian", "student"])
@pytest.mark.parametrize("replicates", [2, 3, 5])
def test_intervals_of_paired_ratios_cover(noise, replicates):
    """Replicates differ by far more than the pairs do."""
    rng, truth, covered = np.random.default_rng(6), 1.3, []
    for _ in range(600):
        common = rng.lognormal(0, 1, replicates)
        own = rng.standard_normal(replicates) if noise == "gaussian" else rng.standard_t(3, replicates)
        found = ratios.paired_ratio(truth * common * np.exp(0.1 * own), common)
        covered.append(found.low <= truth <= found.high)
    assert 0.925 <= np.mean(covered) <= 0.985


def test_the_paired_ratio_is_the_t_test_of_logs():
    values, reference = np.array([1.0, 2.0, 5.0, 3.0]), np.array([1.1, 1.5, 6.0, 2.0])
    expected = stats.ttest_rel(np.log(values), np.log(reference))
    found = ratios.paired_ratio(values, reference)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(np.exp(expected.confidence_interval(0.95))))
    assert (found.value, found.pairs) == (pytest.approx(np.prod(values / reference) ** 0.25), 4)


def test_what_is_not_finite_is_left_out_of_pairs():
    found = ratios.paired_ratio([2, np.inf, np.nan, 4, 0], [1, 1, 1, 2, 1])
    assert (found.value, found.low, found.high, found.pairs) == pytest.approx((2, 2, 2, 2))
    assert ratios.paired_ratio([np.nan], [1]).pairs == 0
    single = ratios.paired_ratio([3.0], [2.0])
    assert (single.value, single.pairs) == (1.5, 1)
    assert np.isnan([single.low, single.high, single.p]).all()


def test_identical_runs_are_the_same():
    found = ratios.paired_ratio([1.0, 2.0], [1.0, 2.0])
    assert (found.value, found.low, found.high, found.p) == (1, 1, 1, 1)


def test_holm_is_right_by_hand():
    np.testing.assert_allclose(comparisons.holm([0.01, 0.04, 0.03, np.nan]), [0.03, 0.06, 0.06, np.nan])
    np.testing.assert_allclose(comparisons.holm([0.5, 0.9]), [1, 1])
    assert comparisons.holm([]).size == 0


def test_holm_agrees_with_statsmodels():
    p = np.random.default_rng(9).uniform(0, 0.2, 17)
    np.testing.assert_allclose(comparisons.holm(p), multipletests(p, method="holm")[1])


def test_garwoods_interval_agrees_with_statsmodels():
    for count in (0, 1, 3.5, 40):
        assert rates.poisson_interval(count, 2) == pytest.approx(confint_poisson(count, 2, method="exact-c"))


def test_holm_keeps_the_chance_of_any_error():
    p = np.random.default_rng(7).uniform(size=(2000, 17))
    assert np.mean([comparisons.holm(row).min() < 0.05 for row in p]) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        ((1.0, 0.95, 1.05, 0.9), "same"),
        ((1.04, 1.01, 1.07, 0.01), "same"),
        ((1.3, 1.05, 1.6, 0.02), "higher"),
        ((0.7, 0.5, 0.98, 0.04), "lower"),
        ((0.7, 0.5, 0.98, 0.2), "not settled"),
        ((1.3, 0.9, 1.9, 0.1), "not settled"),
        ((1.3, np.nan, np.nan, np.nan), "not settled"),
    ],
)
def test_verdicts_on_ratios(ratio, verdict):
    assert comparisons.compare(*ratio, margin=1.1) == verdict


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((1.0, 0.95, 1.05), "same"),
        ((1.3, 1.05, 1.6), "higher"),
        ((0.7, 0.5, 0.98), "lower"),
        ((1.3, 1.0, 1.9), "not settled"),
        ((0.8, 0.5, 1.9), "not settled"),
        ((np.nan, np.nan, np.nan), "not settled"),
    ],
)
def test_an_interval_alone_settles_what_it_excludes(interval, verdict):
    assert comparisons.compare(*interval, p=None, margin=1.1) == verdict


def test_no_probability_decides_nothing():
    assert comparisons.removes(0.1, np.nan, 0.5) == "cannot say"
