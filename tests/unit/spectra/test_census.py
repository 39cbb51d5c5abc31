"""Spectra are counted in chunks: classes, what is there twice, and what contradicts itself."""

import tracemalloc

import numpy as np
import pytest

from quasarcurves.spectra import Spectra, census
from quasarcurves.spectra.sources import read
from quasarcurves.spectra.table import BAD, GALAXY, QSO_HIGH, QSO_LOW, STAR


def planted(label, z=None, target_id=None, rejected=None):
    n = len(label)
    flux = np.random.default_rng(1).normal(size=(n, 443))
    z = np.zeros(n) if z is None else z
    target_id = np.arange(n) if target_id is None else target_id
    return Spectra(flux, z, label, np.zeros(n), target_id, np.ones(n), rejected or {})


@pytest.fixture(scope="module")
def simulated():
    return read({"source": "simulated", "n_spectra": 300, "seed": 1})


def chunks(spectra, rows):
    for start in range(0, len(spectra), rows):
        yield spectra.take(np.arange(start, min(start + rows, len(spectra))))


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_the_size_of_chunks_changes_nothing(simulated, rows):
    whole, parts = census.take([simulated]), census.take(chunks(simulated, rows))
    assert whole.classes == parts.classes
    for name, column in whole.columns.items():
        np.testing.assert_array_equal(column, parts.columns[name])
    np.testing.assert_array_equal(whole.examples.target_id, parts.examples.target_id)
    np.testing.assert_array_equal(whole.examples.flux, parts.examples.flux)


def test_a_prepared_file_gives_the_same_as_the_source(simulated, tmp_path, monkeypatch):
    monkeypatch.setattr(census, "_CHUNK_ROWS", 64)
    simulated.rejected = {"no signal": 3}
    simulated.save(tmp_path / "spectra.h5")
    one, other = census.take([simulated]), census.take(census.of_file(tmp_path / "spectra.h5"))
    assert (one.classes, one.rejected) == (other.classes, other.rejected)
    assert other.rejected == {"no signal": 3}
    np.testing.assert_array_equal(one.examples.target_id, other.examples.target_id)


def test_examples_are_24_and_of_every_class(simulated):
    examples = census.take([simulated]).examples
    assert len(examples) == census.EXAMPLES == 24
    counts = np.unique(examples.label, return_counts=True)[1]
    assert len(counts) == 5 and counts.max() - counts.min() <= 1


def test_few_spectra_are_all_examples():
    assert len(census.take([planted([STAR, GALAXY, QSO_LOW])]).examples) == 3


def test_reasons_add_up_over_chunks_and_classes_are_named():
    parts = [
        planted([STAR, BAD], rejected={"no truth": 1}),
        planted([QSO_LOW], rejected={"no truth": 2, "constant": 1}),
    ]
    found = census.take(parts)
    assert found.rejected == {"no truth": 3, "constant": 1}
    assert found.classes == {"star": 1, "quasar z < 2.1": 1, "not trusted": 1}
    assert len(found) == 3


def test_objects_that_contradict_themselves_are_found():
    # 1: star and quasar; 2: one galaxy twice; 3: quasars 6,100 km/s apart; 4: 5,900; 5: not trusted; 6: across z = 2.1
    target_id = [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    label = [STAR, QSO_LOW, GALAXY, GALAXY, QSO_LOW, QSO_LOW, QSO_LOW, QSO_LOW, BAD, QSO_LOW, QSO_LOW, QSO_HIGH]
    z = np.array([0, 1, 0.5, 0.5, 1, 1, 1, 1, 0, 1, 2.0999, 2.1001])
    z[5], z[7] = 1 + 2 * 6100 / 3e5, 1 + 2 * 5900 / 3e5
    found = census.take([planted(label, z, target_id)])
    assert {kind: ids.tolist() for kind, ids in found.conflicts().items()} == {"class": [1], "redshift": [3]}
    assert found.repeated_observations == 6


def test_copies_under_another_id_are_found_and_repeats_are_not():
    spectra = planted([STAR] * 6, target_id=[1, 2, 3, 4, 5, 5])
    spectra.flux[[1, 2]] = spectra.flux[0]  # 1, 2 and 3
    spectra.flux[5] = spectra.flux[4]  # the same object
    assert census.take([spectra]).copies == 2


@pytest.mark.parametrize("parts", [[], [planted([], rejected={"no truth": 4})]])
def test_no_spectrum_at_all_is_an_error_with_the_reasons(parts):
    with pytest.raises(ValueError, match="no usable spectra" + (".*no truth 4" if parts else ".*none")):
        census.take(parts)


def test_memory_is_that_of_a_chunk_not_of_all_spectra():
    chunk = planted(np.arange(512) % 5)
    tracemalloc.start()
    try:
        found = census.take(chunk for _ in range(100))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 51_200
    # the columns take 37 bytes of a spectrum, twice while they are joined; its flux would take 1,772
    assert peak < 8 * chunk.flux.nbytes < 100 * chunk.flux.nbytes / 10
