"""Subsets: drawn by object, shared where they must be, disjoint where they must be, of the size asked for."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quasarcurves.spectra import sources
from quasarcurves.spectra.subsets import Subset, available_fraction, draw

SETS = ("train", "validation", "test")
quickly = settings(max_examples=60, deadline=None)


@st.composite
def target_ids(draw_value, most=4):
    """40 to 150 objects, each observed once to `most` times, in mixed order and under wide ids."""
    sizes = draw_value(st.lists(st.integers(1, most), min_size=40, max_size=150))
    rng = np.random.default_rng(draw_value(st.integers(0, 2**16)))
    ids = rng.choice(2**62, len(sizes), replace=False)
    return rng.permutation(np.repeat(ids, sizes))


seeds = st.integers(0, 2**31)
replicates = st.integers(0, 4)
fractions = st.floats(0.1, 0.6)


def objects(ids, subset, name):
    return set(ids[getattr(subset, name)].tolist())


def assert_same(one, other, names=SETS):
    for name in names:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)


@quickly
@given(ids=target_ids(), fraction=fractions, replicate=replicates, seed=seeds)
def test_no_object_is_in_two_sets_and_rows_are_sorted(ids, fraction, replicate, seed):
    subset = draw(ids, fraction, replicate, seed=seed)
    train, validation, test = (objects(ids, subset, name) for name in SETS)
    assert not train & validation
    assert not train & test
    assert not validation & test
    for name in SETS:
        rows = getattr(subset, name)
        assert rows.dtype == np.uint32
        assert (np.diff(rows.astype(int)) > 0).all()
        # an object comes with all its spectra
        assert np.isin(ids, list(objects(ids, subset, name))).sum() == len(rows)


@quickly
@given(ids=target_ids(), one=fractions, other=fractions, r=replicates, s=replicates, seed=seeds, nested=st.booleans())
def test_test_and_validation_sets_depend_on_the_seed_alone(ids, one, other, r, s, seed, nested):
    first = draw(ids, one, r, seed=seed)
    if nested or (s + 1) * other > 0.75:
        second = draw(ids, other, s, seed=seed)
    else:
        second = draw(ids, other, s, seed=seed, scheme="independent")
    assert_same(first, second, ("validation", "test"))


@quickly
@given(ids=target_ids(), one=fractions, other=fractions, replicate=replicates, seed=seeds)
def test_nested_smaller_sets_are_part_of_larger_ones(ids, one, other, replicate, seed):
    small, large = (draw(ids, each, replicate, seed=seed) for each in sorted([one, other]))
    assert objects(ids, small, "train") <= objects(ids, large, "train")


@quickly
@given(ids=target_ids(), share=st.floats(0.15, 0.8), n=st.integers(2, 5), seed=seeds)
def test_independent_replicates_share_no_object(ids, share, n, seed):
    assume(round(share / n * len(ids)) > 8)
    subsets = [draw(ids, share / n, i, seed=seed, scheme="independent") for i in range(n)]
    seen = set()
    for subset in subsets:
        train = objects(ids, subset, "train")
        assert train
        assert not train & (seen | objects(ids, subset, "test") | objects(ids, subset, "validation"))
        seen |= train


def test_the_last_of_independent_replicates_gets_what_rounding_leaves():
    """Of 40 spectra 32 are left for three sets of 10.6 each."""
    sizes = [len(draw(np.arange(40), 0.265625, i, seed=0, scheme="independent").train) for i in range(3)]
    assert sizes == [11, 11, 10]


@quickly
@given(n=st.integers(40, 400), fraction=st.floats(0.1, 0.8), replicate=replicates, seed=seeds)
def test_sizes_are_exact_where_every_object_was_observed_once(n, fraction, replicate, seed):
    subset = draw(np.arange(n) * 7, fraction, replicate, seed=seed)
    assert len(subset.test) == round(0.15 * n)
    assert len(subset.validation) == round(0.05 * n)
    # the shares are rounded one by one: together they may be one more than there are
    assert len(subset.train) == min(round(fraction * n), n - len(subset.test) - len(subset.validation))


@pytest.mark.parametrize("n", [100, 101, 102, 103, 1001, 1003, 1007])
def test_all_that_is_left_can_be_trained_on(n):
    subset = draw(np.arange(n), available_fraction(0.15, 0.05))
    assert abs(len(subset.train) - 0.8 * n) <= 1.5
    assert len(subset.train) + len(subset.validation) + len(subset.test) >= n - 1


def assert_size(got, asked, largest):
    assert asked - largest < got <= asked


@quickly
@given(ids=target_ids(), fraction=fractions, replicate=replicates, seed=seeds)
def test_sizes_are_short_by_less_than_an_object_where_there_are_repeats(ids, fraction, replicate, seed):
    subset = draw(ids, fraction, replicate, seed=seed)
    largest = np.unique(ids, return_counts=True)[1].max()
    for rows, share in ((subset.train, fraction), (subset.validation, 0.05), (subset.test, 0.15)):
        assert_size(len(rows), round(share * len(ids)), largest)


@quickly
@given(ids=target_ids(), share=st.floats(0.3, 0.75), n=st.integers(1, 4), seed=seeds)
def test_sizes_of_independent_replicates_are_short_by_less_than_an_object(ids, share, n, seed):
    largest = np.unique(ids, return_counts=True)[1].max()
    for i in range(n):
        subset = draw(ids, share / n, i, seed=seed, scheme="independent")
        assert_size(len(subset.train), round(share / n * len(ids)), largest)


@pytest.mark.parametrize("scheme", ["nested", "independent"])
def test_the_same_seed_gives_the_same_and_another_seed_another_draw(scheme):
    ids = np.repeat(np.arange(150), 2)
    first = draw(ids, 0.3, 1, seed=5, scheme=scheme)
    assert_same(first, draw(ids, 0.3, 1, seed=5, scheme=scheme))
    other = draw(ids, 0.3, 1, seed=6, scheme=scheme)
    for name in SETS:
        assert objects(ids, first, name) != objects(ids, other, name)


def test_another_replicate_gives_another_training_set():
    ids = np.arange(300)
    for scheme in ("nested", "independent"):
        first, second = (draw(ids, 0.3, i, scheme=scheme) for i in (0, 1))
        assert set(first.train) != set(second.train)


def test_the_draw_is_not_the_order_of_the_file():
    subset = draw(np.arange(1000), 0.5)
    for name in SETS:
        assert 350 < np.mean(getattr(subset, name)) < 650


@pytest.mark.parametrize(
    ("fraction", "replicate", "scheme", "asked"),
    [(0.9, 0, "nested", 90), (0.5, 1, "independent", 100), (0.3, 2, "independent", 90)],
)
def test_what_does_not_fit_is_refused(fraction, replicate, scheme, asked):
    with pytest.raises(ValueError, match=rf"{asked} training spectra asked for, 80 are left"):
        draw(np.arange(100), fraction, replicate, scheme=scheme)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_too_few_spectra_are_refused(n):
    with pytest.raises(ValueError, match=f"{n} spectra are too few"):
        draw(np.arange(n), 0.05)


def test_validation_may_be_left_out():
    subset = draw(np.arange(100), 0.85, validation_fraction=0)
    assert [len(getattr(subset, name)) for name in SETS] == [85, 0, 15]


@pytest.fixture(scope="module")
def with_repeats(made_up):
    """Objects of 1920 spectra, 120 of which are second observations."""
    folder = made_up / "boss_like"
    config = {
        "source": "quasarnet_fits",
        "spectra": [str(folder / "data.fits")],
        "truth": [str(folder / "truth.fits")],
    }
    return sources.read(config).target_id


@pytest.mark.parametrize("scheme", ["nested", "independent"])
@pytest.mark.parametrize("seed", range(3))
def test_repeat_observations_read_from_files_straddle_nothing(with_repeats, scheme, seed):
    ids = with_repeats
    assert len(ids) - len(np.unique(ids)) == 120
    for replicate in (0, 1):
        subset = draw(ids, 0.4, replicate, seed=seed, scheme=scheme)
        sets = [objects(ids, subset, name) for name in SETS]
        assert len(set.union(*sets)) == sum(map(len, sets))
        # with 120 pairs some are sure to be drawn, whole
        assert len(subset.train) > len(sets[0])
        assert_size(len(subset.train), round(0.4 * len(ids)), 2)
        assert_size(len(subset.test), round(0.15 * len(ids)), 2)


def test_a_saved_subset_comes_back(tmp_path):
    subset = draw(np.arange(500), 0.4)
    subset.save(tmp_path / "subset.h5")
    loaded = Subset.load(tmp_path / "subset.h5")
    assert_same(loaded, subset)
    assert all(getattr(loaded, name).dtype == np.uint32 for name in SETS)


def test_an_empty_validation_set_comes_back(tmp_path):
    draw(np.arange(50), 0.4, validation_fraction=0).save(tmp_path / "subset.h5")
    assert Subset.load(tmp_path / "subset.h5").validation.shape == (0,)


def test_the_file_takes_four_bytes_per_row(tmp_path):
    draw(np.arange(100_000), 0.4).save(tmp_path / "subset.h5")
    rows = 60_000
    assert 4 * rows <= (tmp_path / "subset.h5").stat().st_size <= 4 * rows + 8192
