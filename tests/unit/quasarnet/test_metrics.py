"""dv, purity, completeness and their crossing point against loops and curves worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.analysis.metrics import THRESHOLDS, crossing, purity_completeness, velocity
from quasarcurves.quasarnet.metrics import crossing_of

Z = st.one_of(st.floats(-0.01, 6), st.just(math.nan))
SPECTRUM = st.tuples(
    st.booleans(),
    Z,
    st.sampled_from(["star", "galaxy", "qso", "bad"]),
    Z,
    st.booleans(),  # whether the redshift found is near the true one
)


def by_loop(spectra, dv_max):
    """Definitions of science.md, section 3, spectrum by spectrum."""
    called_not_bad = right = quasars = found = 0
    for called, z, truth, z_true, _ in spectra:
        good = abs(300000 * (z - z_true) / (1 + z_true)) <= dv_max
        if called and truth != "bad":
            called_not_bad += 1
            right += good and truth in ("qso", "galaxy")
        if truth == "qso":
            quasars += 1
            found += called and good
    return (
        right / called_not_bad if called_not_bad else math.nan,
        found / quasars if quasars else math.nan,
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(SPECTRUM, max_size=30), st.sampled_from([6000.0, 1000.0, 0.0]))
def test_purity_and_completeness_are_those_of_a_loop(spectra, dv_max):
    spectra = [(c, zt + 0.01 if near else z, truth, zt, near) for c, z, truth, zt, near in spectra]
    columns = list(zip(*spectra, strict=True)) or [[]] * 5
    truth = np.array(columns[2], str)
    found = purity_completeness(
        np.array(columns[0], bool),
        np.array(columns[1], float),
        truth == "qso",
        truth == "galaxy",
        truth == "bad",
        np.array(columns[3], float),
        dv_max,
    )
    assert found == pytest.approx(by_loop(spectra, dv_max), nan_ok=True)


def test_by_hand():
    """Of four called, one is BAD; a quasar and a galaxy are right, a star is not: 2/3; one of three quasars: 1/3."""
    called = [True, True, True, True, False, False]
    kind = np.array(["bad", "qso", "galaxy", "star", "qso", "qso"])
    z, z_true = np.array([1, 2, 0.5, 0, 1, 3.0]), np.array([1, 2.05, 0.5, 0, 1, 3.0])
    masks = (kind == name for name in ("qso", "galaxy", "bad"))
    # 2 against 2.05 is 300000 * 0.05 / 3.05 = 4918 km/s
    assert velocity(2, 2.05) == pytest.approx(-4918.03, abs=0.01)
    purity, completeness = purity_completeness(np.array(called), z, *masks, z_true)
    assert (purity, completeness) == pytest.approx((2 / 3, 1 / 3))
    masks = [kind == name for name in ("qso", "galaxy", "bad")]
    assert purity_completeness(np.array(called), z, *masks, z_true, dv_max=4900.0) == pytest.approx((1 / 3, 0))


def test_no_quasar_and_nothing_called_have_no_share():
    no, yes = np.zeros(3, bool), np.ones(3, bool)
    purity, completeness = purity_completeness(no, np.ones(3), yes, no, no, np.ones(3))
    assert math.isnan(purity)
    assert completeness == 0
    purity, completeness = purity_completeness(yes, np.ones(3), no, no, no, np.ones(3))
    assert purity == 0
    assert math.isnan(completeness)


def test_redshifts_that_are_not_known_are_not_good():
    one = np.ones(2, bool)
    assert purity_completeness(one, [1.0, 1.0], one, ~one, ~one, [np.nan, -1.0]) == (0, 0)


def test_columns_of_two_lengths_are_refused():
    one = np.ones(2, bool)
    with pytest.raises(ValueError, match=r"expected six arrays of one length, found shapes \[\(1,\), \(2,\)\]"):
        purity_completeness(one, np.ones(2), one, one, one, np.ones(1))


def test_crossing_of_straight_lines():
    """0.6 + 0.4 t and 1 - 0.2 t meet at t = 2/3, at 13/15."""
    value, threshold = crossing(0.6 + 0.4 * THRESHOLDS, 1 - 0.2 * THRESHOLDS)
    assert (value, threshold) == pytest.approx((13 / 15, 2 / 3))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_crossing_is_the_highest_value_that_both_have(seed, undefined):
    rng = np.random.default_rng(seed)
    purity, completeness = rng.uniform(0.2, 1, 101), np.sort(rng.uniform(0.2, 1, 101))[::-1]
    purity[101 - undefined :] = np.nan
    fine = np.linspace(0, 100, 100_001) / 100
    p, c = (np.interp(fine, THRESHOLDS, each) for each in (purity, completeness))
    meets = np.flatnonzero(np.sign(p - c)[:-1] * np.sign(p - c)[1:] <= 0)
    value, threshold = crossing(purity, completeness)
    if not len(meets):
        assert np.isnan([value, threshold]).all()
    else:
        assert value == pytest.approx(c[meets].max(), abs=2e-3)
        assert threshold == pytest.approx(fine[meets[0]], abs=2e-5)


def test_what_does_not_cross():
    high, low = np.full(101, 0.9), np.full(101, 0.5)
    undefined = np.where(THRESHOLDS > 0.3, np.nan, 0.5)
    for purity, completeness in ((high, low), (low, high), (undefined, high), (np.full(101, np.nan), low)):
        assert np.isnan(crossing(purity, completeness)).all()
    # both come down to nothing: there is no threshold worth using
    down = np.where(THRESHOLDS > 0.5, 0, 0.5)
    assert np.isnan(crossing(down, np.where(THRESHOLDS > 0.5, 0, 0.9))).all()


def test_equal_at_the_first_threshold_is_a_crossing():
    value, threshold = crossing(np.linspace(0.8, 1, 101), np.linspace(0.8, 0, 101))
    assert (value, threshold) == (0.8, 0)


def test_several_curves_at_once_are_each_as_alone():
    rng = np.random.default_rng(0)
    purity, completeness = np.sort(rng.random((5, 3, 101))), np.sort(rng.random((5, 3, 101)))[..., ::-1]
    value, threshold = crossing(purity, completeness)
    assert value.shape == threshold.shape == (5, 3)
    assert (value[2, 1], threshold[2, 1]) == crossing(purity[2, 1], completeness[2, 1])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(SPECTRUM, st.floats(0, 1)), max_size=30))
def test_the_crossing_point_of_confidences_is_that_of_the_curves(spectra):
    confidence = np.array([each[1] for each in spectra])
    z, truth, z_true = (np.array([each[0][i] for each in spectra]) for i in (1, 2, 3))
    classes = [truth == name for name in ("qso", "galaxy", "bad")]
    curves = [purity_completeness(confidence > t, z.astype(float), *classes, z_true.astype(float)) for t in THRESHOLDS]
    expected = crossing(*np.array(curves).T)[0]
    found = crossing_of(confidence, z.astype(float), *classes, z_true.astype(float))
    assert found == pytest.approx(float(expected), nan_ok=True)


def test_without_quasars_there_is_no_crossing_point():
    no, yes = np.zeros(3, bool), np.ones(3, bool)
    assert math.isnan(crossing_of(np.ones(3), np.ones(3), no, yes, no, np.ones(3)))
    assert math.isnan(crossing_of(*([np.zeros(0)] * 6)))
