"""The grid against plain loops, and the properties that rebinning and normalising must have."""

import json
import math

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.spectra import grid

N = grid.N_BINS


def pixels(seed, n=3, p=700, low=3500.0, high=10200.0):
    """Wavelengths beyond both ends of the grid, in any order, with a fifth of the pixels masked."""
    rng = np.random.default_rng(seed)
    wavelength = rng.uniform(low, high, p)
    flux, ivar = rng.normal(2, 5, (n, p)), rng.uniform(0.1, 9, (n, p))
    ivar[rng.random((n, p)) < 0.2] = 0
    return wavelength, flux, ivar


def spectra_on_grid(seed, n=4):
    rng = np.random.default_rng(seed)
    flux, ivar = rng.normal(1, 3, (n, N)), rng.uniform(0.1, 4, (n, N))
    ivar[rng.random((n, N)) < 0.2] = 0
    return np.where(ivar > 0, flux, 0), ivar


def rebin_by_loop(wavelength, flux, ivar):
    total, weighted = [0.0] * N, [0.0] * N
    for w, f, i in zip(wavelength, flux, ivar, strict=True):
        index = math.floor((math.log10(w) - math.log10(3600)) / 1e-3)
        if 0 <= index < N:
            total[index] += i
            weighted[index] += i * f
    return [w / t if t > 0 else 0.0 for w, t in zip(weighted, total, strict=True)], total


def test_the_grid_is_the_published_one():
    assert N == 443
    assert grid.WAVELENGTH[0] == pytest.approx(3600)
    np.testing.assert_allclose(np.diff(np.log10(grid.WAVELENGTH)), 1e-3)
    assert grid.WAVELENGTH[-1] < 10000


@pytest.mark.parametrize("seed", range(5))
def test_rebin_equals_a_plain_loop(seed):
    wavelength, flux, ivar = pixels(seed)
    got_flux, got_ivar = grid.rebin(wavelength, flux, ivar)
    for row in range(len(flux)):
        expected_flux, expected_ivar = rebin_by_loop(wavelength, flux[row], ivar[row])
        np.testing.assert_allclose(got_flux[row], expected_flux, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(got_ivar[row], expected_ivar, rtol=1e-12, atol=1e-12)


def test_rebin_on_the_grid_itself_is_the_identity():
    flux, ivar = spectra_on_grid(1)
    got_flux, got_ivar = grid.rebin(grid.WAVELENGTH, flux, ivar)
    np.testing.assert_allclose(got_flux, flux, rtol=1e-14)
    np.testing.assert_array_equal(got_ivar, ivar)


def test_each_bin_edge_belongs_to_the_bin_above_it():
    np.testing.assert_array_equal(grid.LOGARITHMIC.bin_index(grid.WAVELENGTH), np.arange(N))
    np.testing.assert_array_equal(grid.LOGARITHMIC.bin_index(grid.WAVELENGTH * (1 - 1e-7)), np.arange(N) - 1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_rebin_does_not_depend_on_the_order_of_pixels(seed):
    wavelength, flux, ivar = pixels(seed)
    order = np.random.default_rng(seed).permutation(len(wavelength))
    for one, other in zip(
        grid.rebin(wavelength, flux, ivar),
        grid.rebin(wavelength[order], flux[:, order], ivar[:, order]),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), a=st.floats(-50, 50), b=st.floats(-50, 50))
def test_rebin_is_linear_in_flux(seed, a, b):
    wavelength, flux, ivar = pixels(seed)
    other = np.random.default_rng(seed + 1).normal(size=flux.shape)
    joint, _ = grid.rebin(wavelength, a * flux + b * other, ivar)
    apart = a * grid.rebin(wavelength, flux, ivar)[0] + b * grid.rebin(wavelength, other, ivar)[0]
    np.testing.assert_allclose(joint, apart, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_rebin_keeps_the_weight_inside_the_grid(seed):
    wavelength, flux, ivar = pixels(seed)
    inside = (wavelength >= 3600) & (wavelength < 10 ** (np.log10(3600) + 0.443))
    got_flux, got_ivar = grid.rebin(wavelength, flux, ivar)
    np.testing.assert_allclose(got_ivar.sum(axis=1), ivar[:, inside].sum(axis=1))
    np.testing.assert_allclose((got_flux * got_ivar).sum(axis=1), (flux * ivar)[:, inside].sum(axis=1))


def test_the_linear_grid_is_that_of_desi():
    assert grid.LINEAR.n == 458
    np.testing.assert_array_equal(grid.LINEAR.wavelength, [float(f"{3600 + 13.6 * i:.1f}") for i in range(458)])
    np.testing.assert_allclose(np.diff(grid.LINEAR.centre), 13.6)


def test_seventeen_pixels_of_desi_are_a_linear_bin():
    wavelength = np.round(3600 + 0.8 * np.arange(7781), 1)
    index = grid.LINEAR.bin_index(wavelength)
    np.testing.assert_array_equal(index, np.arange(7781) // 17)


@pytest.mark.reference
def test_rebinning_on_the_linear_grid_is_that_of_desi(reference):
    rebinned, spectra = (
        fits.open(reference / "desi" / name) for name in ("coadd_rebinned_linear.fits", "test_coadd.fits")
    )
    with rebinned, spectra:
        for arm in "BRZ":
            wavelength, flux, ivar = (spectra[f"{arm}_{part}"].data for part in ("WAVELENGTH", "FLUX", "IVAR"))
            got, weight = grid.rebin(wavelength, flux, ivar, grid.LINEAR)
            np.testing.assert_array_equal(weight, rebinned[f"{arm}_IVAR"].data)
            # the published sums have products in float32: relative to the sum without signs, which does not cancel
            absolute, _ = grid.rebin(wavelength, np.abs(flux), ivar, grid.LINEAR)
            off = np.abs(got * weight - rebinned[f"{arm}_FLUX"].data)
            assert (off <= 1e-6 * absolute * weight).all()


@pytest.mark.parametrize("which", grid.GRIDS.values(), ids=grid.GRIDS)
def test_a_grid_is_known_again_by_its_wavelengths_and_its_values(which):
    assert grid.Grid.of_wavelengths(which.wavelength) is which
    assert grid.Grid.of_wavelengths(which.wavelength.astype(np.float32)) is which
    assert grid.Grid.from_json(json.loads(json.dumps(which.to_json()))) is which
    assert grid.grid_with(which.n) is which


@settings(max_examples=25, deadline=None)
@given(
    spacing=st.sampled_from(["linear", "logarithmic"]), start=st.floats(1000, 6000), step=st.floats(5, 30),
    n=st.integers(100, 600), decimals=st.integers(2, 6),
)  # fmt: skip
def test_any_constant_spacing_is_found_in_rounded_wavelengths(spacing, start, step, n, decimals):
    made = grid.Grid(spacing, start, step if spacing == "linear" else step * 1e-4, n)
    found = grid.Grid.of_wavelengths(np.round(made.wavelength, decimals))
    assert found.spacing == spacing
    np.testing.assert_allclose(found.wavelength, made.wavelength, atol=0.02 * step)
    assert grid.Grid.from_json(found.to_json()).n == n


@pytest.mark.parametrize(
    "wavelength",
    [
        [3600.0, 3610],
        [3600.0, 3600, 3610],
        [0.0, 1, 2],
        [3600.0, np.nan, 3620],
        [3600.0, 3610, 3700, 3900],
        [[1.0], [2], [3]],
    ],
)
def test_wavelengths_without_constant_spacing_are_no_grid(wavelength):
    with pytest.raises(ValueError, match=r"no grid|no constant spacing"):
        grid.Grid.of_wavelengths(np.array(wavelength))


def test_rebin_leaves_out_pixels_that_are_not_numbers():
    wavelength = np.full(5, 5000.0)
    flux = np.array([1.0, np.nan, np.inf, 4.0, 5.0])
    ivar = np.array([1.0, 1.0, 1.0, np.nan, -1.0])
    got_flux, got_ivar = grid.rebin(wavelength, flux, ivar)
    index = grid.LOGARITHMIC.bin_index(wavelength)[0]
    assert (got_flux[0, index], got_ivar[0, index]) == (1, 1)
    assert got_ivar.sum() == 1


def test_rebin_without_any_pixel_on_the_grid_is_empty():
    flux, ivar = grid.rebin(np.array([1000.0, 20000.0]), np.ones((2, 2)), np.ones((2, 2)))
    assert flux.shape == ivar.shape == (2, N)
    assert not flux.any()
    assert not ivar.any()


def test_rebin_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(3,\).*expected"):
        grid.rebin(np.ones(3), np.ones((2, 4)), np.ones((2, 4)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-2, 1e3), shift=st.floats(-100, 100))
def test_normalise_does_not_see_scale_and_offset(seed, scale, shift):
    flux, ivar = spectra_on_grid(seed)
    one, kept = grid.normalise(flux, ivar)
    other, also_kept = grid.normalise(scale * flux + shift, ivar / scale**2)
    assert kept.all()
    assert also_kept.all()
    np.testing.assert_allclose(other, one, atol=2e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_normalised_flux_has_weighted_mean_0_and_rms_1(seed):
    flux, ivar = spectra_on_grid(seed)
    got = grid.normalise(flux, ivar)[0].astype(np.float64)
    for row, weight in zip(got, ivar, strict=True):
        assert np.average(row, weights=weight) == pytest.approx(0, abs=1e-6)
        assert np.average(row**2, weights=weight) == pytest.approx(1, abs=1e-5)


def test_bins_without_data_are_shifted_and_scaled_too():
    flux, ivar = spectra_on_grid(3, n=1)
    ivar[0, 100:120] = flux[0, 100:120] = 0
    mean = np.average(flux[0], weights=ivar[0])
    rms = np.sqrt(np.average((flux[0] - mean) ** 2, weights=ivar[0]))
    np.testing.assert_allclose(grid.normalise(flux, ivar)[0][0, 100:120], -mean / rms, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0, 1.7, 0.3, 11.3])
def test_constant_flux_is_not_kept_in_spite_of_rounding(value):
    ivar = np.random.default_rng(0).uniform(0.1, 3, (1, N)).astype(np.float32)
    normalised, keep = grid.normalise(np.full((1, N), value, np.float32), ivar)
    assert not keep[0]
    assert not normalised.any()


def test_a_spectrum_without_ivar_is_not_kept_and_does_not_disturb_others():
    flux, ivar = spectra_on_grid(5)
    alone = grid.normalise(flux[1:2], ivar[1:2])[0]
    ivar[0] = 0
    normalised, keep = grid.normalise(flux, ivar)
    np.testing.assert_array_equal(keep, [False, True, True, True])
    np.testing.assert_array_equal(normalised[1:2], alone)


def test_median_snr_is_the_median_over_bins_with_data():
    flux, ivar = spectra_on_grid(7, n=6)
    ivar[0], ivar[1, 1:], ivar[2, 2:] = 0, 0, 0
    ivar[1, 0] = ivar[2, :2] = 1.0
    expected = [
        np.median(f[i > 0] * np.sqrt(i[i > 0])) if (i > 0).any() else 0 for f, i in zip(flux, ivar, strict=True)
    ]
    np.testing.assert_allclose(grid.median_snr(flux, ivar), expected, rtol=1e-6)


def test_empty_input_gives_empty_output():
    nothing = np.empty((0, N))
    assert grid.normalise(nothing, nothing)[0].shape == (0, N)
    assert grid.median_snr(nothing, nothing).shape == (0,)
