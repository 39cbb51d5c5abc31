"""Simulated spectra: reproducible whatever the chunks, and what published quasar spectra look like."""

import hashlib

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.spectra import sources
from quasarcurves.spectra.empty_fibres import is_empty
from quasarcurves.spectra.grid import LINEAR, LOG_STEP, LOGARITHMIC, N_BINS, WAVELENGTH, median_snr, normalise
from quasarcurves.spectra.sources import simulated
from quasarcurves.spectra.sources.simulated import lines as simulated_lines
from quasarcurves.spectra.sources.simulated import quasars as simulated_quasars
from quasarcurves.spectra.sources.simulated import starlight as simulated_starlight
from quasarcurves.spectra.table import BAD, GALAXY, QSO_HIGH, QSO_LOW, STAR, Spectra

CENTRE = WAVELENGTH * 10 ** (LOG_STEP / 2)
COLUMNS = ("flux", "ivar", "noiseless", "z", "label", "bal", "kind", "target_id")


@pytest.fixture(scope="module")
def many():
    return simulated.simulate(6000, seed=20)


@pytest.fixture(scope="module")
def is_quasar(many):
    return (many.label == QSO_LOW) | (many.label == QSO_HIGH)


def assert_same(left, right, columns=COLUMNS):
    for name in columns:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def binomial_sigmas(found, share):
    """How many standard deviations a count lies from what the share says."""
    return (found.sum() - share * found.size) / np.sqrt(found.size * share * (1 - share))


# --- one seed, one data set ---


@settings(max_examples=6, deadline=None)
@given(n=st.integers(1, 1300), rows=st.integers(100, 1500))
def test_chunks_do_not_change_the_spectra(n, rows):
    config = {"source": "simulated", "n_spectra": n, "seed": 5}
    chunks = list(simulated.read_chunks(config, rows))
    assert max(map(len, chunks)) <= rows
    whole = Spectra.concatenate(chunks)
    assert len(whole) == n
    reference = Spectra.concatenate(simulated.read_chunks(config, 10**6))
    assert_same(whole, reference, ("flux", "z", "label", "bal", "target_id", "snr"))


@settings(max_examples=6, deadline=None)
@given(n=st.integers(1, 600), first=st.integers(0, 900))
def test_part_of_a_set_equals_that_part_of_the_whole(n, first):
    whole, part = simulated.simulate(1500, seed=6), simulated.simulate(n, seed=6, first=first)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[first : first + n])


def test_seed_decides():
    one = simulated.simulate(20, seed=8)
    simulated.simulate(20, seed=9)
    assert_same(one, simulated.simulate(20, seed=8))
    other = simulated.simulate(20, seed=9)
    assert not np.array_equal(one.flux, other.flux)
    default = next(simulated.read_chunks({"n_spectra": 20}, 20))
    assert_same(default, next(simulated.read_chunks({"n_spectra": 20, "seed": 1}, 20)), ("flux", "z"))


def test_reading_gives_the_normalised_spectra(many):
    spectra = sources.read({"source": "simulated", "n_spectra": 700, "seed": 20})
    flux, keep = normalise(many.flux[:700], many.ivar[:700])
    assert keep.all()
    np.testing.assert_array_equal(spectra.flux, flux)
    np.testing.assert_array_equal(spectra.label, many.label[:700])
    np.testing.assert_array_equal(spectra.snr, median_snr(many.flux[:700], many.ivar[:700]))
    assert (spectra.source, spectra.rejected) == ("simulated", {})


def test_spectra_without_data_are_counted_and_left_out():
    raw = simulated.simulate(4, seed=1)
    raw.ivar[1], raw.flux[2] = 0, 3.0
    spectra = simulated._normalised(raw, LOGARITHMIC)
    assert spectra.rejected == {"zero_ivar": 1, "constant_flux": 1}
    np.testing.assert_array_equal(spectra.target_id, [0, 3])


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({}, "n_spectra"),
        ({"n_spectra": 0}, "n_spectra"),
        ({"n_spectra": 10.0}, "n_spectra"),
        ({"n_spectra": True}, "n_spectra"),
        ({"n_spectra": "many"}, "n_spectra"),
        ({"n_spectra": 5, "seed": -1}, "seed"),
        ({"n_spectra": 5, "seed": None}, "seed"),
        ({"n_spectra": 5, "seed": 1.5}, "seed"),
    ],
)
def test_bad_configuration_is_refused(config, key):
    with pytest.raises(ValueError, match=rf"data\.{key} is .*, expected an integer"):
        sources.check({"source": "simulated", **config})


def test_good_configuration_is_accepted():
    sources.check({"source": "simulated", "n_spectra": 1})
    sources.check({"source": "simulated", "n_spectra": 10, "seed": 0})


# --- who is in it ---


def test_shares_of_the_classes(many, is_quasar):
    trusted = 1 - 0.07
    for found, share in (
        (many.label == BAD, 0.07),
        (many.label == STAR, trusted * 0.25 / 0.93),
        (many.label == GALAXY, trusted * 0.08 / 0.93),
        (is_quasar, trusted * 0.60 / 0.93),
    ):
        assert abs(binomial_sigmas(found, share)) < 4
    assert (many.label[is_quasar] == QSO_HIGH).mean() == pytest.approx(0.70, abs=0.04)


def test_labels_follow_kind_and_redshift(many, is_quasar):
    np.testing.assert_array_equal(many.label[is_quasar] == QSO_HIGH, many.z[is_quasar] >= 2.1)
    assert (many.kind[is_quasar] == simulated.QUASAR_KIND).all()
    assert many.z[is_quasar].min() >= 0.3
    assert many.z[is_quasar].max() <= 4.0
    assert np.abs(many.z[many.label == STAR]).max() * 299792.458 <= 600
    galaxies = many.z[many.label == GALAXY]
    assert galaxies.min() >= 0.05
    assert galaxies.max() <= 0.9
    np.testing.assert_array_equal(np.isnan(many.z), many.kind == simulated.FEATURELESS_KIND)
    assert len(np.unique(many.target_id)) == len(many)


def test_share_of_broad_absorption_line_quasars(many, is_quasar):
    bal = many.bal[is_quasar]
    assert abs(binomial_sigmas(bal == 1, 0.12)) < 4
    assert (bal[many.z[is_quasar] < 1.4] == 0).all()
    covered = bal[many.z[is_quasar] > 1.6]
    assert 0.01 < (covered == 0).mean() < 0.06
    assert (many.bal[~is_quasar] == 0).all()


# --- noise ---


def test_noise_is_what_ivar_says(many):
    good = many.ivar > 0
    pull = ((many.flux - many.noiseless) * np.sqrt(many.ivar))[good]
    assert pull.mean() == pytest.approx(0, abs=4 / np.sqrt(pull.size))
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * pull.size))
    assert (np.abs(pull) < 1).mean() == pytest.approx(0.6827, abs=0.002)
    deviation = np.where(good, (many.flux - many.noiseless) * np.sqrt(many.ivar), 0)
    assert (deviation[:, 1:] * deviation[:, :-1]).mean() == pytest.approx(0, abs=0.004)


def test_signal_to_noise_and_gaps(many):
    ratio = median_snr(many.flux, many.ivar)
    trusted = many.label != BAD
    assert np.median(ratio[trusted]) == pytest.approx(10, abs=1)
    low, high = np.percentile(ratio[trusted], [1, 99])
    assert 1 < low < 3
    assert 25 < high < 50
    faint = (many.label == BAD) & (many.kind != simulated.FEATURELESS_KIND)
    assert np.median(ratio[faint]) < 2
    masked = many.ivar == 0
    assert (many.flux[masked] == 0).all()
    assert 0.04 < masked.any(axis=1).mean() < 0.09


NOISE_OF_BOSS = (
    1.52, 0.88, 0.67, 0.43, 0.32, 0.18, 0.06, 0.02, -0.04, -0.05, 0.10, 0.04, -0.21, -0.36, -0.45, -0.42, -0.33, -0.39,
    -0.37, -0.27, -0.37, 0.02,
)  # fmt: skip
"""Log of the noise relative to a spectrum's median noise: medians over 20 bins of the boss-like reference spectra."""


def noise_shape(ivar):
    """(443,): log of the noise relative to the median noise of its spectrum, median over spectra without gaps."""
    noise = ivar[(ivar > 0).all(axis=1)].astype(np.float64) ** -0.5
    return np.log(np.median(noise / np.median(noise, axis=1, keepdims=True), axis=0))


def test_noise_has_the_measured_shape():
    found = np.median(noise_shape(simulated.simulate(1000, seed=3).ivar)[:440].reshape(22, 20), axis=1)
    np.testing.assert_allclose(found, NOISE_OF_BOSS, atol=0.15)
    # below 6250 A
    np.testing.assert_allclose(found[:12], NOISE_OF_BOSS[:12], atol=0.05)


@pytest.mark.reference
def test_noise_has_the_shape_of_real_spectra(reference):
    ivar = np.array(fits.getdata(reference / "boss_like" / "data.fits", 0)[:1500, N_BINS:])
    difference = noise_shape(simulated.simulate(1000, seed=3).ivar) - noise_shape(ivar)
    assert np.abs(np.median(difference)) < 0.05
    assert np.percentile(np.abs(difference), 90) < 0.2
    # below 6250 A, the steep blue end included, groups of five bins
    assert np.abs(difference[:240].reshape(-1, 5).mean(axis=1)).max() < 0.15


# --- lines, forest, limit ---


def equivalent_width(flux, rest, blue, red, line):
    """Line over a straight continuum between two windows, Angstrom in the rest frame."""

    def mean(window):
        return flux[(rest > window[0]) & (rest < window[1])].mean()

    continuum = np.interp(rest, (np.mean(blue), np.mean(red)), (mean(blue), mean(red)))
    inside = (rest > line[0]) & (rest < line[1])
    return ((flux / continuum - 1) * rest * np.log(10) * LOG_STEP)[inside].sum()


def stack(many, rows, rest):
    """Mean spectrum in the rest frame; each is scaled to its mean over the wavelengths asked for."""
    total = np.zeros(len(rest))
    for row in rows:
        flux = np.interp(rest, CENTRE / (1 + many.z[row]), many.noiseless[row])
        total += flux / flux.mean()
    return total / len(rows)


@pytest.mark.parametrize(
    ("position", "low", "high"),
    [(1546.15, 1450, 1700), (2800.26, 2700, 2900), (1905.97, 1800, 2000), (4853.13, 4750, 4940)],
    ids=["CIV", "MgII", "CIII", "Hbeta"],
)
def test_stacked_lines_peak_where_the_published_composite_has_them(many, is_quasar, position, low, high):
    covered = (CENTRE[0] < low * (1 + many.z)) & (CENTRE[-1] > high * (1 + many.z))
    rows = np.flatnonzero(is_quasar & covered & (many.bal != 1))
    assert len(rows) > 50
    rest = 10 ** np.arange(np.log10(low), np.log10(high), LOG_STEP / 4)
    peak = rest[stack(many, rows, rest).argmax()]
    # half a bin of sampling and the blends of the table
    assert abs(np.log10(peak / position)) < 1.2 * LOG_STEP


def test_equivalent_width_of_civ(many, is_quasar):
    rows = np.flatnonzero(is_quasar & (many.bal == -1) & (many.z > 1.7))
    widths = [
        equivalent_width(many.noiseless[row], CENTRE / (1 + many.z[row]), (1445, 1465), (1690, 1705), (1490, 1600))
        for row in rows
    ]
    # the bright quasars of Vanden Berk et al. (2001) have 23.8 A, those of the reference spectra 48 A
    assert 23.8 < np.median(widths) < 48
    assert np.median(widths) == pytest.approx(23.78 * simulated_lines.FAINT_QUASARS["CIV"], rel=0.1)
    assert 0.1 < np.log10(widths).std() < 0.35


@settings(max_examples=30, deadline=None)
@given(
    z=st.floats(0.0, 1.0),
    width=st.floats(-5.0, 50.0).filter(lambda width: abs(width) > 0.1),
    sigma=st.floats(0.5, 40.0),
)
def test_line_keeps_its_equivalent_width_and_place(z, width, sigma):
    lines = simulated_lines.LineFlux(np.array([1 + z]))
    lines.add(4200.0, np.array([width]), np.array([sigma]))
    flux = lines.relative()[0].astype(np.float64)
    angstrom = np.diff(np.append(WAVELENGTH, WAVELENGTH[-1] * 10**LOG_STEP))
    if 4200 - 4 * sigma > CENTRE[0]:
        assert (flux * angstrom).sum() / (1 + z) == pytest.approx(width, rel=2e-3)
        place = (flux * angstrom * np.arange(N_BINS)).sum() / (flux * angstrom).sum() + 0.5
        expected = np.log10(4200 * (1 + z) / 3600) / LOG_STEP
        assert place == pytest.approx(expected, abs=centroid_error(sigma / 4200 / np.log(10) / LOG_STEP) + 0.05)


def centroid_error(sigma):
    """Largest error of the centroid of a Gaussian that is integrated over bins; sigma in bins.

    The series of the error in the place within a bin has coefficients exp(-2 (pi k sigma)^2) / (pi k).
    """
    k = np.arange(1, 50)
    return min(0.5, (np.exp(-2 * (np.pi * k * sigma) ** 2) / (np.pi * k)).sum())


def test_line_outside_of_the_grid_adds_nothing():
    lines = simulated_lines.LineFlux(np.array([1.0, 9.0]))
    lines.add(1216.0, np.array([90.0, 90.0]), 15.0)
    assert not lines.relative().any()


def test_mean_transmission_of_the_forest():
    one_plus_z = np.full(4000, 3.6)
    flux = np.ones((4000, N_BINS), np.float32)
    simulated_quasars.absorb_forest(flux, one_plus_z, np.random.default_rng(2))
    only_alpha = (CENTRE > 1030 * 3.6) & (CENTRE < 1210 * 3.6)
    expected = np.exp(-0.00554 * (CENTRE / 1215.67) ** 3.182)
    np.testing.assert_allclose(flux.mean(axis=0)[only_alpha], expected[only_alpha], rtol=0.015)
    with_beta = (CENTRE < 1020 * 3.6) & (CENTRE > 980 * 3.6)
    assert (flux.mean(axis=0)[with_beta] < 0.97 * expected[with_beta]).all()
    assert (flux[:, CENTRE > 1220 * 3.6] == 1).all()
    # neighbours go together, distant bins do not
    fluctuation = flux[:, only_alpha] - flux[:, only_alpha].mean(axis=0)
    correlation = np.corrcoef(fluctuation, rowvar=False)
    assert 0.3 < np.diag(correlation, 1).mean() < 0.7
    assert abs(np.diag(correlation, 10).mean()) < 0.02
    assert 0.08 < fluctuation.std() < 0.25


def test_little_light_below_the_lyman_limit(many, is_quasar):
    rows = np.flatnonzero(is_quasar & (many.z > 3.5))

    def mean(row, low, high):
        rest = CENTRE / (1 + many.z[row])
        return many.noiseless[row][(rest > low) & (rest < high)].mean()

    blue = [mean(row, 0, 860) / mean(row, 1435, 1465) for row in rows]
    above = [mean(row, 1070, 1110) / mean(row, 1435, 1465) for row in rows]
    assert len(rows) > 50
    assert np.mean(blue) < 0.35 * np.mean(above)


def test_troughs_lie_blueward_of_civ():
    rng = np.random.default_rng(1)
    one_plus_z = np.full(500, 3.3)
    flux = np.ones((500, N_BINS), np.float32)
    simulated_quasars.absorb_troughs(flux, np.arange(0, 500, 2), one_plus_z, rng)
    assert (flux[1::2] == 1).all()
    rest = CENTRE / 3.3
    velocity = 299792.458 * (1 - rest / 1549.06)
    near_civ = (velocity > -2000) & (velocity < 25000) & (rest > 1450)
    # balnicity: deeper than 10 % over at least 2,000 km/s (three bins of 690 km/s)
    assert ((flux[::2][:, near_civ] < 0.9).sum(axis=1) >= 3).all()
    assert (flux[:, (rest > 1550)] == 1).all()
    assert (flux >= 0).all()


def test_stars_have_what_their_type_shows():
    wavelength = np.array([4000.0, 8000.0])
    h_c_k = 1.438777e8
    flux = simulated_starlight.planck(np.array([6000.0]))[0]
    expected = wavelength**-5 / np.expm1(h_c_k / wavelength / 6000)
    got = np.interp(wavelength, CENTRE, flux)
    assert got[0] / got[1] == pytest.approx(expected[0] / expected[1], rel=1e-3)
    stars = simulated_starlight.stars(np.zeros(3000), np.random.default_rng(0))
    widths = np.array([-equivalent_width(star, CENTRE, (4640, 4720), (5000, 5080), (4760, 4965)) for star in stars])
    # H beta of A stars is 13 A wide, of white dwarfs 30 A, of F stars 5 A and cooler ones less
    assert (widths > 9).mean() == pytest.approx(0.31, abs=0.06)
    assert (widths > 20).mean() == pytest.approx(0.08, abs=0.02)
    assert (stars > 0).all()


def test_galaxies_have_a_break_at_4000_angstrom():
    z = np.full(2000, 0.4)
    flux = simulated_starlight.galaxies(z, np.random.default_rng(0))
    rest = CENTRE / 1.4
    # Balogh et al. (1999): flux in 4000-4100 A over that in 3850-3950 A
    ratio = flux[:, (rest > 4000) & (rest < 4100)].mean(axis=1) / flux[:, (rest > 3850) & (rest < 3950)].mean(axis=1)
    assert 1.5 < np.percentile(ratio, 95) < 2.2
    assert 1.0 < np.percentile(ratio, 5) < 1.7
    oiii = np.abs(rest - 5008.2).argmin()
    peak = flux[:, oiii - 1 : oiii + 2].max(axis=1) / np.median(flux[:, oiii - 20 : oiii + 20], axis=1)
    assert 0.3 < (peak > 1.15).mean() < 0.65


def test_spectra_on_the_linear_grid_are_the_same_objects():
    config = {"source": "simulated", "n_spectra": 300, "seed": 20}
    usual, linear = sources.read(config), sources.read({**config, "grid": LINEAR.to_json()})
    assert (linear.grid, linear.flux.shape) == (LINEAR, (300, 458))
    np.testing.assert_array_equal(linear.z, usual.z)
    # both are normalised, by means with other weights: they are alike up to scale and shift
    seen = [np.interp(LINEAR.centre, LOGARITHMIC.centre, flux) for flux in usual.flux]
    alike = [np.corrcoef(one, other)[0, 1] for one, other in zip(seen, linear.flux, strict=True)]
    assert np.median(alike) > 0.98


def test_weight_stays_where_it_is_on_another_grid():
    raw = simulated.simulate(5, seed=1)
    flux, ivar = simulated._carried(raw.flux, raw.ivar, LINEAR)
    # the first bins of both grids begin at 3600, and both go on up to 9828.8 Angstrom
    inside = LOGARITHMIC.wavelength < 9828.8
    np.testing.assert_allclose(ivar.sum(axis=1), raw.ivar[:, inside].sum(axis=1), rtol=2e-3)
    np.testing.assert_allclose((flux * ivar).sum(axis=1), (raw.flux * raw.ivar)[:, inside].sum(axis=1), rtol=5e-3)


# --- fibres without an object, and residuals of the sky ---


def sky_bins(*wavelengths):
    """Bins of lines of the sky, by their wavelengths in air."""
    return LOGARITHMIC.bin_index(np.array(wavelengths) * 1.000275)


@settings(max_examples=6, deadline=None)
@given(n=st.integers(1, 1300), rows=st.integers(100, 1500))
def test_chunks_do_not_change_empty_fibres_and_residuals(n, rows):
    config = {"source": "simulated", "n_spectra": n, "seed": 5, "sky_residuals": 3.0, "noise_only": 0.2}
    whole = Spectra.concatenate(simulated.read_chunks(config, rows))
    reference = Spectra.concatenate(simulated.read_chunks(config, 10**6))
    assert_same(whole, reference, ("flux", "z", "label", "bal", "target_id", "snr"))


def test_keys_of_0_change_nothing():
    plain = sources.read({"source": "simulated", "n_spectra": 600, "seed": 5})
    zero = sources.read({"source": "simulated", "n_spectra": 600, "seed": 5, "sky_residuals": 0, "noise_only": 0})
    assert_same(plain, zero, ("flux", "z", "label", "bal", "target_id", "snr"))
    digest = hashlib.sha256(simulated.simulate(600, seed=5).flux.tobytes()).hexdigest()
    simulated.simulate(600, seed=5, sky_residuals=2.0, noise_only=0.5)
    # what is kept of a block is not what was made of it with other keys
    assert hashlib.sha256(simulated.simulate(600, seed=5).flux.tobytes()).hexdigest() == digest


def test_empty_fibres_have_noise_alone_and_ids_below_0():
    plain, found = (simulated.simulate(3000, seed=7, noise_only=share) for share in (0.0, 0.2))
    empty = found.kind == simulated.EMPTY_KIND
    assert abs(binomial_sigmas(empty, 0.2)) < 4
    np.testing.assert_array_equal(empty, is_empty(found.label, found.target_id))
    np.testing.assert_array_equal(found.target_id[empty], -1 - plain.target_id[empty])
    assert np.isnan(found.z[empty]).all() and (found.label[empty] == BAD).all() and not found.noiseless[empty].any()
    seen = found.ivar[empty] > 0
    pull = (found.flux * np.sqrt(found.ivar))[empty][seen]
    assert pull.mean() == pytest.approx(0, abs=0.01) and pull.std() == pytest.approx(1, abs=0.01)
    assert np.abs(median_snr(found.flux, found.ivar)[empty]).max() < 0.5
    for name in COLUMNS:  # all others are as they were
        np.testing.assert_array_equal(getattr(found, name)[~empty], getattr(plain, name)[~empty])
    more = simulated.simulate(3000, seed=7, noise_only=0.3).kind == simulated.EMPTY_KIND
    assert (more | ~empty).all()


def test_residuals_sit_at_the_wavelengths_of_the_sky():
    plain, found = (simulated.simulate(2000, seed=7, sky_residuals=strength) for strength in (0.0, 3.0))
    for name in set(COLUMNS) - {"flux"}:
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    added = (found.flux - plain.flux) * np.sqrt(found.ivar)
    spread = added.std(axis=0)
    assert spread.max() == pytest.approx(3, rel=0.15)
    lines = sky_bins(5577.34, 6300.30, 6363.78, 7750.64, 8399.17, 8885.85)
    assert (spread[lines] > 0.4).all() and added[:, lines].mean() == pytest.approx(0, abs=0.1)
    between = sky_bins(4000, 4800, 5200, 5700, 6100, 6600, 7100, 8150, 8600)
    assert (spread[between] < 0.01).all()
    # lines of one family go together, those of another follow in part
    green, red, weaker = added[:, lines[0]], added[:, lines[1]], added[:, lines[2]]
    assert np.corrcoef(red, weaker)[0, 1] > 0.99
    assert 0.35 < np.corrcoef(green, red)[0, 1] < 0.63
    np.testing.assert_array_equal(found.flux[found.ivar == 0], 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("sky_residuals", -1), ("sky_residuals", "much"), ("sky_residuals", True), ("noise_only", 1), ("noise_only", -0.1),
     ("noise_only", float("nan"))],
)  # fmt: skip
def test_residuals_and_shares_that_cannot_be_are_refused(key, value):
    with pytest.raises(ValueError, match=rf"data\.{key} is .*, expected a number, 0 or above"):
        sources.check({"source": "simulated", "n_spectra": 5, key: value})
