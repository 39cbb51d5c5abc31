"""Sustained spikes and single hard batches, told apart in losses that have both; pairs of spikes that overlap.

Other seeds than those the settings were chosen on.
"""

import numpy as np
import pandas as pd
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from quasarcurves.analysis.spikes import OUTLIER, PER_EPOCH, SUSTAINED, find_spikes, splitting
from quasarcurves.analysis.spikes.detection import with_kinds
from support import planted_spikes as planted

T = 20_000


def sustained(loss, **options):
    found = find_spikes(loss, **options)
    return found[found["kind"] == SUSTAINED]


def matches(found, truth, within=40):
    """Pair each spike found with the planted one whose onset is nearest, if that is near and not taken."""
    taken = set()
    for onset in found["onset"]:
        nearest = int(np.abs(truth["onset"] - onset).argmin())
        if abs(truth["onset"][nearest] - onset) <= within:
            taken.add(nearest)
    return len(taken)


@given(excess=st.lists(st.floats(-1, 2), max_size=80), window=st.sampled_from([1, 3, 15, 31]))
def test_a_rise_lasts_where_the_running_median_says_so(excess, window):
    median = scipy.ndimage.median_filter(np.pad(np.array(excess, float), window), window)
    assert splitting._lasts(np.array(excess, float), window) == (median.max() > np.log(2))


@pytest.mark.parametrize("apart", [(100, 160), (160, 260), (260, 261)])
def test_a_new_rise_in_the_tail_of_another_is_a_spike_of_its_own(apart):
    rng, planted_, right, total = np.random.default_rng([301, apart[0]]), 0, 0, 0
    for sigma in (0.1, 0.2, 0.3, 0.4):
        for _ in range(3):
            loss, truth = planted.plant_pairs(T, rng, apart=apart, sigma=sigma)
            found = sustained(loss)
            planted_, total, right = planted_ + len(truth), total + len(found), right + matches(found, truth)
    assert planted_ >= 90
    assert right >= 0.95 * planted_
    assert right >= 0.95 * total


def test_a_sustained_spike_begins_where_its_growth_does():
    """A hard batch 60 steps before the growth is a spike of its own kind."""
    rng, early = np.random.default_rng(302), []
    for _ in range(5):
        loss, truth = planted.plant_pairs(T, rng, apart=(900, 1000), sigma=0.2)
        loss[truth["onset"] - 60] *= 12
        found = find_spikes(loss)
        lasting, single = (found[found["kind"] == kind] for kind in (SUSTAINED, OUTLIER))
        early += [np.abs(lasting["onset"] - onset).min() for onset in truth["onset"]]
        assert np.isin(truth["onset"] - 60, single["peak"]).mean() > 0.8
    assert np.median(early) <= 8


@pytest.mark.parametrize("sigma", [0.2, 0.4])
def test_one_long_spike_is_one(sigma):
    """Its tail bears nothing but noise: the null of a new rise."""
    rng, counts, step = np.random.default_rng([303, int(10 * sigma)]), [], np.arange(T)
    for height in (5, 20, 60):
        for half in (50, 300):
            profile = np.where(step < 9000, np.maximum(step - 8950, 0) / 50, 0.5 ** (np.maximum(step - 9000, 0) / half))
            for _ in range(3):
                loss = planted.course(T) * height**profile * planted.noise("lognormal", T, sigma, rng)
                counts.append(len(sustained(loss)))
    assert np.mean(np.array(counts) == 1) >= 0.9


@pytest.mark.parametrize("kind", planted.NOISES)
def test_hard_batches_are_outliers_whatever_their_height(kind):
    rng = np.random.default_rng(304)
    loss = planted.course(T) * planted.noise(kind, T, 0.2, rng)
    hard = np.arange(3000, T, 500)
    for width in (1, 2):
        loss[hard + 250 * (width - 1)] *= 40
    found = find_spikes(loss)
    # among noise with such tails few stand out
    assert len(found) >= (len(hard) if kind != "student" else 1)
    assert (found["kind"] == OUTLIER).all()


def test_the_kind_hangs_on_twice_the_course_over_thirty_one_steps():
    def kind(width, height):
        loss = np.ones(2000)
        loss[1000 : 1000 + width] = height
        return find_spikes(loss)["kind"].tolist()

    assert kind(15, 50) == [OUTLIER]
    assert kind(16, 50) == [SUSTAINED]
    assert kind(16, 2.1) == [SUSTAINED]
    assert kind(16, 1.9) == [OUTLIER]


def test_of_epochs_those_are_sustained_that_share_one_with_a_sustained_spike_of_steps():
    of_epochs = pd.DataFrame({"onset": [10, 20, 30, 40], "end": [12, 21, 33, np.nan], "kind": OUTLIER})
    of_steps = pd.DataFrame(
        {
            "onset": [115, 205, 329, 600],
            "end": [130.0, 206.0, 331.0, 601.0],
            "kind": [SUSTAINED, OUTLIER, SUSTAINED, OUTLIER],
        }
    )
    assert with_kinds(of_epochs, of_steps, 10)["kind"].tolist() == [SUSTAINED, OUTLIER, SUSTAINED, OUTLIER]
    assert with_kinds(of_epochs, of_steps.assign(end=np.nan), 10)["kind"].tolist() == [SUSTAINED] * 4
    assert with_kinds(of_epochs.iloc[:0], of_steps, 10).empty
    assert (with_kinds(of_epochs, of_steps.iloc[:0], 10)["kind"] == OUTLIER).all()


def test_an_epoch_by_itself_has_a_kind_too():
    loss = np.random.default_rng(305).lognormal(0, 0.03, 400)
    loss[[100, 300]] *= [1.6, 5]
    assert find_spikes(loss, **PER_EPOCH)["kind"].tolist() == [OUTLIER, SUSTAINED]


@pytest.mark.parametrize("window", [0, 30])
def test_a_window_without_a_middle_is_refused(window):
    with pytest.raises(ValueError, match=f"odd sustained_window of 1 or more, found {window}"):
        find_spikes(np.ones(9), sustained_window=window)
