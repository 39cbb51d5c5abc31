"""Shares, means and waves of clustered observations: known values, and intervals that hold the truth."""

import numpy as np
import pytest
from scipy import stats

from quasarcurves.analysis.stats.clustered import means, shares, wave, wilson


def test_wilson_is_that_of_scipy_and_knows_nothing_of_nothing():
    expected = stats.binomtest(18, 20).proportion_ci(method="wilson")
    low, high = wilson(np.array([0.9, np.nan]), np.array([20, 0]))
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high))
    assert np.isnan([low[1], high[1]]).all()


def test_clusters_of_one_are_as_many_as_observations():
    found = shares(np.arange(8), np.array([0, 0, 0, 0, 2, 2, 2, 2]), np.array([1, 1, 1, 0, 1, 0, 1, 0], bool), 3)
    assert found.n.tolist() == found.effective.tolist() == found.clusters.tolist() == [4, 0, 4]
    assert found.share == pytest.approx([0.75, np.nan, 0.5], nan_ok=True)
    expected = stats.fisher_exact([[3, 1], [2, 2]]).pvalue
    assert found.differs() == pytest.approx([expected, np.nan, expected], nan_ok=True)


def test_clusters_that_always_agree_count_once_and_those_by_chance_fully():
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(300), 5)
    agreed = shares(cluster, np.zeros(1500, int), np.repeat(rng.random(300) < 0.8, 5), 1)
    assert agreed.effective[0] == pytest.approx(300)
    free = shares(cluster, np.zeros(1500, int), rng.random(1500) < 0.8, 1)
    assert free.effective[0] > 1200


def test_where_all_are_right_a_cluster_is_one_observation():
    found = shares(np.repeat(np.arange(10), 5), np.zeros(50, int), np.ones(50, bool), 1)
    assert (found.share[0], found.effective[0]) == (1, 10)
    assert found.interval[0][0] == pytest.approx(stats.binomtest(10, 10).proportion_ci(method="wilson").low)


def test_nothing_at_all_is_no_share():
    found = shares(np.empty(0, int), np.empty(0, int), np.empty(0, bool), 2)
    assert found.n.tolist() == [0, 0] and np.isnan(found.share).all() and np.isnan(found.interval).all()
    assert np.isnan(found.differs()).all()
    assert np.isnan(means(np.empty(0, int), np.empty(0, int), np.empty(0), 2).mean).all()


@pytest.mark.parametrize("alike", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("share", "objects"), [(0.98, 30), (0.85, 12)])
def test_intervals_of_a_share_hold_the_truth(alike, share, objects):
    rng, bins, held = np.random.default_rng(7), 10, []
    cluster, place = np.repeat(np.arange(objects * bins), 4), np.repeat(np.arange(bins), 4 * objects)
    for _ in range(150):
        # with the probability `alike` an observation is that of its cluster
        common = np.repeat(rng.random(objects * bins) < share, 4)
        part = np.where(rng.random(len(cluster)) < np.sqrt(alike), common, rng.random(len(cluster)) < share)
        low, high = shares(cluster, place, part, bins).interval
        held.append((low <= share) & (share <= high))
    assert 0.92 <= np.mean(held) <= 0.985


def test_a_mean_has_the_interval_of_its_clusters():
    rng = np.random.default_rng(3)
    own = rng.normal(5, 2, 20)
    found = means(np.repeat(np.arange(20), 3), np.zeros(60, int), np.repeat(own, 3), 1)
    expected = stats.t.interval(0.95, 19, own.mean(), stats.sem(own))
    assert (found.low[0], found.high[0]) == pytest.approx(expected)
    assert (found.n[0], found.clusters[0], found.median[0]) == (60, 20, pytest.approx(np.median(own)))


def waves(amplitude, times, seed, objects=150):
    """Fit waves to values of objects that four models measure alike, with a parabola along."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        along = np.repeat(rng.uniform(0, 5, objects), 4)
        value = np.repeat(rng.normal(0, 300, objects), 4) + rng.normal(0, 200, 4 * objects)
        value += 40 * (along - 2) ** 2 + amplitude * np.sin(2 * np.pi * along + 0.7)
        yield wave(np.repeat(np.arange(objects), 4), along % 1, along, value, 40)


def test_a_wave_is_found_with_its_amplitude_and_none_is_where_there_is_none():
    found = list(waves(300.0, 40, 1))
    assert np.mean([each.amplitude for each in found]) == pytest.approx(300, rel=0.1)
    assert np.mean([each.p < 0.05 for each in found]) > 0.95
    null = list(waves(0.0, 400, 2))
    assert 0.02 <= np.mean([each.p < 0.05 for each in null]) <= 0.08
    assert 0.02 <= np.mean([each.amplitude > each.by_chance for each in null]) <= 0.08


def test_few_clusters_have_no_wave():
    assert np.isnan(wave(np.zeros(100, int), np.linspace(0, 1, 100), np.arange(100.0), np.ones(100), 40).p)
    assert np.isnan(wave(np.empty(0, int), np.empty(0), np.empty(0), np.empty(0), 40).amplitude)
