"""DESI coadds and spectra files: a coadd by hand, combining exposures, arms, ids, and bad files."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from quasarcurves.spectra import grid, sources
from quasarcurves.spectra.table import Spectra
from support.spectra_files import table, write_coadd, write_csv

WAVELENGTH = {
    "B": np.arange(3600, 5800, 4.0),
    "R": np.arange(5760, 7620, 4.0),
    "Z": np.arange(7520, 9824, 4.0),
}


def draw(n, seed=0):
    """Flux and ivar of n spectra in three arms, a tenth of the pixels without ivar."""
    rng = np.random.default_rng(seed)
    arms = {}
    for arm, wavelength in WAVELENGTH.items():
        shape = (n, len(wavelength))
        flux, ivar = rng.normal(3, 1, shape), rng.uniform(0.5, 2, shape) * (rng.random(shape) > 0.1)
        arms[arm] = flux.astype(np.float32), ivar.astype(np.float32)
    return arms


def write_spectra(path, arms, target_id=None, mask=None, leave_out=()):
    write_coadd(path, WAVELENGTH, arms, target_id, mask, leave_out)


def expected_flux(arms, groups, on=grid.LOGARITHMIC):
    """Combine the exposures of each group pixel by pixel, then rebin and normalise."""
    rows = []
    for group in groups:
        combined = []
        for flux, ivar in arms.values():
            total = ivar[group].astype(float).sum(axis=0)
            weighted = (flux[group].astype(float) * ivar[group]).sum(axis=0)
            combined.append((weighted / np.where(total > 0, total, 1), total))
        flux, ivar = (np.concatenate(part) for part in zip(*combined, strict=True))
        wavelength = np.concatenate([WAVELENGTH[arm] for arm in arms])
        rows.append(grid.normalise(*grid.rebin(wavelength, flux, ivar, on))[0][0])
    return np.array(rows)


@pytest.fixture
def config(tmp_path):
    """One file of five targets, one exposure each."""
    write_spectra(tmp_path / "coadd-1.fits", draw(5), [11, 12, 13, 14, 15])
    return {"source": "desi", "spectra": str(tmp_path / "coadd-1.fits")}


def write_catalogue(path, rows, names=("TARGETID", "Z", "SPECTYPE", "ZWARN")):
    return {"catalogue": str(write_csv(path, names, rows))}


def test_a_coadd_without_fibermap_gives_what_it_is_by_hand(survey):
    config = {"source": "desi", "spectra": str(survey / "desi" / "test_coadd.fits")}
    sources.check(config)
    spectra = sources.read(config)
    np.testing.assert_allclose(spectra.flux, np.load(survey / "desi" / "coadd_x.npy"), atol=1e-5)
    assert spectra.rejected == {"zero_ivar": 1}
    assert spectra.target_id.tolist() == [row for row in range(25) if row != 11]
    assert set(spectra.label) == {255}
    assert np.isnan(spectra.z).all()
    assert not spectra.bal.any()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint16"])
def test_images_of_any_type_are_read(config, tmp_path, dtype):
    """FITS stores unsigned integers as signed ones and an offset, and all with their most significant byte first."""
    whole = {arm: np.round(10 * np.abs(np.array(parts))) for arm, parts in draw(4).items()}
    write_spectra(
        tmp_path / "coadd-1.fits", {arm: tuple(parts.astype(dtype)) for arm, parts in whole.items()}, range(4)
    )
    sources.check(config)
    spectra = sources.read(config)
    np.testing.assert_allclose(spectra.flux, expected_flux(whole, [[i] for i in range(4)]), atol=1e-6)
    assert spectra.flux.dtype.isnative
    assert spectra.target_id.dtype.isnative


def test_arms_are_rebinned_together(config):
    spectra = sources.read(config)
    np.testing.assert_allclose(spectra.flux, expected_flux(draw(5), [[i] for i in range(5)]), atol=1e-6)
    assert spectra.target_id.tolist() == [11, 12, 13, 14, 15]


def test_spectra_are_put_on_the_grid_asked_for(config):
    spectra = sources.read({**config, "grid": grid.LINEAR.to_json()})
    assert spectra.grid == grid.LINEAR
    expected = expected_flux(draw(5), [[i] for i in range(5)], grid.LINEAR)
    np.testing.assert_allclose(spectra.flux, expected, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 8, 100])
def test_exposures_of_a_target_are_combined_wherever_they_are_in_the_file(config, tmp_path, rows):
    arms = draw(8, seed=4)
    write_spectra(tmp_path / "coadd-1.fits", arms, [7, 5, 5, 7, 9, 7, 3, 9])
    spectra = Spectra.concatenate(sources.read_chunks(config, rows))
    assert spectra.target_id.tolist() == [7, 5, 9, 3]
    expected = expected_flux(arms, [[0, 3, 5], [1, 2], [4, 7], [6]])
    np.testing.assert_allclose(spectra.flux, expected, atol=1e-6)


def test_chunks_hold_no_more_exposures_than_asked_for(config, tmp_path):
    write_spectra(tmp_path / "coadd-1.fits", draw(8), [7, 5, 5, 7, 9, 8, 3, 1])
    assert [len(chunk) for chunk in sources.read_chunks(config, 4)] == [2, 4]
    assert [len(chunk) for chunk in sources.read_chunks(config, 3)] == [1, 2, 3]


def test_more_rows_than_are_held_at_a_time_give_the_same(tmp_path):
    arms = {"R": draw(300)["R"]}
    write_spectra(tmp_path / "many.fits", arms, np.arange(300) % 290)
    spectra = sources.read({"source": "desi", "spectra": str(tmp_path / "many.fits")})
    groups = [[i, i + 290] if i < 10 else [i] for i in range(290)]
    np.testing.assert_allclose(spectra.flux, expected_flux(arms, groups), atol=1e-6)


def test_exposures_in_different_files_stay_apart_with_the_same_id(config, tmp_path):
    write_spectra(tmp_path / "coadd-2.fits", draw(2, seed=9), [12, 99])
    config["spectra"] = str(tmp_path / "coadd-*.fits")
    assert sources.read(config).target_id.tolist() == [11, 12, 13, 14, 15, 12, 99]


def test_rows_are_counted_through_all_files_where_there_is_no_fibermap(tmp_path):
    for i, n in enumerate((3, 2)):
        write_spectra(tmp_path / f"coadd-{i}.fits", draw(n, seed=i))
    spectra = sources.read({"source": "desi", "spectra": [str(tmp_path / f"coadd-{i}.fits") for i in range(2)]})
    assert spectra.target_id.tolist() == [0, 1, 2, 3, 4]


def test_a_gzip_file_gives_the_same(config, tmp_path):
    write_spectra(tmp_path / "coadd-1.fits", draw(5), [7, 5, 5, 7, 9])
    plain = sources.read(config)
    packed = tmp_path / "coadd-1.fits.gz"
    packed.write_bytes(gzip.compress((tmp_path / "coadd-1.fits").read_bytes()))
    config["spectra"] = str(packed)
    sources.check(config)
    for rows in (2, 100):
        np.testing.assert_array_equal(Spectra.concatenate(sources.read_chunks(config, rows)).flux, plain.flux)


def test_masked_pixels_do_not_count(config, tmp_path):
    arms, mask = draw(5), {arm: np.zeros((5, len(w)), np.int32) for arm, w in WAVELENGTH.items()}
    mask["B"][:, 40:60], mask["Z"][2, 100:300] = 1, 1 << 20
    for arm, (flux, _) in arms.items():
        flux[mask[arm] != 0] = 1e5
    write_spectra(tmp_path / "coadd-1.fits", arms, range(5), mask)
    for arm, (_, ivar) in arms.items():
        ivar[mask[arm] != 0] = 0
    np.testing.assert_allclose(sources.read(config).flux, expected_flux(arms, [[i] for i in range(5)]), atol=1e-6)


def test_a_compressed_mask_is_read_too(config, tmp_path):
    arms = draw(3)
    mask = np.zeros((3, len(WAVELENGTH["B"])), np.int32)
    mask[1, 10:50] = 4
    write_spectra(tmp_path / "coadd-1.fits", arms, range(3))
    with fits.open(tmp_path / "coadd-1.fits", mode="append") as hdus:
        hdus.append(fits.CompImageHDU(mask, name="B_MASK"))
    arms["B"][1][mask != 0] = 0
    sources.check(config)
    np.testing.assert_allclose(sources.read(config).flux, expected_flux(arms, [[0], [1], [2]]), atol=1e-6)


@pytest.mark.parametrize("present", ["B", "RZ", "BZ"])
def test_the_arms_that_are_there_are_used(config, tmp_path, present):
    arms = {arm: parts for arm, parts in draw(4).items() if arm in present}
    write_spectra(tmp_path / "coadd-1.fits", arms, range(4))
    sources.check(config)
    np.testing.assert_allclose(sources.read(config).flux, expected_flux(arms, [[i] for i in range(4)]), atol=1e-6)


def test_catalogue_gives_redshifts_and_labels(config, tmp_path):
    rows = [
        (14, 0.3, "galaxy", 0),
        (11, 2.0, "QSO", 0),
        (12, 2.1, "QSO", 0),
        (13, 0, "STAR", 0),
        (15, 2.5, "QSO", 4),
    ]
    config |= write_catalogue(tmp_path / "z.csv", rows)
    sources.check(config)
    spectra = sources.read(config)
    assert spectra.label.tolist() == [2, 3, 0, 1, 4]
    assert spectra.z.tolist() == [2.0, 2.1, 0, 0.3, 2.5]


def test_without_zwarn_every_row_is_trusted_and_unknown_types_are_bad(config, tmp_path):
    rows = [(11, 2.0, "QSO"), (12, 1, "COMET")]
    config |= write_catalogue(tmp_path / "z.csv", rows, ("targetid", "z", "spectype"))
    spectra = sources.read(config)
    assert spectra.label.tolist() == [2, 4]
    assert spectra.rejected == {"not_in_truth": 3}


def test_ids_of_63_bits_survive_fits_and_csv_with_empty_cells(config, tmp_path):
    ids = [39633123456789013, 2**62 + 1]
    write_spectra(tmp_path / "coadd-1.fits", draw(2), ids)
    config |= write_catalogue(tmp_path / "z.csv", [(ids[0], 1, "QSO"), ("", 1, "QSO"), (ids[1], 2, "QSO")])
    assert sources.read(config).target_id.tolist() == ids


def test_a_fits_catalogue_is_read(config, tmp_path):
    columns = {"TARGETID": ("K", [15, 11]), "Z": ("D", [1.5, 2.5]), "SPECTYPE": ("6A", ["QSO", "QSO"])}
    table(columns, name="ZBEST").writeto(tmp_path / "z.fits")
    config["catalogue"] = str(tmp_path / "z.fits")
    sources.check(config)
    spectra = sources.read(config)
    assert (spectra.target_id.tolist(), spectra.label.tolist()) == ([11, 15], [3, 2])


def test_every_reason_to_reject_is_counted(config, tmp_path):
    arms = draw(8)
    for flux, ivar in arms.values():
        ivar[[0, 3, 4]] = 0
        flux[5] = 1.7
    write_spectra(tmp_path / "coadd-1.fits", arms, [-1, 11, -1, 12, 12, 13, 99, 99])
    config |= write_catalogue(tmp_path / "z.csv", [(i, 2, "QSO", 0) for i in (11, 12, 13)])
    for rows in (1, 3, 100):
        spectra = Spectra.concatenate(sources.read_chunks(config, rows))
        assert spectra.rejected == {
            "invalid_target_id": 2,
            "not_in_truth": 1,
            "zero_ivar": 1,
            "constant_flux": 1,
        }
        assert spectra.target_id.tolist() == [11]


@pytest.mark.parametrize(
    ("leave_out", "message"),
    [
        (["B_FLUX", "R_FLUX", "Z_FLUX"], r"expected B_FLUX, R_FLUX or Z_FLUX, or BRZ_FLUX of .*, found .*B_IVAR"),
        (["R_IVAR"], "expected an HDU R_IVAR, found .*R_FLUX"),
        (["Z_WAVELENGTH"], "expected an HDU Z_WAVELENGTH"),
    ],
)
def test_files_without_a_needed_part_are_refused(config, tmp_path, leave_out, message):
    write_spectra(tmp_path / "coadd-1.fits", draw(2), [1, 2], leave_out=leave_out)
    for use in (sources.check, sources.read):
        with pytest.raises(ValueError, match=rf"coadd-1\.fits: {message}"):
            use(config)


def test_parts_of_different_size_are_refused(config, tmp_path):
    arms = draw(3)
    arms["R"] = arms["R"][0], arms["R"][1][:, :-1]
    write_spectra(tmp_path / "coadd-1.fits", arms)
    with pytest.raises(ValueError, match=r"coadd-1\.fits: R_IVAR has shape \(3, 464\), expected \(3, 465\)"):
        sources.check(config)


def test_a_fibermap_of_another_length_is_refused(config, tmp_path):
    write_spectra(tmp_path / "coadd-1.fits", draw(3), [1, 2])
    with pytest.raises(ValueError, match=r"coadd-1\.fits: B_FLUX has shape \(3, 550\), expected \(2, 550\)"):
        sources.check(config)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_damaged_file_is_refused_by_name(config, tmp_path, share):
    path = tmp_path / "coadd-1.fits"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for use in (sources.check, sources.read):
        with pytest.raises((ValueError, OSError), match=r"coadd-1\.fits"):
            use(config)


def test_a_catalogue_without_a_needed_column_is_refused(config, tmp_path):
    config |= write_catalogue(tmp_path / "z.csv", [(11, 2)], ("TARGETID", "Z"))
    for use in (sources.check, sources.read):
        with pytest.raises(ValueError, match=r"z\.csv: column SPECTYPE is missing, it has TARGETID, Z"):
            use(config)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("spectra", None, ValueError),
        ("spectra", 3, ValueError),
        ("spectra", "none-*.fits", FileNotFoundError),
        ("catalogue", "none.fits", FileNotFoundError),
        ("catalogue", 3, ValueError),
    ],
)
def test_paths_that_lead_nowhere_are_refused(config, key, value, error):
    with pytest.raises(error, match=rf"data\.{key}"):
        sources.check(config | {key: value})


def test_a_coadd_across_cameras_is_one_arm(config, tmp_path):
    wavelength = np.arange(3600, 9824.1, 0.8)
    rng = np.random.default_rng(5)
    flux, ivar = (rng.uniform(0.5, 2, (3, len(wavelength))).astype(np.float32) for _ in range(2))
    mask = (rng.random(flux.shape) < 0.1).astype(np.int32)
    path = tmp_path / "coadd-1.fits"
    write_coadd(path, {"BRZ": wavelength}, {"BRZ": (flux, ivar)}, [1, 2, 3], {"BRZ": mask})
    sources.check(config)
    weight = np.where(mask, 0, ivar.astype(float))
    expected = grid.normalise(*grid.rebin(wavelength, flux.astype(float), weight))[0]
    np.testing.assert_allclose(sources.read(config).flux, expected, atol=1e-6)


def test_target_ids_that_were_rounded_are_refused(config, tmp_path):
    """As 25 spectra became 4 and truth went to neighbours."""
    near = 39627944567309000 + np.arange(5)
    write_spectra(tmp_path / "coadd-1.fits", draw(5), near)
    assert sources.read(config).target_id.tolist() == near.tolist()
    with fits.open(tmp_path / "coadd-1.fits") as hdus:
        others = [each.copy() for each in hdus if each.name != "FIBERMAP"]
        fibermap = table({"TARGETID": ("D", near.astype(float))}, name="FIBERMAP")
        fits.HDUList([*others, fibermap]).writeto(tmp_path / "rounded.fits")
    config["spectra"] = str(tmp_path / "rounded.fits")
    with pytest.raises(ValueError, match=r"rounded\.fits: column TARGETID holds .* no longer exact"):
        sources.read(config)
