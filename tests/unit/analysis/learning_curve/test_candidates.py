"""Curves that may have given the data: the search misses none that fits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quasarcurves.analysis.learning_curve import FAMILIES
from quasarcurves.analysis.learning_curve.candidates import Sizes, best, misfits, search
from support import planted_curves as planted


def data_of(kind, seed, **options):
    planted_curve = planted.plant(kind, np.random.default_rng(seed), **options)
    return Sizes.of(planted_curve.n, planted_curve.error)


@given(st.integers(0, 2**32 - 1))
def test_misfits_are_those_of_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    curves, data, weights = rng.normal(size=(4, 6)), rng.normal(size=(3, 6)), rng.uniform(1, 9, 6)
    square, height = misfits(curves, data, weights)
    for i, values in enumerate(data):
        for j, curve in enumerate(curves):
            fitted, residual, *_ = np.linalg.lstsq(
                np.sqrt(weights)[:, None], np.sqrt(weights) * (values - curve), rcond=None
            )
            assert height[i, j] == pytest.approx(fitted[0])
            assert square[i, j] == pytest.approx(residual[0])


def test_noise_is_assumed_where_there_are_no_replicates():
    n = np.array([10, 100, 1000, 10_000])
    alone = Sizes.of(n, 1 / n)
    assert (alone.squares_freedom, alone.freedom, alone.spare) == (0, 3, 0)
    assert np.sqrt(alone.variance(0)) == pytest.approx(0.1, rel=1e-4)
    twice = Sizes.of(np.repeat(n, 2), np.repeat(1 / n, 2))
    assert (twice.freedom, twice.assumed) == (4, 0)


def test_sizes_are_means_of_logarithms():
    data = Sizes.of(np.array([100, 10, 100, 10, 10]), np.array([1.0, 2, np.e**2, 2, 2]))
    np.testing.assert_array_equal(data.n, [10, 100])
    np.testing.assert_allclose(data.log_error, [np.log(2), 1])
    np.testing.assert_array_equal(data.replicates, [3, 2])
    assert data.freedom == 3
    assert data.within == pytest.approx(2, rel=1e-6)


@pytest.mark.parametrize("kind", ["pow3", "pow4", "mmf4", "wbl4"])
def test_an_exact_curve_is_found(kind):
    data = data_of(kind, 5, sizes=(8, 8), replicates=(3, 3), noise=(1e-4, 1e-4))
    library = search(data, np.random.default_rng(0))
    theta = library.theta[kind][0]
    fitted = FAMILIES[kind].log_curve(theta[None], data.x)
    square, _ = misfits(fitted, data.log_error[None], data.replicates)
    assert np.sqrt(square[0, 0] / len(data)) < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_no_start_leads_to_a_better_fit(seed):
    """Random starts of least squares find nothing better by more than a tenth in chi squared."""
    rng = np.random.default_rng(seed)
    data = data_of(planted.KINDS[seed], seed)
    library = search(data, rng)
    for name, family in FAMILIES.items():
        low, high = family.bounds
        _, lowest = best(family, data, low + (high - low) * rng.random((6, 3)))
        assert library.misfit[name][0] <= lowest + 0.1 * data.variance(lowest)


def test_plausible_curves_are_dense():
    """Within the limit of 90 % there are hundreds, so that the ends of intervals are not those of a grid."""
    data = data_of("wbl4", 3)
    library = search(data, np.random.default_rng(0))
    limit = library.lowest + 2.7 * data.variance(library.lowest)
    assert sum((square <= limit).sum() for square in library.misfit.values()) > 150


def test_the_constant_is_always_there():
    data = Sizes.of(*planted.flat(np.random.default_rng(1)))
    library = search(data, np.random.default_rng(0))
    assert (library.theta["pow3"][:, 2] == 1).any()
    mean = np.average(data.log_error, weights=data.replicates)
    flat = data.replicates @ (data.log_error - mean) ** 2
    assert library.misfit["pow3"][library.theta["pow3"][:, 2] == 1].min() == pytest.approx(flat)
