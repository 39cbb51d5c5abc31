"""Ratios of rates at the same states, on planted truth: states and runs that differ, and states that decide."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from quasarcurves.analysis.stats import matched, ratios
from quasarcurves.analysis.stats.matched import Matched, exact_intervals, matched_p, matched_ratio


def drawn(rng, hazard=1.0, ratio=1.0, runs=5, forks=10, replays=6, steps=300, between=0.5, states=0.0, decide=False):
    """Events of replays that end with their first one, and exposures, with rates of their own per run and state."""
    run = np.repeat(np.arange(runs), forks)
    own = hazard / 1000 * (rng.gamma(1 / between**2, between**2, runs)[run] if between else 1)
    own = own * (rng.gamma(1 / states**2, states**2, len(run)) if states else np.ones(len(run)))
    sides = []
    for rate in (ratio * own, own):
        if decide:  # all replays of a state have an event, or none
            times = np.where(rng.random(len(run)) < -np.expm1(-rate * steps), steps / 2, np.inf)[:, None] * np.ones(
                replays
            )
        else:
            times = rng.exponential(1, (len(run), replays)) / rate[:, None]
        sides.append(((times < steps).sum(axis=1).astype(float), np.minimum(times, steps).sum(axis=1)))
    (events, exposures), (others, other_exposures) = sides
    return Matched(events, others, exposures, other_exposures, run)


def covered(n, seed=0, **truth):
    rng = np.random.default_rng(seed)
    return np.mean([matched_p(drawn(rng, **truth), truth.get("ratio", 1.0)) >= 0.05 for _ in range(n)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "truth",
    [
        {"runs": 1, "hazard": 3.0},
        {"runs": 5},
        {"runs": 5, "ratio": 0.2, "hazard": 3.0},
        {"runs": 5, "states": 1.0},
        {"runs": 1, "decide": True, "forks": 30},
    ],
)
def test_intervals_hold_the_truth(truth):
    assert covered(80, **truth) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 2, 3, 5])
@pytest.mark.parametrize("ratio", [1.0, 0.2])
@pytest.mark.parametrize("states", [0.0, 1.0])
@pytest.mark.parametrize("between", [0.0, 1.0])
def test_intervals_hold_one_ratio_whatever_the_rates(runs, ratio, states, between):
    assert covered(500, runs=runs, ratio=ratio, states=states, between=between, hazard=2.0) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "forks"), [(1, 20), (1, 40), (5, 20)])
def test_intervals_hold_where_states_decide(runs, forks):
    assert covered(500, runs=runs, forks=forks, decide=True) >= 0.93


def test_counts_of_replays_are_no_independent_ones():
    """The fault that is mended: the exact test takes all replays of a state that decides for evidence."""
    rng = np.random.default_rng(1)
    wrong = [
        ratios.exact_rate_ratio_p(matched._strata(drawn(rng, runs=1, forks=30, decide=True).informative()), 1.0) < 0.05
        for _ in range(60)
    ]
    assert np.mean(wrong) > 0.2


def test_a_strong_effect_is_seen_at_once():
    rng = np.random.default_rng(0)
    found = matched_ratio(drawn(rng, hazard=3.0, ratio=0.1, runs=3))
    assert found.low < 0.1 < found.high < 0.3
    assert found.p < 0.0025
    assert found.pairs == 3


def test_without_events_nothing_is_said():
    none = Matched(*np.zeros((2, 3)), *np.ones((2, 3)), np.arange(3))
    found = matched_ratio(none)
    assert (found.low, found.high, found.p, found.pairs) == (0, np.inf, 1, 0)
    assert np.isnan(found.value)
    assert matched_p(none, 0.2) == 1


def test_an_arm_without_events_has_an_upper_end():
    counts = Matched(np.zeros(12), np.full(12, 3.0), np.full(12, 1e3), np.full(12, 8e2), np.repeat([0, 1, 2], 4))
    found = matched_ratio(counts)
    assert (found.value, found.low) == (0, 0)
    assert 0.05 < found.high < 0.35


def test_exact_intervals_are_those_of_clopper_and_pearson():
    events, others = np.array([3.0, 0, 5, 0, 2]), np.array([4.0, 6, 0, 0, 2])
    low, high = exact_intervals(events, [100] * 4 + [0], others, [200] * 5)
    share = np.array(proportion_confint(events[:2], (events + others)[:2], method="beta"))
    np.testing.assert_allclose([low[:2], high[:2]], share / (1 - share) * 2)
    assert (low[2], high[2]) == (pytest.approx(0.4782 / 0.5218 * 2, rel=1e-3), np.inf)
    assert (low[3], high[3]) == (0, np.inf)
    assert np.isnan([low[4], high[4]]).all()
    assert stats.binom.sf(2, 7, share[0][0] if share.ndim == 2 else 0) == pytest.approx(0.025)
