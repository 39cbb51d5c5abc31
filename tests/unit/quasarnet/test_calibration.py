"""Calibration errors on confidences whose probabilities are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from quasarcurves.quasarnet.calibration import FEWEST, Scaling, expected_error, fit, reliability


def draw(n, rng, power=1.0, per_object=1):
    """Confidences of n objects and what they are: a quasar with probability confidence ** power."""
    confidence = rng.beta(0.5, 0.5, n)
    is_quasar = rng.random(n) < confidence**power
    return (np.repeat(each, per_object) for each in (confidence, is_quasar, np.arange(n)))


def true_error(power):
    """The error of infinitely many spectra in 10 bins, by a fine sum over confidences in order."""
    confidence = np.sort(np.random.default_rng(0).beta(0.5, 0.5, 2_000_000))
    return np.mean([abs((part - part**power).mean()) for part in np.array_split(confidence, 10)])


def test_the_error_is_what_it_is_by_hand():
    confidence = np.array([0.1, 0.3, 0.6, 0.8])
    found = expected_error(confidence, np.array([False, True, True, True]), np.arange(4), bins=2)
    # the lower half has a mean of 0.2 and a half of quasars, the upper one 0.7 and all
    assert found.error == pytest.approx((0.3 + 0.3) / 2)
    assert found.n == 4
    curve = reliability(confidence, np.array([False, True, True, True]), bins=2)
    np.testing.assert_allclose([curve.confidence, curve.share], [[0.2, 0.7], [0.5, 1.0]])
    # Wilson's interval of 1 of 2 and of 2 of 2
    np.testing.assert_allclose([curve.low, curve.high], [[0.0945, 0.3424], [0.9055, 1.0]], atol=1e-4)


@pytest.mark.parametrize("per_object", [1, 4])
def test_confidences_that_are_probabilities_are_seldom_called_off(per_object):
    """Also where objects have several spectra, which are all quasars or none."""
    rng = np.random.default_rng(5)
    off = [expected_error(*draw(500 // per_object, rng, per_object=per_object)).is_off for _ in range(60)]
    # one of 20 by definition: at most 8 of 60 with a probability of 99.5 %
    assert sum(off) <= 8


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_confidences_that_are_none_are_called_off(power):
    rng = np.random.default_rng(6)
    found = [expected_error(*draw(500, rng, power)) for _ in range(40)]
    truth = true_error(power)
    assert all(each.is_off for each in found)
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert covered >= 0.85
    assert np.mean([each.error for each in found]) == pytest.approx(truth, abs=0.02)


def test_repeats_of_an_object_are_drawn_together():
    """Four spectra of one object tell no more than one: the interval has the width of that of the objects alone."""
    rng, widths = np.random.default_rng(7), {1: 0.0, 4: 0.0}
    for _ in range(10):
        for per_object in widths:
            found = expected_error(*draw(300, rng, 2.0, per_object))
            widths[per_object] += found.high - found.low
    # were they drawn one by one, it would be half as wide
    assert widths[4] / widths[1] == pytest.approx(1, abs=0.2)


def planted(n, rng, slope, offset):
    """Confidences of n spectra that a scaling makes probabilities, and what the spectra are."""
    confidence = expit(rng.normal(0, 3, n))
    return confidence, rng.random(n) < expit(slope * logit(confidence) + offset)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.5, 1.2), (2.0, -0.7)])
def test_a_planted_scaling_is_found(slope, offset):
    rng = np.random.default_rng(8)
    found = [fit(*planted(400, rng, slope, offset)) for _ in range(60)]
    for values, truth in (([each.slope for each in found], slope), ([each.offset for each in found], offset)):
        # three standard errors of the mean, and the pull of the drawn-in labels: a tenth of a slope of 2, less below
        assert np.mean(values) == pytest.approx(truth, abs=3 * np.std(values) / 60**0.5 + 0.1 * slope**2 / 2)
    assert all(each.n == 400 for each in found)


def test_scaled_confidences_of_other_spectra_are_probabilities():
    """Fitted on 2,000 spectra and tried on 500 others: seldom called off, and always before they are scaled."""
    rng, off, off_before = np.random.default_rng(9), 0, 0
    for _ in range(30):
        scaling = fit(*planted(2000, rng, 0.5, 1.2))
        confidence, is_quasar = planted(500, rng, 0.5, 1.2)
        off += expected_error(scaling.apply(confidence), is_quasar, np.arange(500)).is_off
        off_before += expected_error(confidence, is_quasar, np.arange(500)).is_off
    # the scaling's own uncertainty adds to that of the 500: 2 of 30 by chance, at most 6 with 99 %
    assert off <= 6
    assert off_before == 30


def test_a_network_without_mistakes_has_a_finite_slope():
    confidence = np.r_[np.full(20, 0.2), np.full(30, 0.8)]
    found = fit(confidence, confidence > 0.5)
    # labels are drawn in to 31/32 and 1/22, and two points are fitted exactly
    assert found.apply(np.array([0.2, 0.8])) == pytest.approx([1 / 22, 31 / 32], abs=1e-4)


def test_a_network_that_says_the_opposite_is_told_nothing_of_the_order():
    rng = np.random.default_rng(10)
    confidence = expit(rng.normal(0, 2, 500))
    found = fit(confidence, rng.random(500) < 1 - confidence)
    assert found.slope == 0
    assert found.apply(confidence) == pytest.approx(np.full(500, found.apply(confidence[:1])[0]))


def test_too_few_of_either_kind_are_not_fitted():
    confidence = np.linspace(0.05, 0.95, 40)
    for quasars in (0, FEWEST - 1, 41 - FEWEST, 40):
        assert fit(confidence, np.arange(40) < quasars) is None
    assert fit(confidence, np.arange(40) < FEWEST).quasars == FEWEST
    gaps = np.where(np.arange(40) < 3, np.nan, confidence)
    assert fit(gaps, np.arange(40) < FEWEST + 3).n == 37


@given(st.floats(0, 10), st.floats(-10, 10), st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_a_scaling_keeps_the_order_and_is_a_probability(slope, offset, confidences):
    confidence = np.sort(confidences)
    found = Scaling(slope, offset, 1, 1).apply(confidence)
    assert (np.diff(found) >= 0).all() and (found >= 0).all() and (found <= 1).all()
    assert np.isnan(Scaling(slope, offset, 1, 1).apply(np.array([np.nan])))[0]
    assert Scaling(1.0, 0.0, 1, 1).apply(confidence) == pytest.approx(confidence, abs=1e-6)


@pytest.mark.parametrize("values", [None, 3, {}, {"slope": -1, "offset": 0, "n": 1, "quasars": 1}, [1, 2, 3, 4],
                                    {"slope": "nan", "offset": 0, "n": 1, "quasars": 1}])  # fmt: skip
def test_other_values_are_no_scaling(values):
    with pytest.raises(ValueError, match="expected slope"):
        Scaling.from_json(values)
    assert Scaling.from_json(Scaling(0.5, 1.0, 20, 10).to_json()) == Scaling(0.5, 1.0, 20, 10)
