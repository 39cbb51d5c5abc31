"""Intervals over runs and spikes cover what they are of."""

import numpy as np
import pytest
from scipy import stats

from quasarcurves.analysis.stats import resampling


def test_runs_are_drawn_whole_and_spikes_within_them():
    run = np.repeat([7, 2, 9], [1, 4, 15])
    weights = resampling.draw_weights(run, np.random.default_rng(0), 4000)
    per_run = np.column_stack([weights[:, run == name].sum(axis=1) / np.sum(run == name) for name in (7, 2, 9)])
    assert np.array_equal(per_run, per_run.astype(int))
    assert (per_run.sum(axis=1) == 3).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)


def test_bounds_of_few_are_those_of_student():
    draws = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    low, high = resampling.bounds(draws, 10)
    assert high == pytest.approx(np.sqrt(10 / 9) * stats.t.ppf(0.975, 9), abs=0.01)
    assert low == pytest.approx(-high, abs=0.01)
    assert resampling.bounds(draws, 10**6) == pytest.approx((-1.96, 1.96), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "spikes", "spread", "least"),
    [(1, 10, 0, 0.90), (1, 40, 0, 0.92), (5, 8, 0, 0.95), (10, 2, 0, 0.95), (5, 8, 0.5, 0.90), (5, 8, 1, 0.85)],
)
def test_intervals_of_means_cover(runs, spikes, spread, least):
    """Wide where runs are alike; five runs that differ as much as their spikes do are too few for 95 %."""
    rng, inside = np.random.default_rng(1), []
    run = np.repeat(np.arange(runs), spikes)
    for _ in range(300):
        values = 3 + rng.standard_normal(len(run)) + spread * rng.standard_normal(runs)[run]
        low, high = resampling.mean_interval(values, resampling.draw_weights(run, rng, 400))
        inside.append(low <= 3 <= high)
    assert least <= np.mean(inside)


@pytest.mark.parametrize(("runs", "spikes"), [(1, 12), (5, 8), (10, 1)])
@pytest.mark.parametrize(("p", "q"), [(0.95, 0.05), (0.5, 0.5), (0.6, 0.2)])
def test_intervals_of_differences_of_shares_cover(runs, spikes, p, q):
    rng, inside = np.random.default_rng(2), []
    run = np.repeat(np.arange(runs), spikes)
    for _ in range(100):
        difference = (rng.random(len(run)) < p).astype(float) - (rng.random(len(run)) < q)
        low, high = resampling.share_interval(difference, run, rng)
        inside.append(low <= p - q <= high)
    assert np.mean(inside) >= 0.92


def test_shares_that_all_agree_are_not_certain():
    low, high = resampling.share_interval(np.ones(10), np.zeros(10, int), np.random.default_rng(3))
    assert 0.3 < low < 0.9
    assert high == 1


def test_nothing_known_has_no_interval():
    weights = resampling.draw_weights(np.zeros(3, int), np.random.default_rng(4))
    assert np.isnan(resampling.mean_interval(np.full(3, np.nan), weights)).all()
