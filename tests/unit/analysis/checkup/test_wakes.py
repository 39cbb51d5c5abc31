"""Verdicts on trainings with the memory of real ones: spikes at random that leave wakes, and single hard batches."""

import functools

import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis.checkup import joint
from quasarcurves.analysis.checkup.measures import Measured, measure
from quasarcurves.analysis.curves import Curve
from quasarcurves.analysis.spikes import statistics
from support.planted_wakes import train

EPOCH, T = 25, 8000
SEEDS = range(40)


@functools.cache
def planted(seed, **options):
    return train(np.random.default_rng([1, seed]), T, fall=0, **options)


@functools.cache
def of_seed(seed, per="epoch", **options):
    return diagnosed(planted(seed, **options), per)


def diagnosed(training, per="epoch", val_course=0.0, training_course=0.0):
    """Measure losses of steps or epochs, with a validation loss after each epoch."""
    val = training.validation(EPOCH, val_course, np.random.default_rng(2))
    loss = training.loss if per == "step" else training.epochs(EPOCH)
    at = np.arange(len(val)) * (EPOCH if per == "step" else 1)
    loss = loss * np.exp(np.linspace(0, training_course, len(loss)))
    return measure(Curve("a", loss, per, val_loss=val, val_at=at, steps_per_epoch=EPOCH))


def share(flags):
    return float(np.mean(list(flags)))


@pytest.mark.slow
@pytest.mark.parametrize("per", ["step", "epoch"])
def test_sustained_spikes_are_found_and_their_wakes_are_none(per):
    planted_in, found, hits = 0, 0, 0
    for seed in SEEDS[:24]:
        onsets = of_seed(seed, per).tall["onset"].to_numpy(float) * (1 if per == "step" else EPOCH)
        planted_in, found = planted_in + len(planted(seed).onsets), found + len(onsets)
        hits += sum(np.abs(onsets - one).min(initial=np.inf) <= 60 for one in planted(seed).onsets)
    assert planted_in > 80
    assert hits >= 0.95 * planted_in
    assert found - hits <= 0.05 * planted_in


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_flat_loss_with_wakes_is_seldom_said_to_move(schedule):
    """Its interval is of 95 %: of 40, five or more miss the truth with a probability of 5 %."""
    ends = [of_seed(seed, **({} if schedule == "constant" else {"schedule": schedule})) for seed in SEEDS]
    # a spike that is never over is said to be a rise that lasts
    verdicts = [each.end["convergence"] for each in ends if np.isnan(each.lasting) and not each.ends_in_spike]
    assert len(verdicts) >= 30
    assert share(verdict in ("still falling", "rising") for verdict in verdicts) <= 0.125


@pytest.mark.slow
@pytest.mark.parametrize("mean", [600.0, 1500.0])
def test_wakes_are_no_overfitting_and_hide_none(mean):
    """Of spikes alone a rise was seen in 1 of 3 curves that overfit; without them and their wakes in nearly all."""
    trainings = [planted(seed, mean=mean) for seed in SEEDS[:24]]
    falls = functools.partial(diagnosed, training_course=-1.5)
    assert share(falls(each).overfitting.verdict == "yes" for each in trainings) <= 0.1
    assert share(falls(each, val_course=np.log(1.5)).overfitting.verdict == "yes" for each in trainings) >= 0.8


@pytest.mark.slow
def test_the_chance_of_a_bad_end_has_an_interval_that_knows_how_long_spikes_last():
    """In the last fifth there is often no spike; with each epoch counted on its own the interval held 65 %."""
    ends = [of_seed(seed).end for seed in SEEDS]
    truth = np.mean([each["stop_chance_val"] for each in ends])
    assert 0.1 < truth < 0.25
    assert share(each["stop_chance_val_low"] <= truth <= each["stop_chance_val_high"] for each in ends) >= 0.88


@pytest.mark.slow
def test_validation_losses_of_learning_curves_are_those_outside_of_wakes():
    """Of trainings of one truth: 10 % of noise between them is what intervals of a gain assume."""
    held = []
    for seed in range(60):
        held.append(np.log(diagnosed(train(np.random.default_rng([3, seed]), 4000, mean=1000)).late_validation))
    known = np.isfinite(held)
    assert known.mean() >= 0.8
    assert share(np.abs(np.array(held)[known]) < 0.1) >= 0.9


def of_spikes(rng, steps_per_epoch, epochs=150, lasted=250.0, per_epoch=None, per_step=None):
    """Losses of steps whose sustained spikes begin at random outside of each other and last some hundred steps."""
    rows, step, t = [], 0.0, epochs * steps_per_epoch if per_epoch else 6000
    rate = per_epoch / steps_per_epoch if per_epoch else per_step
    while (step := step + rng.exponential(1 / rate)) < t:
        end = step + rng.uniform(0.5, 1.5) * lasted
        rows.append((step, end if end < t else np.nan, "sustained"))
        step = end
    spikes = pd.DataFrame(rows, columns=["onset", "end", "kind"]).astype({"onset": float, "end": float})
    curve = Curve("a", np.ones(t), "step", steps_per_epoch=steps_per_epoch)
    return Measured(curve, spikes=spikes, kinds=True, described={"searched": True})


@pytest.mark.slow
@pytest.mark.parametrize(("rates", "truth"), [({"per_epoch": 1 / 20}, "epochs"), ({"per_step": 1 / 800}, "steps")])
def test_what_spikes_last_does_not_refuse_what_they_follow(monkeypatch, rates, truth):
    """A wake is as many steps whatever an epoch has, and no spike begins in it: it takes up more of short epochs."""
    monkeypatch.setattr(statistics, "_PERMUTATIONS", 199)
    rng = np.random.default_rng(4)
    answers = [
        joint._locked([of_spikes(rng, size, **rates) for size in (20, 30, 45, 60, 90) for _ in range(3)]).answer
        for _ in range(30)
    ]
    wrong = share(answer not in (truth, "cannot say") for answer in answers)
    assert wrong <= 0.1
    assert share(answer == truth for answer in answers) >= 0.6


def test_epochs_of_few_steps_do_not_tell_what_spikes_follow():
    """One hard batch doubles the mean of a short epoch: there would seem to be more spikes with fewer steps."""
    curves = [planted(seed) for seed in range(4)]
    found = [
        measure(Curve("a", each.epochs(size), "epoch", steps_per_epoch=size))
        for each, size in zip(curves, (5, 25, 50, 100), strict=True)
    ]
    reply = joint._locked(found)
    assert (reply.answer, reply.needs) == ("cannot say", "the losses of single steps")
    assert reply.sentence.startswith("Losses of epochs of fewer than 20 steps do not tell")
    assert joint._locked(found[1:]).needs != reply.needs
