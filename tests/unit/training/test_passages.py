"""When a replay has spiked, by losses whose means are worked by hand."""

import numpy as np
import pytest

from quasarcurves.training import passages


def test_a_loss_has_spiked_once_its_mean_over_the_window_is_above_three_times_that_before():
    losses = np.concatenate([np.full(40, 1.0), np.full(60, 5.0)])
    # k steps of 5 among 32: mean (32 + 4 k) / 32 is above 3 from k = 17 on
    assert passages.first_passage(losses, 1.0, 32) == 40 + 17
    assert passages.first_passage(losses[:56], 1.0, 32) is None
    assert passages.first_passage(np.full(31, 99.0), 1.0, 32) is None, "no whole window"


def test_a_loss_that_is_not_finite_has_spiked_endlessly_high():
    losses = np.append(np.ones(40), np.nan)
    assert passages.first_passage(losses, 1.0, 32) == 41
    found = passages.follow(lambda batches: losses[None, : batches.shape[1]], np.zeros((1, 41, 4), int), 1.0, 32)
    assert found == [passages.Outcome(41, True, np.inf)]  # 41 steps have no level of their own before a window


def test_a_replay_ends_some_time_after_it_has_spiked_and_its_exposure_when_it_does():
    taken = []

    def run(batches):
        taken.extend(batches[0, :, 0])
        return np.where(batches[..., 0] < 100, 1.0, 10.0)

    (found,) = passages.follow(run, np.arange(1000)[None, :, None], 1.0, 10)
    # 3 of 10 steps at 10 make 3.7
    assert (found.steps, found.spiked, found.height) == (103, True, 10.0)
    assert 103 + 64 <= len(taken) < 1000


def test_a_replay_without_a_spike_counts_all_its_steps():
    found = passages.follow(lambda batches: np.full(batches.shape[:2], 2.0), np.zeros((1, 300, 4), int), 1.0, 32)
    # 100 steps are a level, then come windows of 32
    assert found == [passages.Outcome(300, False, 2.0, 2.0, np.nan, 300 - 131)]


def test_a_loss_that_has_fallen_rises_over_its_own_level_where_it_does_not_over_that_before():
    losses = np.concatenate([np.full(50, 1.0), np.full(200, 0.2), np.full(100, 0.9)])
    assert passages.first_passage(losses, 1.0, 32) is None
    # k steps of 0.9 among 32: mean 0.2 + 0.7 k / 32 is above 0.6 from k = 19 on
    assert passages.rise_over_own_level(losses, 32) == (250 + 19, 250 + 19 - 131)


def test_the_own_level_is_the_lowest_before_the_window():
    losses = np.concatenate([np.full(100, 1.0), np.full(100, 2.0), np.full(100, 3.5)])
    # 3 is passed over the first level, of 1, whatever came between: 2 + 1.5 k / 32 from k = 22 on
    assert passages.rise_over_own_level(losses, 32)[0] == 200 + 22
    falling = np.concatenate([np.geomspace(1.0, 0.1, 300), np.full(40, 0.2)])
    assert np.isnan(passages.rise_over_own_level(falling, 32)[0])


@pytest.mark.parametrize("steps, exposure", [(131, 0), (132, 1), (400, 269)])
def test_a_rise_over_the_own_level_is_looked_for_once_there_is_one(steps, exposure):
    found, seen = passages.rise_over_own_level(np.ones(steps), 32)
    assert np.isnan(found) and seen == exposure
    assert passages.rise_over_own_level(np.append(np.ones(150), np.nan), 32) == (151, 151 - 131)


def test_the_own_level_of_other_batches_is_of_as_many_examples():
    losses = np.concatenate([np.ones(60), np.full(30, 5.0)])
    assert np.isnan(passages.rise_over_own_level(losses, 32)[0]), "90 steps are no level and a window of 32"
    # level of 50 steps, windows of 16: k of 16 at 5 make 1 + 4 k / 16, above 3 from k = 9 on
    assert passages.rise_over_own_level(losses, 16) == (60 + 9, 60 + 9 - 65)


def test_replays_taken_together_come_to_what_each_does_alone():
    steps = np.arange(600)
    losses = np.stack([np.where(steps < first, 1.0, 5.0 + steps / 100) for first in (50, 400, 9999)])

    def run(chosen):
        return lambda batches: np.stack([losses[k][batches[i, :, 0]] for i, k in enumerate(chosen)])

    batches = np.repeat(steps[None, :, None], 3, axis=0)
    together = passages.follow(run([0, 1, 2]), batches, 1.0, 32)
    alone = [passages.follow(run([k]), batches[:1], 1.0, 32)[0] for k in range(3)]
    assert together == alone


def test_other_batch_sizes_have_windows_of_as_many_examples():
    assert [passages.window_of(size, 32) for size in (8, 16, 32, 64, 128, 1024, 5000)] == [128, 64, 32, 16, 8, 1, 1]


@pytest.mark.parametrize("step, mean", [(600, 300.5), (1000, 700.5), (10, 5.5)])
def test_the_level_before_is_the_mean_of_the_600_steps_before(step, mean):
    assert passages.reference_level(np.arange(1, 2001, dtype=np.float32), step) == mean
