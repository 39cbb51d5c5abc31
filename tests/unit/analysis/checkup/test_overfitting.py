"""Overfitting on planted validation losses: those that rise, and those that stay or fall."""

from collections import Counter

import numpy as np
import pytest
from scipy import signal

from quasarcurves.analysis.checkup.overfitting import rise


def shares(course, sigma, rho, size=60):
    """How often each verdict is given, with autocorrelated noise of a course, while the training loss falls."""
    t = len(course)
    noise = np.random.default_rng(1).standard_normal((size, t + 50)) * np.sqrt(1 - rho**2)
    noise = signal.lfilter([1], [1, -rho], noise, axis=1)[:, 50:]
    found = Counter(rise(course * np.exp(sigma * own), np.linspace(2, 1, t)).verdict for own in noise)
    return {verdict: count / size for verdict, count in found.items()}


def falling(t):
    return 0.2 + np.exp(-5 * np.arange(t) / t)


def rising(t, factor=3.0):
    x = np.arange(t) / t
    return np.where(x < 0.3, 1 + 2 * np.exp(-15 * x), 1 + (factor - 1) * (x - 0.3) / 0.7)


@pytest.mark.parametrize("t", [20, 100])
@pytest.mark.parametrize("rho", [0.0, 0.5])
@pytest.mark.parametrize("course", [np.ones, falling])
def test_a_loss_that_stays_or_falls_is_not_said_to_overfit(t, rho, course):
    assert shares(course(t), 0.1, rho).get("yes", 0) <= 0.07


@pytest.mark.parametrize(("t", "sigma"), [(20, 0.03), (100, 0.0), (100, 0.1), (300, 0.03)])
def test_a_loss_that_rises_is(t, sigma):
    assert shares(rising(t), sigma, 0.0).get("yes", 0) >= 0.9


def test_a_rise_is_measured_from_its_lowest_stretch():
    found = rise(rising(100), np.linspace(2, 1, 100))
    assert found.low <= 3.0 / (1 + 2 * 0.1) <= found.high  # the lowest tenth is left out
    assert 25 <= found.best <= 45
    assert found.training < 1


def test_where_both_rise_it_is_no_overfitting():
    assert rise(rising(100), rising(100)).verdict == "both rise"


def test_a_smooth_fall_is_lowest_at_its_end():
    found = rise(falling(100), falling(100))
    assert (found.verdict, found.ratio) == ("no", 1.0)


def test_too_few_and_no_losses_tell_nothing():
    assert rise(np.full(50, np.nan), np.ones(50)) is None
    assert rise(np.ones(19), np.ones(19)).verdict == "cannot say"
