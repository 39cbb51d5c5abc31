"""The price of an arm, on planted losses."""

import numpy as np
import pytest
from tests.support import planted_replays

from quasarcurves.analysis.replays.prices import price

ARMS = {"step_x0.5": 0.5}


def test_the_price_is_the_ratio_of_the_last_losses_and_its_interval_covers():
    """40 studies of 4 runs: 95 % intervals miss the truth in at most 6 (binomial, 0.3 % by chance)."""
    missed = 0
    for seed in range(40):
        made = planted_replays.make(runs=4, arms=ARMS, prices={"as_it_is": 1.0, "step_x0.5": 0.8}, seed=seed)
        value, low, high = price(made, "step_x0.5")
        assert value == pytest.approx(0.8, rel=0.2)
        missed += not low < 0.8 < high
    assert missed <= 6


def test_replays_that_spiked_do_not_count():
    made = planted_replays.make(hazard=5.0, arms=ARMS)
    spiked = made.replays["spiked"] == 1
    assert made.replays.loc[spiked, "loss_after"].isna().all() and spiked.any()
    before = price(made, "step_x0.5")
    made.replays.loc[spiked, "height"] = 1e6
    assert price(made, "step_x0.5") == before


def test_one_run_speaks_for_itself_over_its_forks():
    value, low, high = price(planted_replays.make(arms=ARMS, grid=12), "step_x0.5")
    assert 0 < low < value < high < np.inf
    assert price(planted_replays.make(arms=ARMS, grid=1), "step_x0.5")[1:] == (0.0, np.inf)


def test_an_arm_that_cannot_be_had_has_no_price():
    made = planted_replays.make(absent=("amsgrad",))
    assert np.isnan(price(made, "amsgrad")).all()
