"""SDSS spec files: a folder of them, rebinning by hand, masks, ids, classes, and bad files."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from quasarcurves.spectra import grid, sources
from quasarcurves.spectra.sources import sdss
from quasarcurves.spectra.table import Spectra
from support import spectra_files
from support.spectra_files import compress, table

LOGLAM = 3.55 + 1e-4 * np.arange(4600)
N_PIXELS = len(LOGLAM)


def write_spec(path, seed=0, flux=None, ivar=None, and_mask=None, leave_out=()):
    rng = np.random.default_rng(seed)
    flux = rng.normal(5, 1, N_PIXELS) if flux is None else flux
    ivar = rng.uniform(0.5, 2, N_PIXELS) if ivar is None else ivar
    spectra_files.write_spec(path, LOGLAM, flux, ivar, and_mask, leave_out)
    return flux.astype(np.float32).astype(float), ivar.astype(np.float32).astype(float)


def write_catalogue(path, text):
    path.write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")


@pytest.fixture
def config(tmp_path):
    """Three quasars of one plate in a folder and a CSV catalogue."""
    folder = tmp_path / "spectra"
    folder.mkdir()
    for fiber in (1, 2, 30):
        write_spec(folder / f"spec-3655-55240-{fiber:04d}.fits", seed=fiber)
    write_catalogue(
        tmp_path / "catalogue.csv",
        """PLATE,mjd,Fiber,z,class,thing_id
        3655,55240,30,3.0,QSO,530
        3655,55240,1,2.0,QSO,501
        3655,55240,2,0.2,GALAXY,502""",
    )
    return {"source": "sdss", "spectra": str(folder), "catalogue": str(tmp_path / "catalogue.csv")}


def test_all_spectra_of_a_folder_come_through(survey):
    folder = survey / "sdss_spec"
    config = {"source": "sdss", "spectra": str(folder), "catalogue": str(folder / "catalogue.csv")}
    sources.check(config)
    spectra = sources.read(config)
    assert len(spectra) == 40
    assert spectra.rejected == {}
    assert len(np.unique(spectra.target_id)) == 38
    catalogue = np.genfromtxt(folder / "catalogue.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    np.testing.assert_array_equal(spectra.target_id, catalogue["thing_id"])
    np.testing.assert_allclose(spectra.z, catalogue["z"])
    quasar = catalogue["class"] == "QSO"
    np.testing.assert_array_equal(spectra.is_quasar, quasar)
    np.testing.assert_array_equal(spectra.label[quasar], np.where(catalogue["z"] < 2.1, 2, 3)[quasar])
    assert not spectra.bal.any()
    # ten native pixels make a bin: S/N grows by their square root, less what is masked
    ratio = spectra.snr / catalogue["sn_median_all"]
    assert np.all((ratio > 2) & (ratio < 4))


def test_a_spectrum_equals_rebinning_its_pixels_by_hand(survey):
    path = survey / "sdss_spec" / "spec-3655-55240-0054.fits.gz"
    with fits.open(path) as hdus:
        pixels = hdus[1].data
        index = np.floor((pixels["LOGLAM"].astype(float) - np.log10(3600)) / 1e-3).astype(int)
        ivar = np.where(pixels["AND_MASK"] & 2**25, 0, pixels["IVAR"]).astype(float)
        inside = (index >= 0) & (index < 443)
        total = np.bincount(index[inside], ivar[inside], 443)
        weighted = np.bincount(index[inside], (ivar * pixels["FLUX"])[inside], 443)
    expected = grid.normalise((weighted / np.where(total > 0, total, 1))[None], total[None])[0]
    config = {"spectra": str(path), "catalogue": str(path.parent / "catalogue.csv")}
    np.testing.assert_allclose(sources.read({"source": "sdss", **config}).flux, expected, atol=1e-5)


def test_rows_are_found_by_plate_mjd_and_fibre(config):
    spectra = sources.read(config)
    assert spectra.target_id.tolist() == [501, 502, 530]
    assert spectra.z.tolist() == [2.0, 0.2, 3.0]
    assert spectra.label.tolist() == [2, 1, 3]


def test_only_bit_25_of_the_mask_takes_pixels_out(config, tmp_path):
    mask = np.zeros(N_PIXELS, np.int32)
    mask[1000:1200] = 1 << 25
    mask[1300:1400] = (1 << 25) | 5
    mask[2000:2500] = (1 << 24) | (1 << 26)
    flux = np.random.default_rng(1).normal(5, 1, N_PIXELS)
    flux[1000:1200] = 1e4
    path = tmp_path / "spectra" / "spec-3655-55240-0001.fits"
    flux, ivar = write_spec(path, flux=flux, and_mask=mask)
    ivar[1000:1200] = ivar[1300:1400] = 0
    wavelength = 10 ** LOGLAM.astype(np.float32).astype(float)
    expected = grid.normalise(*grid.rebin(wavelength, flux, ivar))[0]
    np.testing.assert_allclose(sources.read(config | {"spectra": str(path)}).flux, expected, atol=1e-6)


def test_every_reason_to_reject_is_counted(config, tmp_path):
    folder = tmp_path / "spectra"
    write_spec(folder / "spec-3655-55240-0001.fits", ivar=np.zeros(N_PIXELS))
    write_spec(folder / "spec-3655-55240-0002.fits", flux=np.full(N_PIXELS, 1.7))
    write_spec(folder / "spec-3655-55241-0030.fits")
    write_spec(folder / "spec-3656-55240-0030.fits")
    spectra = sources.read(config)
    assert spectra.rejected == {"zero_ivar": 1, "constant_flux": 1, "not_in_truth": 2}
    assert spectra.target_id.tolist() == [530]


@pytest.mark.parametrize(
    ("name", "z", "label"),
    [
        ("STAR", 0, 0),
        ("galaxy", 0.3, 1),
        (" Qso ", 2.0999, 2),
        ("QSO", 2.1, 3),
        ("b'QSO'", 2.5, 3),
        ("QSO", "", 4),
    ],
)
def test_classes(config, tmp_path, name, z, label):
    write_catalogue(tmp_path / "catalogue.csv", f"plate,mjd,fiberid,z,class\n3655,55240,1,{z},{name}")
    assert sources.read(config).label.tolist() == [label]


@pytest.mark.parametrize("name", ["BLAZAR", ""])
def test_unknown_classes_are_bad_and_counted_or_refused_if_there_is_no_other(config, tmp_path, caplog, name):
    path = tmp_path / "catalogue.csv"
    write_catalogue(path, f"plate,mjd,fiberid,z,class\n3655,55240,1,1,{name}\n3655,55240,2,1,STAR")
    assert sorted(sources.read(config).label.tolist()) == [0, 4]
    assert f"1 objects of other classes are BAD: '{name}' (1)" in caplog.text
    write_catalogue(path, f"plate,mjd,fiberid,z,class\n3655,55240,1,1,{name}")
    with pytest.raises(ValueError, match=rf"catalogue\.csv: column CLASS: no class is known, found '{name}' \(1\)"):
        sources.read(config)


def test_ids_without_a_thing_id_are_unique_and_those_with_one_keep_it(config, tmp_path):
    write_catalogue(
        tmp_path / "catalogue.csv",
        """plate,mjd,fiberid,z,class,thing_id
        3655,55240,30,3.0,QSO,-1
        3655,55240,1,2.0,QSO,77
        3655,55240,2,0.2,GALAXY,""",
    )
    assert sources.read(config).target_id.tolist() == [77, 3655_55240_0002, 3655_55240_0030]


def test_bals_follow_the_flag_and_the_index_if_both_are_there(config, tmp_path):
    table = "plate,mjd,fiberid,z,class,bal_flag_vi,bi_civ\n3655,55240,1,2,QSO,1,50\n3655,55240,2,2,QSO,0,0\n"
    write_catalogue(tmp_path / "catalogue.csv", table + "3655,55240,30,2,QSO,1,0")
    assert sources.read(config).bal.tolist() == [1, -1, 0]
    write_catalogue(tmp_path / "catalogue.csv", table.replace("bi_civ", "bi_civ_catalogue"))
    assert sources.read(config).bal.tolist() == [0, 0]


def test_a_fits_catalogue_gives_the_same_as_a_csv_one(config, tmp_path):
    columns = {"PLATE": ("J", [3655] * 3), "MJD": ("J", [55240] * 3), "FIBERID": ("J", [1, 2, 30])}
    columns |= {"THING_ID": ("K", [501, 502, 530]), "Z": ("E", [2.0, 0.2, 3.0])}
    columns |= {"CLASS": ("6A", ["QSO", "GALAXY", "QSO"])}
    table(columns).writeto(tmp_path / "catalogue.fits")
    from_fits = config | {"catalogue": str(tmp_path / "catalogue.fits")}
    sources.check(from_fits)
    one, other = sources.read(config), sources.read(from_fits)
    np.testing.assert_array_equal(one.target_id, other.target_id)
    np.testing.assert_array_equal(one.label, other.label)
    np.testing.assert_allclose(one.z, other.z, rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 3, 10])
def test_the_result_does_not_depend_on_the_size_of_chunks(config, rows):
    chunks = list(sources.read_chunks(config, rows))
    assert len(chunks) == -(-3 // rows)
    np.testing.assert_array_equal(Spectra.concatenate(chunks).flux, sources.read(config).flux)


def test_folder_glob_list_and_gzip_give_the_same(config, tmp_path):
    whole = sources.read(config).flux
    folder = tmp_path / "spectra"
    (folder / "notes.txt").write_text("not a spectrum")
    compress(folder / "spec-3655-55240-0002.fits")
    names = ["0001.fits", "0002.fits.gz", "0030.fits"]
    for spectra in (
        str(folder),
        str(folder / "spec-3655-*"),
        [str(folder / f"spec-3655-55240-{name}") for name in names],
    ):
        sources.check(config | {"spectra": spectra})
        np.testing.assert_array_equal(sources.read(config | {"spectra": spectra}).flux, whole)


@pytest.mark.parametrize("key", ["spectra", "catalogue"])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, ValueError, "is missing"),
        ({"a": 1}, ValueError, "expected a path"),
        ("nowhere/spec-1-2-3.fits", FileNotFoundError, "no such file"),
        ("nowhere/spec-*.fits", FileNotFoundError, "no file matches"),
    ],
)
def test_paths_that_lead_nowhere_are_refused(config, key, value, error, message):
    with pytest.raises(error, match=rf"data\.{key}.*{message}"):
        sources.check(config | {key: value})


def test_a_folder_without_spectra_is_refused(config, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no file spec-\*\.fits\* in the folder .*empty"):
        sources.check(config | {"spectra": str(tmp_path / "empty")})


@pytest.mark.parametrize("name", ["spectrum.fits", "spec-3655-55240.fits"])
def test_other_names_are_refused(config, tmp_path, name):
    write_spec(tmp_path / "spectra" / name)
    for use in (sources.check, sources.read):
        with pytest.raises(ValueError, match=f"{name}: .*expected"):
            use(config | {"spectra": str(tmp_path / "spectra" / name)})


@pytest.mark.parametrize("name", ["FLUX", "LOGLAM", "IVAR", "AND_MASK"])
def test_a_spectrum_without_a_needed_column_is_refused(config, tmp_path, name):
    write_spec(tmp_path / "spectra" / "spec-3655-55240-0002.fits", leave_out=[name])
    for use in (sources.check, sources.read):
        with pytest.raises(ValueError, match=rf"0002\.fits: column {name} is missing, it has "):
            use(config)


@pytest.mark.parametrize("name", ["plate", "mjd", "fiber", "z", "class"])
def test_a_catalogue_without_a_needed_column_is_refused(config, tmp_path, name):
    path = tmp_path / "catalogue.csv"
    path.write_text(path.read_text().lower().replace(f"{name},", f"other_{name},"))
    for use in (sources.check, sources.read):
        with pytest.raises(ValueError, match=rf"(?i)catalogue\.csv: column .*{name}.* is missing, it has .*thing_id"):
            use(config)


def test_a_catalogue_with_text_for_a_number_is_refused(config, tmp_path):
    write_catalogue(tmp_path / "catalogue.csv", "plate,mjd,fiberid,z,class\n3655,55240,1,high,QSO")
    with pytest.raises(ValueError, match=r"catalogue\.csv: cannot be read.*high"):
        sources.read(config)


def test_catalogue_rows_that_disagree_are_refused(config, tmp_path):
    write_catalogue(
        tmp_path / "catalogue.csv",
        "plate,mjd,fiberid,z,class\n3655,55240,1,2,QSO\n3655,55240,1,2,QSO\n3655,55240,1,2.5,QSO",
    )
    with pytest.raises(ValueError, match=r"3655552400001 has several rows that disagree"):
        sources.read(config)


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz"])
@pytest.mark.parametrize("share", [0, 0.02, 0.6])
def test_a_damaged_spectrum_is_refused_by_name(config, tmp_path, suffix, share):
    plain = tmp_path / "spectra" / "spec-3655-55240-0002.fits"
    whole = plain.read_bytes()
    if suffix == ".fits.gz":
        whole = gzip.compress(whole)
        plain.unlink()
    path = plain.with_name(f"spec-3655-55240-0002{suffix}")
    path.write_bytes(whole[: int(share * len(whole))])
    for use in (sources.check, sources.read):
        with pytest.raises((ValueError, OSError), match=r"spec-3655-55240-0002\.fits"):
            use(config)


def test_a_gzip_file_without_its_last_bytes_is_refused_when_the_study_is_read(config, tmp_path):
    plain = tmp_path / "spectra" / "spec-3655-55240-0002.fits"
    plain.with_suffix(".fits.gz").write_bytes(gzip.compress(plain.read_bytes())[:-6])
    plain.unlink()
    with pytest.raises(OSError, match=r"0002\.fits\.gz: cannot be read"):
        sources.check(config)


def test_files_of_sdss_v_are_found_by_catalogue_id(config, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    ids = [27021598108289694, 27021598108289695, 4375786580]
    for name, each in zip(["017057-59631", "allepoch-60000", "15000-59146"], ids, strict=True):
        write_spec(folder / f"spec-{name}-{each}.fits", seed=each % 97)
    (folder / f"spec-15000-59146-{ids[2]}.fits").rename(folder / f"spec-15000-59146-{ids[2]}.FITS")
    write_catalogue(
        tmp_path / "catalogue.csv",
        f"""FIELD,MJD,CATALOGID,Z,CLASS
        17057,59631,{ids[0]},2.5,QSO
        17057,59631,{ids[1]},0,STAR
        15000,59146,{ids[2]},0.3,GALAXY""",
    )
    config["spectra"] = str(folder)
    sources.check(config)
    spectra = sources.read(config)
    assert dict(zip(spectra.target_id.tolist(), spectra.label.tolist(), strict=True)) == dict(
        zip(ids, [3, 0, 1], strict=True)
    )
    assert spectra.rejected == {}


def test_copies_of_files_are_their_originals(config, tmp_path):
    folder = tmp_path / "spectra"
    (folder / "spec-3655-55240-0001.fits").rename(folder / "spec-3655-55240-0001 (1).fits")
    assert sorted(sources.read(config).target_id.tolist()) == [501, 502, 530]


def test_files_of_any_name_are_read_where_no_catalogue_is_needed(config, tmp_path):
    folder = tmp_path / "spectra"
    (folder / "spec-3655-55240-0002.fits").rename(folder / "quasar.fits")
    spectra = [str(folder / "spec-3655-55240-0001.fits"), str(folder / "quasar.fits")]
    (binned,) = sources.read_binned({"source": "sdss", "spectra": spectra})
    assert binned.key.tolist() == [3655_55240_0001, 1]


def test_a_catalogue_of_quasars_has_no_classes(config, tmp_path):
    write_catalogue(
        tmp_path / "catalogue.csv",
        """PLATE,MJD,FIBERID,Z,IS_QSO_FINAL,THING_ID
        3655,55240,1,2.5,1,501
        3655,55240,2,1.0,1,502
        3655,55240,30,0.4,-2,530""",
    )
    sources.check(config)
    assert sources.read(config).label.tolist() == [3, 2, 4]


def test_spectra_are_put_on_the_grid_asked_for(config, tmp_path):
    spectra = sources.read({**config, "grid": grid.LINEAR.to_json()})
    assert (spectra.grid, len(spectra)) == (grid.LINEAR, len(sources.read(config)))
    path = sdss.spectra_files(config)[0]
    with fits.open(path) as hdus:
        pixels = hdus[1].data
        ivar = np.where(pixels["AND_MASK"] & (1 << 25), 0.0, pixels["IVAR"])
        expected = grid.rebin(10 ** pixels["LOGLAM"].astype(float), pixels["FLUX"], ivar, grid.LINEAR)
    for found, wanted in zip(sdss.read_spectrum(path, grid.LINEAR), expected, strict=True):
        np.testing.assert_allclose(found, wanted[0], rtol=1e-6, atol=1e-6)
