"""Going through a training again: its batches from any step on, and new orders of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quasarcurves.training import replays
from quasarcurves.training.plan import Plan

SEED = 20261129


def plan(n=70, batch_size=16, last_batch="keep"):
    return Plan(9, batch_size, lambda epoch: np.random.default_rng([SEED, epoch]).permutation(n), last_batch)


@given(
    st.integers(1, 40), st.integers(1, 9), st.sampled_from(["keep", "drop"]), st.integers(0, 12), st.integers(0, 30),
    st.integers(1, 7),
)  # fmt: skip
def test_a_training_s_own_batches_are_those_of_its_epochs_from_any_step_on(n, size, last, first, number, most):
    own = plan(max(n, size), size, last)
    per_epoch = own.steps_per_epoch(max(n, size))
    whole = [
        order[start * size : (start + 1) * size].tolist()
        for order in map(own.order, range(50))
        for start in range(per_epoch)
    ]
    found = [row.tolist() for block in replays.own_batches(own, first, first + number, most) for row in block]
    assert found == whole[first : first + number]


def test_new_orders_have_every_example_once_per_epoch():
    places = np.array([3, 5, 8, 9])
    found = replays.shuffled_epochs(places, 10, np.random.default_rng(SEED))
    assert len(found) == 10
    for start in (0, 4):
        assert sorted(found[start : start + 4]) == places.tolist()
