"""How many spectra to label next, checked on planted distributions of the number that a target takes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from quasarcurves.analysis.learning_curve.collection import Costs, plan

HAVE, MIDDLE, SPREAD = 1000.0, 4000.0, 0.3
TRUTH = stats.lognorm(SPREAD, scale=MIDDLE)
DRAWS = TRUTH.ppf((np.arange(4000) + 0.5) / 4000)


@pytest.mark.parametrize("ratio", [10_000, 20_000, 50_000])
def test_one_round_is_the_newsvendor(ratio):
    """The optimum is where density x penalty = cost, on the falling side of the density."""
    mode = MIDDLE * np.exp(-(SPREAD**2))
    optimum = brentq(lambda n: ratio * TRUTH.pdf(n) - 1, mode, 50 * MIDDLE)
    found = plan(DRAWS, HAVE, Costs(1.0, ratio))
    assert HAVE + found.label.sum() == pytest.approx(optimum, rel=0.02)
    assert found.chance_of_missing == pytest.approx(TRUTH.sf(optimum), abs=0.01)
    assert found.expected_cost == pytest.approx(optimum - HAVE + ratio * TRUTH.sf(optimum), rel=0.01)


def test_labels_that_cost_more_than_a_miss_are_not_bought():
    found = plan(DRAWS, HAVE, Costs(1.0, 100.0))
    assert found.label.tolist() == [0]
    assert found.chance_of_missing == pytest.approx(1, abs=1e-3)


def test_more_rounds_never_cost_more_where_the_truth_is_drawn():
    """Plans are followed on truths of their own, not on the draws that they are made from."""
    truths, costs = TRUTH.rvs(20_000, random_state=1), []
    for rounds in (1, 2, 3, 5):
        ends = HAVE + np.cumsum(plan(DRAWS, HAVE, Costs(1.0, 20_000.0, rounds)).label)
        stops = np.minimum((ends[None] < truths[:, None]).sum(axis=1), rounds - 1)
        costs.append(np.mean(ends[stops] - HAVE + 20_000 * (ends[-1] < truths)))
        assert costs[-1] == pytest.approx(plan(DRAWS, HAVE, Costs(1.0, 20_000.0, rounds)).expected_cost, rel=0.02)
    assert np.all(np.diff(costs) < 0)


@settings(max_examples=25, deadline=None)
@given(
    required=st.lists(st.one_of(st.just(0.0), st.just(np.inf), st.floats(1, 1e7)), min_size=1, max_size=30),
    have=st.floats(10, 1e6),
    penalty=st.floats(1e-2, 1e8),
)
def test_plans_are_consistent(required, have, penalty):
    plans = [plan(np.array(required), have, Costs(1.0, penalty, rounds)) for rounds in (1, 2, 3)]
    for rounds, each in enumerate(plans, 1):
        assert len(each.label) == rounds
        assert (each.label >= 0).all()
        assert 0 <= each.chance_of_missing <= 1
        assert each.expected_cost <= penalty * (1 + 1e-9)
    assert plans[2].expected_cost <= plans[1].expected_cost * (1 + 1e-9) <= plans[0].expected_cost * (1 + 2e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0), "cost_per_spectrum: expected a cost above 0, found 0"),
        ((1.0, np.nan), "penalty: expected a cost above 0, found nan"),
        ((1.0, 1.0, 0), "rounds: expected 1 or more, found 0"),
    ],
)
def test_wrong_costs_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Costs(*arguments)


@pytest.mark.parametrize(("required", "have"), [([], 10.0), ([np.nan], 10.0), ([-1.0], 10.0), ([1.0], 0.0)])
def test_wrong_numbers_are_refused(required, have):
    with pytest.raises(ValueError, match="expected"):
        plan(np.array(required), have, Costs(1.0, 1.0))
