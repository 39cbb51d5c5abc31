"""Rows of a block: those asked for, bit for bit, and not a byte of the others."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.spectra import row_reader
from quasarcurves.spectra.row_reader import ALIGNMENT, read_rows

N, WIDTH, OFFSET = 200, 5, 2 * 1024 + 8
quickly = settings(max_examples=100, deadline=None)


@pytest.fixture(scope="module")
def block():
    """Any bits at all, NaNs and infinities among them."""
    return np.random.default_rng(1).integers(0, 2**32, (N, WIDTH), np.uint32).view(np.float32)


@pytest.fixture(scope="module")
def path(block, tmp_path_factory):
    path = tmp_path_factory.mktemp("blocks") / "block"
    path.write_bytes(b"x" * OFFSET + block.tobytes() + b"after it")
    return path


def assert_same_bits(one, other):
    np.testing.assert_array_equal(one.view(np.uint32), other.view(np.uint32), strict=True)


def record_requests(monkeypatch):
    """Have the place and size of everything that is read recorded, in order."""
    made, preadv = [], os.preadv

    def counted(descriptor, buffers, offset):
        made.append((offset - OFFSET, sum(map(len, buffers))))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(row_reader.os, "preadv", counted)
    return made


row_sets = st.one_of(
    st.lists(st.integers(-N, N - 1), max_size=300),
    st.sets(st.integers(0, N - 1)).map(sorted),
    st.tuples(st.integers(0, N), st.integers(0, N)).map(lambda ends: list(range(*ends))),
    st.permutations(range(N)),
)


@quickly
@given(rows=row_sets, dtype=st.sampled_from([np.int64, np.int32]))
def test_rows_are_those_of_numpy(block, path, rows, dtype):
    rows = np.array(rows, dtype)
    found = read_rows(path, OFFSET, (N, WIDTH), rows)
    assert_same_bits(found, block[rows])
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert not found.size or found.ctypes.data % ALIGNMENT == 0


def test_unsigned_rows_slices_and_masks_are_rows_too(block, path):
    for rows in (np.array([7, 3, 199], np.uint32), slice(None), np.arange(N) % 3 == 0):
        assert_same_bits(read_rows(path, OFFSET, (N, WIDTH), rows), block[rows])


@pytest.mark.parametrize("ahead", [1, 3])
def test_many_runs_are_read_batch_by_batch(block, path, monkeypatch, ahead):
    monkeypatch.setattr(row_reader, "_AHEAD", ahead)
    rows = np.arange(0, N, 3)
    assert_same_bits(read_rows(path, OFFSET, (N, WIDTH), rows), block[rows])


@given(rows=row_sets.filter(bool))
@settings(max_examples=30, deadline=None)
def test_nothing_but_the_rows_is_requested(path, rows):
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = record_requests(monkeypatch)
        read_rows(path, OFFSET, (N, WIDTH), np.array(rows))
    row_bytes = 4 * WIDTH
    assert sum(size for _, size in made) == len(rows) * row_bytes
    touched = {start // row_bytes + i for start, size in made for i in range(size // row_bytes)}
    assert touched == {row % N for row in rows}
    # in the order of the file
    assert made == sorted(made)


def test_rows_that_follow_each_other_are_one_request(path, monkeypatch):
    requests = record_requests(monkeypatch)
    read_rows(path, OFFSET, (N, WIDTH), np.r_[10:60, 100:160, 180])
    assert requests == [(200, 1000), (2000, 1200), (3600, 20)]


def test_a_read_that_stops_early_is_gone_on_with(block, path, monkeypatch):
    preadv = os.preadv
    monkeypatch.setattr(row_reader.os, "preadv", lambda descriptor, views, at: preadv(descriptor, [views[0][:7]], at))
    assert_same_bits(read_rows(path, OFFSET, (N, WIDTH), slice(None)), block)


def test_a_file_that_is_cut_short_is_named(path, tmp_path):
    (tmp_path / "cut").write_bytes(path.read_bytes()[: OFFSET + 150 * 4 * WIDTH - 1])
    with pytest.raises(OSError, match=r"cut: the file is cut short, it ends at byte 5055"):
        read_rows(tmp_path / "cut", OFFSET, (N, WIDTH), np.arange(N))
    assert len(read_rows(tmp_path / "cut", OFFSET, (N, WIDTH), np.arange(149))) == 149


@pytest.mark.parametrize("row", [N, -N - 1])
def test_a_row_that_is_not_there_is_refused(path, row):
    with pytest.raises(IndexError):
        read_rows(path, OFFSET, (N, WIDTH), np.array([0, row]))
