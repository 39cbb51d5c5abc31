"""Heights above the running median against a plain loop, on losses whose spikes are known."""

import math
import statistics

import numpy as np
import pytest

from quasarcurves.analysis.spikes import count_excursions, height_ratio


def ratio_by_loop(loss, window):
    half, ratios = window // 2, []
    for i, value in enumerate(loss):
        near = [float(x) for x in loss[max(0, i - half) : i + half + 1] if math.isfinite(x)]
        ratios.append(float(value) / statistics.median(near) if near else math.nan)
    return ratios


def falling_loss(n, seed=0):
    rng = np.random.default_rng(seed)
    return 5 / (1 + np.arange(n)) ** 0.7 * rng.lognormal(0, 0.05, n)


@pytest.mark.parametrize("window", [51, 5, 1])
@pytest.mark.parametrize("n", [1, 4, 51, 300])
def test_heights_equal_a_plain_loop(n, window):
    loss = falling_loss(n)
    loss[::17] *= 20
    np.testing.assert_allclose(height_ratio(loss, window), ratio_by_loop(loss, window), rtol=1e-12)


def test_the_usual_window_is_of_51_epochs():
    loss = falling_loss(200)
    np.testing.assert_allclose(height_ratio(loss), ratio_by_loop(loss, 51), rtol=1e-12)


def test_planted_spikes_have_the_height_they_were_given():
    loss, heights = falling_loss(600, seed=1), {100: 10.0, 101: 4.0, 250: 50.0, 590: 7.0}
    for place, height in heights.items():
        loss[place] *= height
    ratio = height_ratio(loss)
    for place, height in heights.items():
        assert ratio[place] == pytest.approx(height, rel=0.25)
    quiet = np.delete(np.arange(60, 600), [place - 60 for place in heights])
    assert ratio[quiet].max() < 1.5
    assert count_excursions(ratio[60:]) == 3


def test_the_unit_of_the_loss_does_not_matter():
    loss = falling_loss(200)
    np.testing.assert_allclose(height_ratio(1000 * loss), height_ratio(loss))


@pytest.mark.parametrize("bad", [np.inf, np.nan, -np.inf])
def test_what_is_not_finite_is_left_out_of_the_median(bad):
    loss = falling_loss(120).astype(np.float32)
    loss[[60, 61, 119]] = bad
    ratio = height_ratio(loss)
    np.testing.assert_allclose(ratio, ratio_by_loop(loss, 51), rtol=1e-6)
    others = np.isfinite(loss)
    assert np.isfinite(ratio[others]).all()
    assert not np.isfinite(ratio[~others]).any()


def test_a_loss_that_is_never_finite_has_no_height():
    assert np.isnan(height_ratio(np.full(5, np.nan))).all()
    assert height_ratio(np.array([])).shape == (0,)


@pytest.mark.parametrize(
    ("ratio", "count"),
    [
        ([], 0),
        ([1, 1, 1], 0),
        ([3.0, 3.0], 0),
        ([3.01], 1),
        ([9, 9, 9], 1),
        ([9, 1, 9], 2),
        ([1, 9, 9, 1, 4, 1, 1, 5], 3),
        ([np.nan, 9, np.nan, 9], 2),
        ([1, np.inf], 1),
    ],
)
def test_excursions_are_stretches_above_the_threshold(ratio, count):
    assert count_excursions(np.array(ratio)) == count


def test_the_threshold_can_be_chosen():
    assert count_excursions(np.array([1, 2, 1, 4, 1]), threshold=1.5) == 2
