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
    assert found == [passages.Outcome(41, True, np.inf)]


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
    assert found == [passages.Outcome(300, False, 2.0, 2.0)]


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
