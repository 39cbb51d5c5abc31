"""Spikes found in losses whose spikes are known; other seeds than those the thresholds were set on."""

import numpy as np
import pandas as pd
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.analysis.spikes import (
    COLUMNS,
    PER_EPOCH,
    baseline,
    find_spikes,
    finding,
    loss_ratio,
    olmo_spike_score,
)
from support import planted_spikes as planted


def flat(t=400, spikes=(), sigma=0.03, seed=100):
    loss = np.random.default_rng(seed).lognormal(0, sigma, t)
    for onset, end, height in spikes:
        loss[onset:end] *= height
    return loss


def recall_and_precision(many, **options):
    counts = pd.DataFrame([planted.score(find_spikes(loss, **options), truth) for loss, truth in many])
    planted_, found, right = counts[["planted", "found", "right"]].sum()
    assert planted_ > 50
    return right / planted_, right / found


def test_each_spike_is_measured():
    found = find_spikes(flat(spikes=[(100, 103, 10), (200, 201, 3), (300, 320, 50)]))
    assert list(found.columns) == COLUMNS
    assert found["onset"].tolist() == [100, 200, 300]
    assert found["end"].tolist() == [103, 201, 320]
    assert all((found["onset"] <= found["peak"]) & (found["peak"] < found["end"]))
    np.testing.assert_allclose(found["height_ratio"], [10, 3, 50], rtol=0.1)
    np.testing.assert_allclose(found["area"], [3 * 9, 2, 20 * 49], rtol=0.1)
    assert (found["recovery"] == found["end"] - found["peak"]).all()


def test_a_spike_that_is_not_over_has_no_end():
    loss = flat(spikes=[(380, 400, 8)])
    assert find_spikes(loss)[["onset", "end"]].isna().to_numpy().tolist() == [[False, True]]
    diverged = np.concatenate([loss, [np.inf, np.nan]])
    pd.testing.assert_frame_equal(find_spikes(diverged), find_spikes(loss))


def test_a_loss_that_stays_high_never_comes_back():
    found = find_spikes(flat(spikes=[(250, 400, 5)]))
    assert found["onset"].tolist() == [250]
    assert np.isnan(found["end"][0])


def test_a_spike_hides_neither_the_next_nor_itself():
    close = [(100 + 8 * i, 102 + 8 * i, 20) for i in range(8)]
    assert find_spikes(flat(spikes=close))["onset"].tolist() == [onset for onset, *_ in close]


@pytest.mark.parametrize("loss", [[], [1.0], [1.0, 2.0], np.ones(500), np.full(9, np.nan), np.zeros(70)])
def test_nothing_is_found_where_nothing_is(loss):
    found = find_spikes(np.asarray(loss, float))
    assert list(found.columns) == COLUMNS
    assert found.empty
    assert found["onset"].dtype == int


def test_without_noise_only_what_leaves_the_course_is_a_spike():
    loss = planted.course(2000)
    assert find_spikes(loss).empty
    loss[700:710] *= 2
    assert find_spikes(loss)[["onset", "end"]].to_numpy().tolist() == [[700, 710]]


def test_a_loss_that_drops_at_once_does_not_spike():
    loss = flat(1000, sigma=0.05)
    loss[500:] /= 5
    assert find_spikes(loss).empty


def test_the_unit_of_the_loss_and_its_type_do_not_matter():
    loss = flat(spikes=[(100, 103, 10)]).astype(np.float32)
    pd.testing.assert_frame_equal(find_spikes(loss), find_spikes(1024 * loss), rtol=1e-9)


def test_steps_that_are_not_finite_are_passed_over():
    loss = flat(spikes=[(100, 103, 10)])
    loss[[50, 101]] = np.nan
    found = find_spikes(loss)
    assert found[["onset", "end"]].to_numpy().tolist() == [[100, 103]]


def test_options_are_checked():
    with pytest.raises(ValueError, match="shape"):
        find_spikes(np.ones((2, 2)))
    with pytest.raises(ValueError, match="min_height"):
        find_spikes(np.ones(9), min_height=0.5)
    assert find_spikes(flat(spikes=[(100, 103, 1.4)]), min_height=2).empty


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "limit"), [("gaussian", 2), ("lognormal", 2), ("student", 20)])
@pytest.mark.parametrize("t", [600, 20_000])
def test_noise_is_seldom_taken_for_spikes(kind, limit, t):
    """In 2 * 10^5 steps: 1 event in 10^5 expected at most, 1 in 10^4 with heavy tails; limits at twice the mean."""
    rng, count = np.random.default_rng([101, t]), 200_000 // t
    # series of 600 are too short to measure their own tails well
    limit = limit * 2.5 + 3 if t == 600 else limit + 3
    losses = (planted.course(t) * planted.noise(kind, t, 0.1, rng) for _ in range(count))
    assert sum(len(find_spikes(loss)) for loss in losses) <= limit


@pytest.mark.slow
@pytest.mark.parametrize("spacing", planted.SPACINGS)
@pytest.mark.parametrize("form", planted.SHAPES)
def test_spikes_of_epochs_above_twice_the_course_are_found(form, spacing):
    rng = np.random.default_rng(102)
    setting = {"height": (2, 100), "widths": (1, 15), "spacing": spacing, "mean": 50, "form": form}
    many = [planted.plant(600, rng, sigma=sigma, **setting) for sigma in (0.03, 0.05, 0.1) for _ in range(8)]
    recall, precision = recall_and_precision(many, **PER_EPOCH)
    assert recall >= 0.95
    assert precision >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2, 0.4])
def test_steps_far_above_the_noise_are_found(sigma):
    rng = np.random.default_rng(103)
    single = {"height": (np.exp(6 * sigma), np.exp(9 * sigma)), "widths": (1, 300)}
    lasting = {"height": (np.exp(3 * sigma), np.exp(3.5 * sigma)), "widths": (5, 20)}
    for setting in (single, lasting):
        many = [planted.plant(50_000, rng, sigma=sigma, gap=30, **setting) for _ in range(3)]
        recall, precision = recall_and_precision(many)
        assert recall >= 0.95
        assert precision >= 0.95


@pytest.mark.slow
def test_false_events_in_a_million_steps():
    rng, t = np.random.default_rng(104), 10**6
    for kind, most in (("gaussian", 10), ("lognormal", 10), ("student", 100)):
        counts = [len(find_spikes(planted.course(t) * planted.noise(kind, t, s, rng))) for s in (0.05, 0.2, 0.4)]
        # 3 million steps: the mean has to keep the limit
        assert np.mean(counts) <= most


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2, 0.4])
def test_recall_at_the_edge(sigma):
    rng, edge = np.random.default_rng(205), {"gap": 30, "mean": 300, "sigma": sigma}
    for times, width in ((6, 1), (3, 5)):
        height = float(np.exp(times * sigma))
        many = [planted.plant(10**6, rng, height=(height, height), widths=(width, width), **edge)]
        recall, precision = recall_and_precision(many)
        assert recall >= 0.94
        assert precision >= 0.95


@pytest.mark.slow
def test_ten_million_steps_take_no_minutes():
    begin = 5_000_000
    found = find_spikes(flat(10**7, [(begin, begin + 100, 10)], 0.2))
    assert found["onset"].between(begin - 5, begin).any()


def test_the_course_at_the_end_goes_on_falling():
    values = -0.01 * np.arange(300.0)
    np.testing.assert_allclose(baseline.running_median(values, 101), values, atol=0.01)


def test_a_running_median_is_the_median_of_its_window():
    values = np.random.default_rng(106).normal(size=200)
    medians = baseline.running_median(values, 21)
    for i in (0, 4, 10, 100, 189):
        half = min(i, 10)
        assert medians[i] == pytest.approx(np.median(values[i - half : i + half + 1]))


@pytest.mark.parametrize("degrees", [3, 5])
def test_tails_are_measured(degrees):
    noise = np.random.default_rng(107).standard_t(degrees, 100_000)
    quiet = np.ones(len(noise), bool)
    assert baseline.tail_weight(noise, quiet) == pytest.approx(1 / degrees, rel=0.1)
    spiked = np.where(np.arange(len(noise)) % 50 == 0, 30, noise)
    assert baseline.tail_weight(spiked, quiet) == pytest.approx(1 / degrees, rel=0.15)
    assert baseline.tail_weight(np.random.default_rng(1).normal(size=100_000), quiet) < 0.02


def test_olmo_spike_score_by_a_plain_loop():
    loss = flat(1500, [(1200, 1202, 3), (1300, 1301, 1.2)])
    high = [loss[i] > np.mean(loss[i - 1000 : i]) + 7 * np.std(loss[i - 1000 : i]) for i in range(1000, 1500)]
    assert sum(high) >= 2
    assert olmo_spike_score(loss) == pytest.approx(np.mean(high))
    assert np.isnan(olmo_spike_score(loss[:1000]))


def test_loss_ratio_is_to_the_lowest_so_far():
    ratio = loss_ratio(np.array([2.0, 4.0, 1.0, np.inf, 3.0]))
    np.testing.assert_array_equal(ratio, [1, 2, 1, np.nan, 3])


@pytest.mark.parametrize("seed", range(8))
def test_a_steady_fall_at_the_start_hides_no_later_spike(seed):
    """Where a loss falls without noise its running median is the loss itself; that once passed for heavy tails."""
    rng = np.random.default_rng([31, seed])
    epoch = np.arange(200)
    wander = 0.2 * np.convolve(rng.normal(size=203), np.ones(4) / 2, "valid") * (epoch > 60)
    loss = 5 * (1 + epoch / 8) ** -2.0 * np.exp(wander)
    for place, height in ((103, 12), (178, 27)):
        loss[place : place + 10] *= height ** np.linspace(1, 0.1, 10)
    found = find_spikes(loss, **PER_EPOCH)
    for place in (103, 178):
        assert ((found["onset"] <= place + 1) & (found["peak"] >= place - 1) & (found["height_ratio"] > 3)).any()


@given(t=st.integers(1, 60), reach=st.integers(0, 70), block=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_in_blocks_comes_what_comes_of_the_whole(t, reach, block, seed):
    values, width = np.random.default_rng(seed).normal(size=t), 2 * reach + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline, "_WIDE_BLOCK", block)
        found = baseline.in_blocks(values.copy(), reach, lambda piece: scipy.ndimage.maximum_filter1d(piece, width))
    np.testing.assert_array_equal(found, scipy.ndimage.maximum_filter1d(values, width))


def test_blocks_change_no_spike(monkeypatch):
    loss = flat(30_000, [(7_990, 8_060, 10), (20_000, 20_300, 6)], 0.1) * np.linspace(10, 1, 30_000)
    whole, score = find_spikes(loss), olmo_spike_score(loss)
    for module, name, block in ((baseline, "_WIDE_BLOCK", 4_001), (baseline, "_BLOCK", 999), (finding, "_BLOCK", 500)):
        monkeypatch.setattr(module, name, block)
    pd.testing.assert_frame_equal(find_spikes(loss), whole, rtol=1e-6)
    assert (whole["kind"] == "sustained").sum() == 2
    assert olmo_spike_score(loss) == score > 0


@given(high=st.lists(st.booleans(), min_size=1, max_size=80), width=st.sampled_from([1, 5, 25]))
def test_stretches_are_what_windows_around_high_values_cover(high, width):
    covered = np.zeros(len(high) + 2, bool)
    for place in np.flatnonzero(high):
        covered[max(place - width // 2, 0) + 1 : min(place + width // 2 + 1, len(high)) + 1] = True
    edges = np.flatnonzero(np.diff(covered)).tolist()
    assert list(finding._stretches(np.array(high), width)) == list(zip(edges[::2], edges[1::2], strict=True))


@pytest.mark.parametrize("end", [89, 100])
def test_spikes_are_bridged_by_straight_lines(end):
    rng = np.random.default_rng(4)
    quiet = rng.random(100) > 0.4
    quiet[0], quiet[end:] = True, False
    values, (kept,) = rng.random(quiet.sum()), np.nonzero(quiet)
    np.testing.assert_array_equal(baseline._bridged(values, quiet), np.interp(np.arange(100), kept, values))
