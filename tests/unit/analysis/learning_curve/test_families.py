"""The families are the published ones, with their scores turned into errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quasarcurves.analysis.learning_curve.families import FAMILIES

# written out for scores, as science.md section 6 has them
SCORES = {
    "pow3": lambda n, a, b, c: a - b * n**-c,
    "pow4": lambda n, a, b, c, d: a - b * (n + d) ** -c,
    "mmf4": lambda n, a, b, c, d: (a * b + c * n**d) / (b + n**d),
    "wbl4": lambda n, a, b, c, d: c - b * np.exp(-a * n**d),
}
# parameters of a score's curve to those of 1 - score
TURNED = {
    "pow3": {"a": lambda a: 1 - a},
    "pow4": {"a": lambda a: 1 - a},
    "mmf4": {"a": lambda a: 1 - a, "c": lambda c: 1 - c},
    "wbl4": {"c": lambda c: 1 - c},
}


@st.composite
def curves(draw):
    name = draw(st.sampled_from(sorted(FAMILIES)))
    low, high = FAMILIES[name].bounds
    parts = [draw(st.floats(0, 1)) for _ in range(3)]
    return name, low + (high - low) * np.array(parts)


@given(curve=curves(), scale=st.floats(100, 1e6), height=st.floats(1e-4, 0.5))
def test_curves_fall_and_are_finite(curve, scale, height):
    name, theta = curve
    x = np.geomspace(1e-3, 1e4, 50)
    log = FAMILIES[name].log_curve(theta[None], x)[0]
    assert np.isfinite(log).all() or theta[2] == 0
    assert (np.diff(log) <= 1e-9).all()
    assert FAMILIES[name].log_curve(theta[None], np.array([1.0]))[0, 0] == pytest.approx(0, abs=1e-9)


@given(curve=curves(), scale=st.floats(1000, 1e6), height=st.floats(1e-3, 0.2))
def test_published_parameters_give_the_same_curve(curve, scale, height):
    name, theta = curve
    if name == "wbl4" and np.exp(theta[0] - theta[1]) > 30:  # exp(-a n^d) loses all digits beyond
        return
    floor = height * theta[2]
    parameters = FAMILIES[name].published(*theta[:2], floor, height - floor, scale)
    n = np.geomspace(scale / 100, 4 * scale, 9)
    expected = height * np.exp(FAMILIES[name].log_curve(theta[None], n / scale)[0])
    turned = {key: TURNED[name].get(key, lambda value: value)(value) for key, value in parameters.items()}
    np.testing.assert_allclose(1 - SCORES[name](n, **turned), expected, rtol=1e-6, atol=1e-12)


def test_exp4_is_wbl4():
    n, (a, b, c, d) = np.geomspace(10, 1e5, 7), (0.02, 1.3, 0.97, 0.4)
    np.testing.assert_allclose(c - np.exp(-a * n**d + b), SCORES["wbl4"](n, a, np.exp(b), c, d), rtol=1e-12)


@pytest.mark.parametrize("name", ["pow4", "wbl4", "mmf4"])
def test_pow3_is_a_limit_of_the_others(name):
    """Small d of pow4 and wbl4, early saturation of mmf4."""
    x, c = np.geomspace(0.1, 4, 9), 0.4
    second = {"pow4": np.log(1e-6), "wbl4": np.log(1e-4), "mmf4": np.log(c)}[name]
    first = {"pow4": np.log(c), "wbl4": np.log(c), "mmf4": np.log(1e-12)}[name]
    log = FAMILIES[name].log_curve(np.array([[first, second, 0.0]]), x)[0]
    np.testing.assert_allclose(log, -c * np.log(x), atol=1e-3)


def test_infinitely_many_spectra_leave_the_floor():
    for family in FAMILIES.values():
        theta = np.array([[*family.low, 0.25], [*family.high, 0.0]])
        assert np.exp(family.log_curve(theta, np.array([np.inf]))[:, 0]) == pytest.approx([0.25, 0])
