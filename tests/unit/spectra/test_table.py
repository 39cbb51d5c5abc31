"""Spectra and its file: what is written comes back, and a failed write changes nothing."""

import h5py
import numpy as np
import pytest

from quasarcurves.spectra.grid import LINEAR, LOGARITHMIC
from quasarcurves.spectra.table import Spectra, check_grid, load_column, write_chunks

COLUMNS = ("flux", "z", "label", "bal", "target_id", "snr")


def make(n, seed=0, **rejected):
    rng = np.random.default_rng(seed)
    return Spectra(
        flux=rng.normal(size=(n, 443)),
        z=np.where(rng.random(n) < 0.2, np.nan, rng.uniform(0, 4, n)),
        label=rng.choice([0, 1, 2, 3, 4, 255], n),
        bal=rng.integers(-1, 2, n),
        target_id=rng.integers(0, 2**62, n),
        snr=rng.uniform(0, 20, n),
        rejected=rejected,
        source="made up",
    )


def assert_same(one, other):
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)


@pytest.mark.parametrize("n", [0, 1, 50])
def test_saved_spectra_come_back(tmp_path, n):
    spectra = make(n, zero_ivar=3)
    spectra.save(tmp_path / "spectra.h5")
    loaded = Spectra.load(tmp_path / "spectra.h5")
    assert_same(spectra, loaded)
    assert (loaded.rejected, loaded.source) == ({"zero_ivar": 3}, "made up")


@pytest.mark.parametrize("rows", [[7, 0, 3], [5, 5], []])
def test_rows_are_loaded_in_the_order_asked_for(tmp_path, rows):
    spectra = make(20)
    spectra.save(tmp_path / "spectra.h5")
    rows = np.array(rows, int)
    assert_same(Spectra.load(tmp_path / "spectra.h5", rows), spectra.take(rows))


def test_loaded_spectra_can_be_changed_without_changing_the_file(tmp_path):
    make(4).save(tmp_path / "spectra.h5")
    loaded = Spectra.load(tmp_path / "spectra.h5")
    loaded.flux[:] = 0
    assert Spectra.load(tmp_path / "spectra.h5").flux.any()


def test_chunks_written_one_by_one_equal_the_whole(tmp_path):
    chunks = [make(3, 1, zero_ivar=1), make(0, 2, not_in_truth=4), make(9000, 3, zero_ivar=2)]
    assert write_chunks(tmp_path / "spectra.h5", iter(chunks)) == (9003, {"zero_ivar": 3, "not_in_truth": 4})
    loaded = Spectra.load(tmp_path / "spectra.h5")
    assert_same(loaded, Spectra.concatenate(chunks))
    assert loaded.rejected == {"zero_ivar": 3, "not_in_truth": 4}


def test_flux_is_one_contiguous_block(tmp_path):
    make(5).save(tmp_path / "spectra.h5")
    with h5py.File(tmp_path / "spectra.h5") as file:
        assert file["flux"].chunks is None
        assert file["flux"].dtype == np.float32


@pytest.mark.parametrize("name", ["flux", "z", "label", "target_id"])
@pytest.mark.parametrize("rows", [None, [4, 0, 0, 2], []])
def test_one_column_can_be_loaded_alone(tmp_path, name, rows):
    spectra = make(5)
    spectra.save(tmp_path / "spectra.h5")
    rows = rows if rows is None else np.array(rows, np.uint32)
    expected = getattr(spectra if rows is None else spectra.take(rows), name)
    np.testing.assert_array_equal(load_column(tmp_path / "spectra.h5", name, rows), expected, strict=True)


def test_flux_that_is_stored_in_chunks_is_refused(tmp_path):
    make(4).save(tmp_path / "spectra.h5")
    with h5py.File(tmp_path / "spectra.h5", "a") as file:
        flux = file["flux"][:]
        del file["flux"]
        file.create_dataset("flux", data=flux, chunks=(2, 443))
    with pytest.raises(ValueError, match=r"spectra\.h5: its flux is stored in chunks, expected one contiguous block"):
        Spectra.load(tmp_path / "spectra.h5")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    def chunks():
        yield make(3, 2)
        raise RuntimeError("the disk of the telescope is full")

    old = make(4)
    old.save(tmp_path / "spectra.h5")
    with pytest.raises(RuntimeError, match="telescope"):
        write_chunks(tmp_path / "spectra.h5", chunks())
    assert_same(Spectra.load(tmp_path / "spectra.h5"), old)
    assert [path.name for path in tmp_path.iterdir()] == ["spectra.h5"]


def test_a_file_of_something_else_is_refused_by_name(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["flux"] = np.ones(3)
    with pytest.raises(ValueError, match=r"other\.h5: not a file of spectra, z, label"):
        Spectra.load(tmp_path / "other.h5")


def test_a_file_of_no_grid_is_refused(tmp_path):
    make(2).save(tmp_path / "spectra.h5")
    with h5py.File(tmp_path / "spectra.h5", "a") as file:
        file.attrs["grid"] = '{"n_bins": 500}'
    with pytest.raises(ValueError, match=r"spectra\.h5: its attribute grid .*500.*expected start"):
        Spectra.load(tmp_path / "spectra.h5")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("flux", np.ones((4, 442)), r"\(4, 442\), expected \(n, 443\)"),
        ("z", np.ones(3), "z has 3 rows, flux has 4"),
    ],
)
def test_columns_that_do_not_fit_are_refused(column, value, message):
    columns = {name: getattr(make(4), name) for name in COLUMNS} | {column: value}
    with pytest.raises(ValueError, match=message):
        Spectra(**columns)


def test_quasars_are_the_two_trusted_quasar_labels():
    spectra = make(6)
    spectra.label = np.array([0, 1, 2, 3, 4, 255], np.uint8)
    np.testing.assert_array_equal(spectra.is_quasar, [False, False, True, True, False, False])


def test_spectra_on_the_linear_grid_come_back(tmp_path):
    usual = make(6)
    columns = {name: getattr(usual, name) for name in COLUMNS}
    linear = Spectra(**columns | {"flux": np.random.default_rng(0).normal(size=(6, 458))}, grid=LINEAR)
    write_chunks(tmp_path / "spectra.h5", [linear.take(np.arange(4)), linear.take(np.array([4, 5]))])
    loaded = Spectra.load(tmp_path / "spectra.h5")
    assert_same(linear, loaded)
    assert (loaded.grid, Spectra.concatenate([loaded, loaded]).grid) == (LINEAR, LINEAR)
    check_grid(tmp_path / "spectra.h5", LINEAR)
    with pytest.raises(ValueError, match=r"spectra\.h5: .* 458 bins of 13\.6 Angstrom .*, expected 443 bins of 0\.001"):
        check_grid(tmp_path / "spectra.h5", LOGARITHMIC)
    with pytest.raises(ValueError, match=r"flux has shape \(6, 458\), expected \(n, 443\)"):
        Spectra(**columns | {"flux": linear.flux})
