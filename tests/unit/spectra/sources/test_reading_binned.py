"""Reading spectra to be classified: without catalogue or truth, every spectrum, and which source reads a file."""

import shutil

import numpy as np
import pytest
from astropy.io import fits

from quasarcurves.spectra import grid, sources


@pytest.fixture
def configs(made_up, tmp_path):
    """The `data` block of a study per source, with few spectra."""
    with fits.open(made_up / "boss_like" / "data.fits") as hdus:
        image = np.array(hdus[0].data)
        without_ivar = np.flatnonzero((image[:, 443:] == 0).all(axis=1))[:10]
        rows = np.sort(np.concatenate([np.arange(1000, 1140), without_ivar]))
        few = [fits.PrimaryHDU(image[rows]), fits.BinTableHDU(hdus[1].data[rows])]
        fits.HDUList(few).writeto(tmp_path / "data.fits")
    with fits.open(made_up / "desi" / "test_coadd.fits") as hdus:
        hdus.writeto(tmp_path / "coadd-1.fits")
        hdus.writeto(tmp_path / "coadd-2.fits")
    sdss = made_up / "sdss_spec"
    return {
        "quasarnet_fits": {
            "spectra": [str(tmp_path / "data.fits")],
            "truth": [str(made_up / "boss_like" / "truth.fits")],
        },
        "sdss": {"spectra": f"{sdss}/spec-9367-*", "catalogue": str(sdss / "catalogue.csv")},
        "desi": {"spectra": str(tmp_path / "coadd-*.fits")},
    }


def read_all(config, rows):
    chunks = list(sources.read_binned(config, rows))
    key, flux, ivar = (np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in ("key", "flux", "ivar"))
    return key, flux, ivar, [chunk.done for chunk in chunks]


@pytest.mark.parametrize("source", sources.file_sources())
def test_every_spectrum_is_read_without_truth(configs, source):
    alone = {"source": source, "spectra": configs[source]["spectra"]}
    sources.check_spectra(alone)
    key, flux, ivar, done = read_all(alone, 4)
    assert len(key) == {"quasarnet_fits": 150, "sdss": 5, "desi": 50}[source]
    assert (np.diff(done) > 0).all()
    assert 0 < done[0] < 1
    assert done[-1] == 1
    # those that a study keeps are among them, in the same order and alike
    kept = sources.read({"source": source, **configs[source]})
    normalised, usable = grid.normalise(flux, ivar)
    assert not usable.all() or source == "sdss"
    if source == "sdss":
        known = np.ones(5, bool)
    else:
        known = usable & np.isin(key, kept.target_id)
        np.testing.assert_array_equal(key[known], kept.target_id)
    np.testing.assert_array_equal(normalised[known], kept.flux)


@pytest.mark.parametrize("source", sources.file_sources())
def test_the_size_of_a_chunk_changes_nothing(configs, source):
    alone = {"source": source, "spectra": configs[source]["spectra"]}
    for found, expected in zip(read_all(alone, 3)[:3], read_all(alone, 1000)[:3], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_sdss_spectra_are_known_by_plate_mjd_and_fibre(configs):
    key = read_all({"source": "sdss", "spectra": configs["sdss"]["spectra"]}, 9)[0]
    assert key[0] == 9367_57758_0345


@pytest.mark.parametrize("source", sources.file_sources())
def test_the_source_of_a_file_is_found(configs, source):
    spectra = configs[source]["spectra"]
    assert sources.guess(spectra if isinstance(spectra, list) else [spectra]) == source


def test_a_folder_of_spec_files_is_of_sdss(made_up, tmp_path):
    assert sources.guess([str(made_up / "sdss_spec")]) == "sdss"
    shutil.copy(made_up / "sdss_spec" / "spec-3655-55240-0026.fits.gz", tmp_path)
    assert sources.guess([str(tmp_path / "spec-*.gz")]) == "sdss"


def test_a_file_of_no_source_is_refused_with_what_each_misses(tmp_path):
    path = tmp_path / "other.fits"
    fits.PrimaryHDU(np.zeros((3, 5))).writeto(path)
    with pytest.raises(
        ValueError, match=r"(?s)other\.fits: no source reads it\n  desi: .*\n  quasarnet_fits: .*\n  sdss: "
    ):
        sources.guess([str(path)])
    with pytest.raises(FileNotFoundError, match=r"none\.fits"):
        sources.guess([str(tmp_path / "none.fits")])


def test_simulated_spectra_are_in_no_file():
    for use in (sources.check_spectra, lambda config: next(sources.read_binned(config))):
        with pytest.raises(
            ValueError, match=r"data\.source is 'simulated', expected one of desi, quasarnet_fits, sdss"
        ):
            use({"source": "simulated", "n_spectra": 3})
