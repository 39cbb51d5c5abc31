"""DESI's files as desispec itself writes them, read as desispec itself reads them."""

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from environments import ROOT, Environment

from quasarcurves.spectra.grid import LINEAR, LOGARITHMIC
from quasarcurves.spectra.sources import desi

pytestmark = [pytest.mark.slow, pytest.mark.package]

SPECTRA, COADD, ACROSS = "spectra-main-dark-1.fits", "coadd-main-dark-1.fits", "coadd-brz.fits"
FILES = (SPECTRA, f"{SPECTRA}.gz", COADD, ACROSS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What `desispec_files.py` writes, in an environment with desispec."""
    environment = Environment(tmp_path_factory.mktemp("desispec"))
    venv.create(environment.folder, symlinks=True)
    lock = ROOT / "requirements" / "desispec.txt"
    pip = [sys.executable, "-m", "pip", "--python", environment.folder / "bin" / "python", "install", "--quiet"]
    # few of the modules are imported, so few are worth compiling
    pip += ["--no-compile", "--require-hashes", "--requirement", lock]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = tmp_path_factory.mktemp("files")
    written = environment.run("python", Path(__file__).with_name("desispec_files.py"), files, cwd=files)
    assert written.returncode == 0, written.stdout + written.stderr
    return files


def bins_of(wavelength, on):
    """Number of each pixel's bin, and how many bins there are, by the two formulas."""
    if on == LINEAR:
        return np.floor(np.round((wavelength - 3600) / 13.6, 10)).astype(int), 458
    return np.floor((np.log10(wavelength) - np.log10(3600)) / 1e-3).astype(int), 443


def by_hand(read, on):
    """Target ids in the order of their first rows, flux and ivar per bin, of what desispec has read."""
    target_id = read["target_id"]
    unique, first = np.unique(target_id, return_index=True)
    unique = unique[np.argsort(first)]
    n = bins_of(np.array([4000.0]), on)[1]
    weighted, total = np.zeros((2, len(unique), n))
    for band in read["bands"]:
        wavelength, flux, ivar = (np.float64(read[f"{band}_{part}"]) for part in ("wave", "flux", "ivar"))
        index, _ = bins_of(wavelength, on)
        inside = (index >= 0) & (index < n)
        for row, each in enumerate(target_id):
            to, weight = np.flatnonzero(unique == each)[0], ivar[row, inside]
            weighted[to] += np.bincount(index[inside], weight * flux[row, inside], n)
            total[to] += np.bincount(index[inside], weight, n)
    return unique, weighted / np.where(total > 0, total, 1), total


@pytest.mark.parametrize("on", [LOGARITHMIC, LINEAR], ids=["logarithmic", "linear"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_desispec_is_what_desispec_reads(folder, name, on):
    config = {"source": "desi", "spectra": str(folder / name), "grid": on.to_json()}
    (found,) = desi.read_binned(config)
    target_id, flux, ivar = by_hand(np.load(folder / f"{name}.npz"), on)
    np.testing.assert_array_equal(found.key, target_id)
    np.testing.assert_allclose(found.ivar, ivar, rtol=1e-12)
    np.testing.assert_allclose(found.flux, flux, rtol=1e-9, atol=1e-12)
    assert len(target_id) == 3
    # the logarithmic grid goes on where DESI's wavelengths end
    assert (ivar > 0).mean() > 0.98


def test_cameras_together_are_cameras_apart(folder):
    """Where the cameras overlap desispec adds their pixels, with float32 between; bins add them alike.

    Pixels that are masked in all exposures are left out of the bins here: across cameras desispec calls them good.
    """
    apart, together = (next(desi.read_binned({"spectra": str(folder / name)})) for name in (COADD, ACROSS))
    read = np.load(folder / f"{COADD}.npz")
    masked = np.zeros(apart.ivar.shape)
    for band in read["bands"]:
        index, n = bins_of(read[f"{band}_wave"], LOGARITHMIC)
        masked += [np.bincount(index, weights=~good, minlength=n) for good in read[f"{band}_good"]]
    same = masked == 0
    assert 0.5 < same.mean() < 0.95
    np.testing.assert_allclose(together.ivar[same], apart.ivar[same], rtol=1e-5)
    np.testing.assert_allclose(together.flux[same], apart.flux[same], rtol=0, atol=2e-5)
    assert (together.ivar[~same] >= apart.ivar[~same]).all()


def test_exposures_are_the_coadd(folder):
    """But for the cosmic rays that desispec clips: hardly any bin has one here."""
    exposures, coadd = (next(desi.read_binned({"spectra": str(folder / name)})) for name in (SPECTRA, COADD))
    same = np.isclose(exposures.ivar, coadd.ivar, rtol=1e-5)
    assert same.mean() > 0.95
    np.testing.assert_allclose(exposures.flux[same], coadd.flux[same], rtol=0, atol=1e-4)
