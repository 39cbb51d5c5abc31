"""QuasarNET's FITS pair: the counts that a set was made with, every reason to reject, and bad files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from quasarcurves.spectra import grid, sources
from quasarcurves.spectra.table import Spectra
from support import made_up_survey
from support.spectra_files import table, write_pair_spectra, write_truth


def write_spectra(path, target_id, flux=None, ivar=None, dtype="float32"):
    n = len(target_id)
    rng = np.random.default_rng(n)
    flux = rng.normal(3, 1, (n, 443)) if flux is None else flux
    ivar = rng.uniform(0.5, 2, (n, 443)) if ivar is None else ivar
    write_pair_spectra(path, target_id, flux, ivar, dtype)


def quasar(thing_id, z=2.5, flag=0, bi=0):
    return (thing_id, z, 3, 3, flag, bi)


@pytest.fixture
def config(tmp_path):
    """Five quasars with the ids 1 to 5."""
    write_spectra(tmp_path / "data.fits", [3, 1, 4, 2, 5])
    write_truth(tmp_path / "truth.fits", [quasar(i, z=2 + i / 10) for i in range(5, 0, -1)])
    paths = {"spectra": [str(tmp_path / "data.fits")], "truth": [str(tmp_path / "truth.fits")]}
    return {"source": "quasarnet_fits", **paths}


COUNTS = {
    "boss_like": {"labels": [1982, 630, 1425, 3323, 560], "bals": [589, 4032, 127], "objects": 7800},
    "made_up": {"labels": list(made_up_survey.KEPT.values()), "bals": [140, 965, 35], "objects": 1800},
}


@pytest.mark.parametrize("name", ["made_up", pytest.param("boss_like", marks=pytest.mark.reference)])
def test_a_set_gives_the_counts_it_was_made_with(name, request):
    folder = request.getfixturevalue("made_up" if name == "made_up" else "reference") / "boss_like"
    config = {
        "source": "quasarnet_fits",
        "spectra": [str(folder / "data.fits")],
        "truth": str(folder / "truth.fits"),
    }
    sources.check(config)
    spectra = sources.read(config)
    assert spectra.rejected == {
        "invalid_target_id": 20,
        "not_in_truth": 20,
        "zero_ivar": 15,
        "constant_flux": 10,
        "not_inspected": 15,
    }
    expected = COUNTS[name]
    assert len(spectra) == sum(expected["labels"])
    assert np.bincount(spectra.label).tolist() == expected["labels"]
    bal = spectra.bal[spectra.is_quasar]
    assert [(bal == value).sum() for value in (1, -1, 0)] == expected["bals"]
    assert len(np.unique(spectra.target_id)) == expected["objects"]
    assert np.isfinite(spectra.flux).all()
    assert spectra.source == "quasarnet_fits"


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_images_of_any_type_are_read(config, tmp_path, dtype):
    rng = np.random.default_rng(5)
    flux, ivar = rng.integers(1, 100, (2, 5, 443))
    write_spectra(tmp_path / "data.fits", [3, 1, 4, 2, 5], flux, ivar, dtype)
    spectra = sources.read(config)
    np.testing.assert_allclose(spectra.flux, grid.normalise(flux, ivar)[0], atol=1e-6)
    assert spectra.flux.dtype.isnative


def test_each_spectrum_gets_the_truth_of_its_own_id(config):
    spectra = sources.read(config)
    np.testing.assert_array_equal(spectra.target_id, [3, 1, 4, 2, 5])
    np.testing.assert_allclose(spectra.z, 2 + spectra.target_id / 10)
    np.testing.assert_array_equal(spectra.label, [3, 3, 3, 3, 3])


def test_flux_is_normalised_and_snr_is_that_of_the_input(config, tmp_path):
    with fits.open(tmp_path / "data.fits") as hdus:
        image = hdus[0].data.astype(float)
    flux, ivar = image[:, :443], image[:, 443:]
    spectra = sources.read(config)
    np.testing.assert_array_equal(spectra.flux, grid.normalise(flux, ivar)[0])
    np.testing.assert_allclose(spectra.snr, np.median(flux * np.sqrt(ivar), axis=1), rtol=1e-6)
    assert spectra.flux.dtype.isnative


def test_each_reason_to_reject_counts_once_and_the_first_that_applies_wins(tmp_path):
    rng = np.random.default_rng(0)
    ids = [-1, -1, 9, 9, 2, 2, 3, 3, 4, 5]
    flux, ivar = rng.normal(size=(10, 443)), rng.uniform(1, 2, (10, 443))
    ivar[[1, 3, 5, 6, 7]] = 0
    flux[[7, 8]] = 1.7
    write_spectra(tmp_path / "d.fits", ids, flux, ivar)
    truth = [quasar(-1), (2, -1, 0, 0, 0, 0), quasar(3), quasar(4), quasar(5)]
    write_truth(tmp_path / "t.fits", truth)
    spectra = sources.read(
        {"source": "quasarnet_fits", "spectra": str(tmp_path / "d.fits"), "truth": str(tmp_path / "t.fits")}
    )
    assert spectra.rejected == {
        "invalid_target_id": 2,
        "not_in_truth": 2,
        "not_inspected": 2,
        "zero_ivar": 2,
        "constant_flux": 1,
    }
    np.testing.assert_array_equal(spectra.target_id, [5])


@pytest.mark.parametrize(
    ("z", "person", "confidence", "label"),
    [
        (0.0, 1, 3, 0),
        (0.3, 4, 3, 1),
        (2.0999, 3, 3, 2),
        (2.1, 3, 3, 3),
        (2.5, 30, 3, 3),
        (1.5, 30, 3, 2),
        (2.5, 3, 2, 4),
        (2.5, 3, 0, 4),
        (0.0, 0, 1, 4),
        (0.5, 2, 3, 4),
        (0.5, 50, 3, 4),
        (np.nan, 3, 3, 4),
    ],
)
def test_labels(tmp_path, z, person, confidence, label):
    write_spectra(tmp_path / "d.fits", [7])
    write_truth(tmp_path / "t.fits", [(7, z, person, confidence, 0, 0)])
    config = {
        "source": "quasarnet_fits",
        "spectra": str(tmp_path / "d.fits"),
        "truth": str(tmp_path / "t.fits"),
    }
    assert sources.read(config).label.tolist() == [label]


@pytest.mark.parametrize(
    ("flag", "bi", "bal"),
    [(1, 100.0, 1), (0, 0.0, -1), (1, 0.0, 0), (0, 50.0, 0), (1, np.nan, 0), (np.nan, 0.0, 0), (-1, 0.0, 0)],
)
def test_bal_rule(config, tmp_path, flag, bi, bal):
    write_truth(tmp_path / "truth.fits", [quasar(3, flag=flag, bi=bi)])
    assert sources.read(config).bal.tolist() == [bal]


def test_without_bal_columns_nothing_is_known_of_bals(config, tmp_path):
    write_truth(tmp_path / "truth.fits", [quasar(3, flag=1, bi=9)], leave_out=["BI_CIV"])
    assert sources.read(config).bal.tolist() == [0]


def test_columns_are_found_in_any_case(config, tmp_path):
    names = ["thing_id", "z_vi", "Class_Person", "z_conf_person", "bal_flag_vi", "bi_civ"]
    write_truth(tmp_path / "truth.fits", [quasar(3, flag=1, bi=9)], names=names)
    sources.check(config)
    spectra = sources.read(config)
    assert (spectra.target_id.tolist(), spectra.bal.tolist()) == ([3], [1])


def test_several_files_are_put_together(config, tmp_path):
    write_spectra(tmp_path / "more.fits", [8, 1])
    write_truth(tmp_path / "more_truth.fits", [quasar(8, z=0.8)])
    config["spectra"].append(str(tmp_path / "more.fits"))
    config["truth"].append(str(tmp_path / "more_truth.fits"))
    spectra = sources.read(config)
    np.testing.assert_array_equal(spectra.target_id, [3, 1, 4, 2, 5, 8, 1])
    np.testing.assert_allclose(spectra.z[-2:], [0.8, 2.1])


def test_a_file_named_twice_is_read_once(config):
    config["spectra"] *= 2
    assert len(sources.read(config)) == 5


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 100])
def test_the_result_does_not_depend_on_the_size_of_chunks(config, rows):
    chunks = list(sources.read_chunks(config, rows))
    assert len(chunks) == -(-5 // rows)
    assert max(map(len, chunks)) <= rows
    whole, joined = sources.read(config), Spectra.concatenate(chunks)
    np.testing.assert_array_equal(joined.flux, whole.flux)
    np.testing.assert_array_equal(joined.target_id, whole.target_id)


def test_gzip_files_give_the_same(config, tmp_path):
    plain = sources.read(config)
    for name in ("data", "truth"):
        (tmp_path / f"{name}.fits.gz").write_bytes(gzip.compress((tmp_path / f"{name}.fits").read_bytes()))
    config |= {"spectra": str(tmp_path / "data.fits.gz"), "truth": str(tmp_path / "truth.fits.gz")}
    sources.check(config)
    np.testing.assert_array_equal(Spectra.concatenate(sources.read_chunks(config, 2)).flux, plain.flux)


def test_values_that_are_not_numbers_have_no_weight(tmp_path, config):
    flux, ivar = np.random.default_rng(0).normal(size=(1, 443)), np.ones((1, 443))
    flux[0, 5], flux[0, 6], ivar[0, 7], ivar[0, 8] = np.nan, np.inf, np.nan, -2
    write_spectra(tmp_path / "data.fits", [3], flux, ivar)
    spectra = sources.read(config)
    flux[0, 5:9] = ivar[0, 5:9] = 0
    np.testing.assert_allclose(spectra.flux, grid.normalise(flux, ivar)[0], atol=1e-5)


def test_truth_rows_that_agree_are_one(config, tmp_path):
    write_truth(tmp_path / "truth.fits", [quasar(3), quasar(-1, z=1), quasar(3), quasar(-1, z=2)])
    assert sources.read(config).target_id.tolist() == [3]


@pytest.mark.parametrize("other", [quasar(3, z=2.6), quasar(3, flag=1, bi=9), (3, 2.5, 1, 3, 0, 0)])
def test_truth_rows_that_disagree_are_refused_with_the_id(config, tmp_path, other):
    write_truth(tmp_path / "truth.fits", [quasar(5), quasar(3), quasar(4), other])
    with pytest.raises(ValueError, match=r"truth\.fits: 3 has several rows that disagree"):
        sources.read(config)


@pytest.mark.parametrize("name", ["THING_ID", "Z_VI", "CLASS_PERSON", "Z_CONF_PERSON"])
def test_a_truth_without_a_needed_column_is_refused(config, tmp_path, name):
    write_truth(tmp_path / "truth.fits", [quasar(3)], leave_out=[name])
    for use in (sources.check, sources.read):
        with pytest.raises(ValueError, match=rf"truth\.fits: column {name} is missing, it has .*BI_CIV"):
            use(config)


@pytest.mark.parametrize("key", ["spectra", "truth"])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, ValueError, "is missing"),
        (5, ValueError, "found 5, expected a path or a list of paths"),
        ([], ValueError, r"found \[\], expected a path"),
        ("nowhere.fits", FileNotFoundError, "nowhere.fits: no such file"),
        ("none-*.fits", FileNotFoundError, r"no file matches none-\*.fits"),
    ],
)
def test_paths_that_lead_nowhere_are_refused(config, key, value, error, message):
    config[key] = value
    for use in (sources.check, sources.read):
        with pytest.raises(error, match=rf"data\.{key}.*{message}"):
            use(config)


@pytest.mark.parametrize("key", ["spectra", "truth"])
@pytest.mark.parametrize("content", [b"", b"not a FITS file, but of some length", "half", "half.gz"])
def test_damaged_files_are_refused_by_name(config, key, content, tmp_path):
    path = Path(config[key][0])
    whole = path.read_bytes()
    if content == "half.gz":
        path, whole = path.with_suffix(".fits.gz"), gzip.compress(whole)
    path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    config[key] = str(path)
    for use in (sources.check, sources.read):
        with pytest.raises((ValueError, OSError), match=path.name):
            use(config)


def test_a_file_cut_within_its_last_table_is_refused(config):
    path = Path(config["spectra"][0])
    path.write_bytes(path.read_bytes()[:-2880])
    for use in (sources.check, sources.read):
        with pytest.raises(OSError, match=path.name):
            use(config)


def test_an_image_of_another_width_is_refused(config):
    fits.HDUList([fits.PrimaryHDU(np.ones((2, 500))), table({"TARGETID": ("K", [1, 2])})]).writeto(
        config["spectra"][0], overwrite=True
    )
    with pytest.raises(ValueError, match=r"data\.fits: .*\(2, 500\), expected \(n, 886\) or \(n, 916\)"):
        sources.check(config)


def test_spectra_on_the_linear_grid_are_read_as_such(config):
    rng = np.random.default_rng(3)
    flux, ivar = rng.normal(3, 1, (5, 458)), rng.uniform(0.5, 2, (5, 458))
    write_spectra(Path(config["spectra"][0]), [3, 1, 4, 2, 5], flux, ivar)
    linear = config | {"grid": grid.LINEAR.to_json()}
    sources.check(linear)
    np.testing.assert_allclose(sources.read(linear).flux, grid.normalise(flux, ivar)[0], atol=1e-5)
    for read in (sources.check, sources.read):
        with pytest.raises(ValueError, match=r"data\.fits: its spectra have 458 bins, expected 443 bins of 0\.001"):
            read(config)


def test_truth_in_place_of_spectra_is_refused(config):
    with pytest.raises(ValueError, match=r"truth\.fits: .*expected \(n, 886\) or \(n, 916\)"):
        sources.check(config | {"spectra": config["truth"]})


def test_image_and_table_of_different_length_are_refused(config):
    fits.HDUList([fits.PrimaryHDU(np.ones((2, 886))), table({"TARGETID": ("K", [1, 2, 3])})]).writeto(
        config["spectra"][0], overwrite=True
    )
    with pytest.raises(ValueError, match=r"data\.fits: its image has 2 rows, its table 3"):
        sources.check(config)
