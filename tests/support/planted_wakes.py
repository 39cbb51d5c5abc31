"""Losses of trainings whose spikes begin at random and leave wakes, as Adam's memory makes them: nulls with memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

BETA_2 = 0.999
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Training:
    """A made-up training: what is planted, by step.

    Parameters
    ----------
    onsets : (n,) int array
        Where spikes begin.
    course, excess : (t,) arrays
        Log loss without spikes, and what spikes add to it.
    noise : (t,) array
        Log noise of batches: alike at neighbouring steps, with single hard batches.
    """

    onsets: np.ndarray
    course: np.ndarray
    excess: np.ndarray
    noise: np.ndarray

    @property
    def loss(self) -> np.ndarray:
        """Training loss (t,) of each step."""
        return np.exp(self.course + self.excess + self.noise)

    def epochs(self, steps_per_epoch: int) -> np.ndarray:
        """Return the mean training loss of each whole epoch."""
        whole = len(self.course) // steps_per_epoch
        return self.loss[: whole * steps_per_epoch].reshape(whole, -1).mean(axis=1)

    def validation(self, steps_per_epoch: int, course: float, rng: np.random.Generator) -> np.ndarray:
        """Validation losses after each epoch: they spike as the training loss does, about a course of their own.

        Its logarithm changes by `course` along a straight line from the first to the last.
        """
        excess = self.excess[steps_per_epoch - 1 :: steps_per_epoch]
        return np.exp(np.linspace(0, course, len(excess)) + excess + 0.03 * rng.standard_normal(len(excess)))


def train(
    rng: np.random.Generator,
    t: int,
    *,
    mean: float = 1500.0,
    first: int = 300,
    fall: float = 1.5,
    schedule: str = "constant",
    hard: float = 1 / 400,
    cluster: float = 0.0,
) -> Training:
    """Make a training.

    Spikes begin at random, at a rate that goes with the learning rate, where the loss is within 10 % of its course. The
    log loss grows along a straight line for 8 to 40 steps, to 4 to 40 times the course. What is above the course would
    be halved every 5 to 30 steps. The squared gradient goes with the square of the loss. Adam's v is its running mean,
    and how fast a loss falls goes with the learning rate over the root of v: so a tall spike comes back slowly, and the
    course falls slowly after it.

    Parameters
    ----------
    rng : Generator
    t : int
        Steps.
    mean : float
        Mean steps from the end of a spike to the next; infinite: there are none.
    first : int
        Step from which on there are spikes.
    fall : float
        The log course falls by so much, less where wakes slow it.
    schedule : str
        Of `SCHEDULES`, of the learning rate.
    hard : float
        Probability that a batch is hard: 2 to 8 times the loss in one step.
    cluster : float
        Probability that another spike begins in the tail of one, 20 to 99 steps after its peak.
    """
    rate, begins, again = _rate(schedule, t), rng.random(t) * mean, -1
    begins = begins < np.where(np.arange(t) >= first, rate, 0)
    excess, speed, onsets = np.zeros(t), np.ones(t), []
    v, x, climb, decay, growing = 1.0, 0.0, 0.0, 0.0, 0
    for step in range(t):
        if step == again or (begins[step] and x < np.log(1.1)):
            onsets.append(step)
            growing, decay = int(rng.integers(8, 41)), np.log(2) / _between(5, 30, rng)
            climb = max(np.log(_between(4, 40, rng)) - x, np.log(3)) / growing
            again = step + growing + int(rng.integers(20, 100)) if rng.random() < cluster else -1
        v += (1 - BETA_2) * (np.exp(2 * x) - v)
        speed[step] = rate[step] / v**0.5
        x = x + climb if growing else np.log1p(np.expm1(x) * np.exp(-decay * speed[step]))
        growing = max(growing - 1, 0)
        excess[step] = x
    course = -fall * np.cumsum(speed) / rate.sum()
    return Training(np.array(onsets, int), course, excess, _noise(rng, t, hard))


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _rate(schedule: str, t: int) -> np.ndarray:
    return 0.5 * (1 + np.cos(np.pi * np.arange(t) / t)) if schedule == "cosine" else np.ones(t)


def _noise(rng: np.random.Generator, t: int, hard: float) -> np.ndarray:
    white = rng.standard_normal((2, t + 100))
    alike = signal.lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], white[1])
    noise = (0.2 * white[0] + 0.05 * alike)[100:]
    return noise + np.where(rng.random(t) < hard, np.log(rng.uniform(2, 8, t)), 0)
