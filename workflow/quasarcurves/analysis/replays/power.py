"""What replays can show, before they are made: the chance to see a hazard that falls, by simulation."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from quasarcurves.analysis.replays import PER
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.stats.matched import Matched, matched_p, matched_ratio

A_FIFTH = 0.2

_SEED = 20261129
_SIMULATIONS = 50
_WIDTHS = 3
"""Simulations whose interval is computed: it takes much longer than a probability."""


class Power(NamedTuple):
    """What replays can show.

    Attributes
    ----------
    chance : float
        That an arm is found to lower (or raise) the hazard, adjusted for the number of arms.
    width : float
        Median of the upper over the lower end of the ratio's 95 % interval; infinite where the lower is 0.
    high : float
        Median of the upper end.
    """

    chance: float
    width: float
    high: float


class Design(NamedTuple):
    """Numbers of replays and forks.

    Attributes
    ----------
    replays : int
        Of each arm at a fork.
    forks : int
        Of each run.
    chance : float
    """

    replays: int
    forks: int
    chance: float


def power(
    hazard: float,
    exposure: float,
    forks: int,
    runs: int,
    ratio: float = A_FIFTH,
    *,
    replays: int = 16,
    between_runs: float = 0.5,
    between_forks: float = 0.5,
    arms: int = 20,
) -> Power:
    """Simulate an arm that changes the hazard, and see how often it is found to.

    Parameters
    ----------
    hazard : float
        Spikes per 1,000 steps as it is, averaged over runs and forks.
    exposure : float
        Steps of all replays of an arm in all forks of all runs, if none spikes.
    forks, runs : int
        Forks of each run, and runs.
    ratio : float
        True ratio of the arm's hazard to that as it is.
    replays : int
        Of each arm at a fork: they share the exposure, and end with their first spike.
    between_runs, between_forks : float
        Coefficients of variation of the hazard (gamma variables).
    arms : int
        Arms whose verdicts are adjusted for each other. The simulated one has to pass by the strictest step of Holm's
        method.
    """
    truth = _Truth(hazard, exposure, forks, runs, ratio, replays, between_runs, between_forks)
    simulated = list(_simulated(truth))
    intervals = [matched_ratio(counts) for counts in simulated[:_WIDTHS]]
    widths = [each.high / each.low if each.low else np.inf for each in intervals]
    highs = [each.high for each in intervals]
    return Power(_chance(simulated, arms), float(np.median(widths)), float(np.median(highs)))


class _Truth(NamedTuple):
    hazard: float
    exposure: float
    forks: int
    runs: int
    ratio: float
    replays: int
    between_runs: float
    between_forks: float


def _chance(simulated: Iterable[Matched], arms: int) -> float:
    return float(np.mean([matched_p(counts, 1.0) < ALPHA / arms for counts in simulated]))


def _simulated(truth: _Truth) -> Iterator[Matched]:
    rng = np.random.default_rng(_SEED)
    yield from (_draw(rng, truth) for _ in range(_SIMULATIONS))


def _draw(rng: np.random.Generator, truth: _Truth) -> Matched:
    run = np.repeat(np.arange(truth.runs), truth.forks)
    levels = _frailty(rng, truth.between_runs, truth.runs)[run] * _frailty(rng, truth.between_forks, len(run))
    own = truth.hazard / PER * levels  # (forks of all runs,)
    longest = truth.exposure / (len(run) * truth.replays)
    sides = []
    for rate in (truth.ratio * own, own):
        steps = rng.exponential(1, (len(run), truth.replays)) / np.maximum(rate, 1e-12)[:, None]
        sides.append(((steps < longest).sum(axis=1).astype(float), np.minimum(steps, longest).sum(axis=1)))
    (events, exposures), (others, other_exposures) = sides
    return Matched(events, others, exposures, other_exposures, run)


def _frailty(rng: np.random.Generator, variation: float, n: int) -> np.ndarray:
    return rng.gamma(1 / variation**2, variation**2, n) if variation else np.ones(n)


def design(
    hazard: float,
    steps: float,
    runs: int,
    ratio: float = A_FIFTH,
    chance: float = 0.9,
    *,
    between_runs: float = 0.5,
    between_forks: float = 0.5,
    arms: int = 20,
) -> Design | None:
    """Find about the least replays and forks that show a ratio with a given chance; None if the most do not.

    Parameters
    ----------
    hazard : float
        Spikes per 1,000 steps as it is.
    steps : float
        Length of a replay.
    runs : int
    ratio : float
    chance : float
        To be reached.
    between_runs, between_forks, arms
        As `power` takes them.
    """
    designs = _designs()

    def found(i: int) -> float:
        replays, forks = designs[i]
        exposure = steps * replays * forks * runs
        return _chance(
            _simulated(_Truth(hazard, exposure, forks, runs, ratio, replays, between_runs, between_forks)), arms
        )

    low, high = 0, len(designs) - 1
    best = found(high)
    if best < chance:
        return None
    while low < high:
        middle = (low + high) // 2
        reached = found(middle)
        low, high, best = (low, middle, reached) if reached >= chance else (middle + 1, high, best)
    return Design(*designs[high], best)


def _designs() -> list[tuple[int, int]]:
    """Return numbers of replays and forks of a run, by how many replays there are in all; more forks where equal."""
    pairs = itertools.product((4, 8, 16), (4, 6, 8, 12, 16, 24, 32, 48, 64))
    by_total = {replays * forks: (replays, forks) for replays, forks in sorted(pairs, reverse=True)}
    return [by_total[total] for total in sorted(by_total)]
