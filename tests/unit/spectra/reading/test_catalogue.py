"""Tables of objects: whole numbers that are exact or refused, CSV as the world writes it, compression by content."""

import bz2
import gzip
import lzma

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from quasarcurves.spectra.reading import catalogue
from quasarcurves.spectra.reading.catalogue import Column
from quasarcurves.spectra.reading.file_lists import files
from support.spectra_files import table, write_csv

ID, Z = Column("TARGETID", int), Column("Z")
LARGE = 39627944567309123  # of DESI, above 2^53


def write_fits(path, kind, values):
    fits.HDUList([fits.PrimaryHDU(), table({"TARGETID": (kind, values)})]).writeto(path, overwrite=True)
    return path


def test_large_integers_stay_what_they_are(tmp_path):
    ids = [LARGE, LARGE + 1, -1, 2**63 - 1]
    for path in (
        write_fits(tmp_path / "t.fits", "K", ids),
        write_csv(tmp_path / "t.csv", ["TARGETID"], [[each] for each in ids]),
    ):
        assert catalogue.read(path, [ID])["TARGETID"].tolist() == ids


@pytest.mark.parametrize(("kind", "digits"), [("D", 53), ("E", 24)])
def test_ids_that_were_rounded_are_refused_even_if_only_some_were(tmp_path, kind, digits):
    path = write_fits(tmp_path / "t.fits", kind, [1, 2**digits - 1, 2.0**digits])
    expected = rf"t\.fits: column TARGETID holds .* in row 3, 1 such in all, .* from 2\^{digits} on are no longer exact"
    with pytest.raises(ValueError, match=expected):
        catalogue.read(path, [ID])
    write_fits(path, kind, [1, np.nan, 2**digits - 1])
    assert catalogue.read(path, [ID])["TARGETID"].tolist() == [1, -1, 2**digits - 1]


@pytest.mark.parametrize("text", [f"{LARGE}.0", "3.9627944567309e+16", "3.9627944567309E16"])
def test_ids_that_a_spreadsheet_has_rounded_are_refused(tmp_path, text):
    path = write_csv(tmp_path / "t.csv", ["TARGETID"], [[12], [text]])
    with pytest.raises(
        ValueError, match=r"t\.csv: column TARGETID holds .* in row 2, 1 such in all, expected integers"
    ):
        catalogue.read(path, [ID])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.5", "whole numbers"), ("12:30", "whole numbers"), ("inf?", "whole numbers"), ("9" * 20, "less")],
)
def test_what_is_no_whole_number_is_refused_with_its_row(tmp_path, text, expected):
    path = write_csv(tmp_path / "t.csv", ["TARGETID"], [[12], [text]])
    with pytest.raises(ValueError, match=rf"t\.csv: column TARGETID holds .*, expected {expected}"):
        catalogue.read(path, [ID])


def test_small_numbers_may_be_written_as_floating_point_and_cells_be_empty(tmp_path):
    path = write_csv(tmp_path / "t.csv", ["TARGETID", "Z"], [["12.0", 1], ["", 2], [" 7", ""], ["1e3", 3]])
    found = catalogue.read(path, [ID, Z])
    assert found["TARGETID"].tolist() == [12, -1, 7, 1000]
    np.testing.assert_array_equal(found["Z"], [1, 2, np.nan, 3])


def test_a_number_above_the_signed_range_is_refused(tmp_path):
    # FITS stores unsigned numbers as signed ones and an offset
    hdu = fits.BinTableHDU.from_columns(
        [fits.Column("TARGETID", "K", bzero=2**63, array=np.array([1, 2**63], np.uint64))]
    )
    hdu.writeto(tmp_path / "t.fits")
    with pytest.raises(ValueError, match="TARGETID holds 9223372036854775808, expected whole numbers below"):
        catalogue.read(tmp_path / "t.fits", [ID])


@given(arrays.arrays(np.float64, st.integers(1, 5), elements=st.floats(-(2.0**60), 2.0**60)))
def test_whole_numbers_are_kept_or_refused_never_changed(values):
    try:
        found = catalogue._convert(values, ID, "file")
    except ValueError:
        assert ((values != np.floor(values)) | (np.abs(values) >= 2**53)).any()
    else:
        assert (found == values).all()


def test_a_table_of_skyserver_begins_below_its_first_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("#Table1\nTARGETID,Z\n3,1.5\n")
    catalogue.check(path, [ID, Z])
    assert catalogue.read(path, [ID, Z])["Z"].tolist() == [1.5]
    assert catalogue.names(path) == {"TARGETID", "Z"}


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, bytes])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.csv.bz2"])
def test_compression_is_told_by_content_not_by_name(tmp_path, compress, name):
    (tmp_path / name).write_bytes(compress(b"TARGETID,Z\n3,1.5\n"))
    assert catalogue.read(tmp_path / name, [ID, Z])["TARGETID"].tolist() == [3]


@pytest.mark.parametrize("name", ["t.fits", "t.fits.gz"])
def test_compressed_fits_is_told_by_content_too(tmp_path, name):
    plain = write_fits(tmp_path / "plain.fits", "K", [5]).read_bytes()
    for content in (plain, gzip.compress(plain)):
        (tmp_path / name).write_bytes(content)
        catalogue.check(tmp_path / name, [ID])
        assert catalogue.read(tmp_path / name, [ID])["TARGETID"].tolist() == [5]


def test_damaged_compression_is_refused_by_name(tmp_path):
    whole = gzip.compress(b"TARGETID,Z\n" + b"3,1.5\n" * 5000)
    (tmp_path / "t.csv").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"t\.csv: cannot be read"):
        catalogue.read(tmp_path / "t.csv", [ID])


def test_a_file_counts_once_whatever_it_is_called(tmp_path):
    (tmp_path / "a.fits").write_bytes(b"1")
    (tmp_path / "b.fits").symlink_to("a.fits")
    (tmp_path / "c.fits").hardlink_to(tmp_path / "a.fits")
    (tmp_path / "d.fits").write_bytes(b"1")
    assert [path.name for path in files({"spectra": str(tmp_path / "*.fits")}, "spectra")] == ["a.fits", "d.fits"]
