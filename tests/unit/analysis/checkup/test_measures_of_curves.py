"""What is measured on a curve, on planted truth: spikes where they are, none where there is none, and the end."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from quasarcurves.analysis.checkup.measures import measure
from quasarcurves.analysis.curves import Curve
from support import planted_spikes


def epochs(t, sigma=0.1, rho=0.0, seed=0, course=planted_spikes.course):
    rng = np.random.default_rng(seed)
    noise = signal.lfilter([1], [1, -rho], rng.standard_normal(t + 50) * np.sqrt(1 - rho**2))[50:]
    return course(t) * np.exp(sigma * noise)


def drop(t):
    x = np.arange(t) / t
    return np.where(x < 0.5, 1.0, 0.3) * (0.3 + np.exp(-6 * x))


@pytest.mark.parametrize("t", [30, 200])
@pytest.mark.parametrize("course", [planted_spikes.course, np.ones, drop])
def test_losses_of_epochs_without_a_spike_have_none(t, course):
    found = [measure(Curve("a", epochs(t, s, rho, seed, course), "epoch"))
             for s, rho in ((0.03, 0.0), (0.1, 0.0), (0.3, 0.0), (0.15, 0.9)) for seed in range(6)]  # fmt: skip
    assert all(each.searched and not each.kinds for each in found)
    assert np.mean([len(each.tall) > 0 for each in found]) <= 0.04
    assert np.mean([len(each.spikes) > 0 for each in found]) <= 0.1


@pytest.mark.parametrize(("t", "height", "least"), [(30, 10, 0.9), (50, 4, 0.9), (100, 3, 0.8), (300, 3, 0.8)])
def test_planted_rises_of_epochs_are_found_where_they_are(t, height, least):
    hits = []
    for seed in range(20):
        loss, place = epochs(t, 0.1, seed=seed), t // 2 + seed % 5
        loss[place : place + 2] *= height
        tall = measure(Curve("a", loss, "epoch")).tall
        hits.append(len(tall) == 1 and place <= tall["peak"].iloc[0] < place + 2)
    assert np.mean(hits) >= least


def test_spikes_of_steps_are_told_from_hard_batches():
    rng = np.random.default_rng(3)
    loss = planted_spikes.course(6000) * np.exp(0.1 * rng.standard_normal(6000))
    loss[2000:2200] *= 10
    loss[4000] *= 20
    found = measure(Curve("a", loss, "step"))
    assert found.kinds
    assert 2000 <= found.tall["peak"].item() < 2200
    assert found.small["peak"].tolist() == [4000]


def test_losses_of_every_fiftieth_step_do_not_tell_kinds():
    loss = epochs(600)
    loss[300:302] *= 5
    found = measure(Curve("a", loss, "step", stride=50.0))
    assert not found.kinds
    assert found.described["per_1000_steps"] == pytest.approx(1 / 30)


def test_single_high_steps_at_the_ends_of_epochs_are_seen_and_others_not():
    ends = []
    for shift in (19, 0):
        loss = planted_spikes.course(4000) * np.exp(0.05 * np.random.default_rng(1).standard_normal(4000))
        places = 20 * np.arange(30, 180, 10) + (shift if shift else np.arange(15))
        loss[places] *= 4
        ends.append(measure(Curve("a", loss, "step", steps_per_epoch=20)).last_batch)
    assert (ends[0].singles, ends[0].last) == (15, 15)
    assert ends[0].p < 1e-9
    assert ends[1].last <= 1
    assert ends[1].p > 0.01


def test_a_rise_that_lasts_is_no_spike():
    t = 300
    loss = epochs(t, 0.03, course=np.ones) * np.where(np.arange(t) > 150, np.linspace(0, 4, t), 1)
    found = measure(Curve("a", loss, "epoch"))
    assert len(found.tall) == 0
    assert 100 < found.lasting < 250


def test_what_falls_and_what_has_converged_is_told():
    flat = measure(Curve("a", epochs(400, 0.03, course=np.ones), "epoch"))
    smooth = measure(Curve("a", 2 / (1 + np.arange(100) / 6), "epoch"))
    steps = measure(Curve("a", epochs(20_000, 0.3), "step"))
    assert flat.end["convergence"] == "converged"
    assert smooth.end["convergence"] == "still falling"
    assert steps.end["convergence"] == "still falling"
    assert (steps.blocks, len(steps.course)) == (67, 298)


def test_an_end_in_a_spike_is_a_bad_end():
    loss = epochs(200, 0.05)
    loss[-3:] *= 6
    found = measure(Curve("a", loss, "epoch"))
    assert found.ends_in_spike
    ratio, held = found.last_over_late
    assert ratio > 4
    assert not held


def test_a_loss_that_ends_without_a_number_diverged():
    loss = epochs(200)
    loss[150:] = np.nan
    found = measure(Curve("a", loss, "epoch"))
    assert found.diverged == 150
    assert found.end["convergence"] == "diverged"


@pytest.mark.parametrize(
    ("loss", "problem"),
    [
        ([np.nan, np.inf], "no value is a number"),
        ([1.0, -1.0], "1 of 2 values are negative"),
        ([0.0], "all values are zero"),
    ],
)
def test_what_has_no_factors_is_said(loss, problem):
    assert measure(Curve("a", np.array(loss), "epoch")).problem.startswith(problem)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.one_of(st.floats(width=32), st.just(0.0)), min_size=1, max_size=80),
    st.sampled_from(["epoch", "step"]),
    st.sampled_from([np.nan, 1.0, 7.0]),
)
def test_any_numbers_are_measured_without_an_error(loss, per, steps_per_epoch):
    values = np.array(loss)
    val = np.flatnonzero(np.isfinite(values))[::2]
    found = measure(Curve("a", values, per, val_loss=values[val], val_at=val, steps_per_epoch=steps_per_epoch))
    assert isinstance(found.spikes, pd.DataFrame)
    assert found.problem or np.isfinite(found.course).any()
