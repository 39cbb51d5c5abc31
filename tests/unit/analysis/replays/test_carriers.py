"""The carriers of a spike, on losses whose rise is known."""

import numpy as np
import pytest

from quasarcurves.analysis.replays.carriers import carriers


def test_one_spectrum_that_carries_all():
    before, peak = np.ones(50), np.ones(50)
    peak[17] = 21
    found = carriers(before, peak)
    assert found["place"][0] == 17
    assert found["share"][0] == found["cumulated"][0] == 1
    assert (found["n_half"] == 1).all()


def test_an_equal_rise_is_carried_by_half_of_them():
    found = carriers(np.zeros(40), np.full(40, 0.1))
    assert (found["n_half"] == 20).all()
    np.testing.assert_allclose(found["share"], 1 / 40)


def test_shares_add_up_and_fall():
    rng = np.random.default_rng(0)
    before, peak = rng.exponential(1, 300), rng.exponential(5, 300)
    found = carriers(before, peak)
    assert sorted(found["place"]) == list(range(300))
    assert list(found["rank"]) == list(range(1, 301))
    assert (np.diff(found["share"]) <= 0).all()
    np.testing.assert_allclose(found["share"], (peak - before)[found["place"]] / (peak - before).sum())
    assert found["cumulated"].iloc[-1] == pytest.approx(1)
    n = found["n_half"][0]
    assert found["cumulated"][n - 2] < 0.5 <= found["cumulated"][n - 1]


def test_losses_that_fall_count_against_the_rise():
    # 4 + 4 - 3 = 5: the first alone is more than half, both together are more than all
    found = carriers(np.array([0.0, 5.0, 0.0]), np.array([4.0, 2.0, 4.0]))
    assert list(found["share"]) == [0.8, 0.8, -0.6]
    assert list(found["place"]) == [0, 2, 1]
    assert found["n_half"][0] == 1


@pytest.mark.parametrize("peak", [np.zeros(3), np.array([0.5, 1.0, 0.9])])
def test_without_a_rise_nothing_carries_it(peak):
    found = carriers(np.ones(3), peak)
    assert found["share"].isna().all()
    assert (found["n_half"] == 0).all()


def test_losses_of_other_spectra_are_refused():
    with pytest.raises(ValueError, match="3 losses before a spike and 2 at its peak"):
        carriers(np.ones(3), np.ones(2))
