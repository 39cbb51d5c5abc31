"""Calibration errors on confidences whose probabilities are known."""

import numpy as np
import pytest

from quasarcurves.quasarnet.calibration import expected_error, reliability


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
    rng = np.random.default_rng(7)
    alone = expected_error(*draw(300, rng, 2.0))
    repeated = expected_error(*draw(300, rng, 2.0, per_object=4))
    # four spectra of one object tell no more than one
    assert (repeated.high - repeated.low) / (alone.high - alone.low) == pytest.approx(1, abs=0.3)


def test_without_spectra_nothing_is_said():
    found = expected_error(np.array([np.nan]), np.array([True]), np.array([1]))
    assert found.n == 0
    assert np.isnan(found.error)
    assert not found.is_off
    assert np.isnan(reliability(np.empty(0), np.empty(0, bool)).share).all()
