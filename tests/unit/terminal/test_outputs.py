"""Outputs: what a command reads stays, by whatever name it is called, and other files stay unless told."""

import os
import re

import pytest

from quasarcurves.terminal.outputs import check_output


@pytest.fixture
def files(tmp_path):
    (tmp_path / "spectra").mkdir()
    for name in ("coadd.fits", "weights.h5", "other.fits", "spectra/spec.fits"):
        (tmp_path / name).write_bytes(b"kept")
    (tmp_path / "link.fits").symlink_to("coadd.fits")
    os.link(tmp_path / "coadd.fits", tmp_path / "hard.fits")
    return tmp_path


@pytest.mark.parametrize("name", ["coadd.fits", "link.fits", "hard.fits", "spectra/spec.fits", "spectra/../coadd.fits"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_replaced(files, name, overwrite):
    inputs = [files / "weights.h5", files / "coadd.fits", files / "spectra"]
    with pytest.raises(ValueError, match=re.escape(name) + ".*is read as input"):
        check_output(files / name, inputs, overwrite, (".fits",))


def test_another_file_is_replaced_only_when_told(files):
    with pytest.raises(ValueError, match=r"other\.fits: exists; expected another name, or --overwrite"):
        check_output(files / "other.fits", [files / "coadd.fits"], False, (".fits",))
    check_output(files / "other.fits", [files / "coadd.fits"], True, (".fits",))
    check_output(files / "new.fits", [files / "missing.fits"], False, (".fits",))


def test_a_name_of_another_format_is_refused(files):
    with pytest.raises(ValueError, match=r"out\.csv: expected a name that ends in \.fits or \.fits\.gz"):
        check_output(files / "out.csv", [], True, (".fits", ".fits.gz"))
