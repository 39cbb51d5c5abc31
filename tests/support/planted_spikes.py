"""Losses whose spikes are known, and how many of them a detector finds: for setting and testing thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

NOISES = ("gaussian", "lognormal", "student")
SHAPES = ("box", "decay", "hill")
SPACINGS = ("regular", "poisson", "clusters")


def course(t: int) -> np.ndarray:
    """Loss without spikes and noise: falls from 5 as a power of the step, in the manner of a QuasarNET training."""
    return 5 / (1 + np.arange(t) / (t / 100)) ** 1.2


def noise(kind: str, t: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Factors (t,) about 1: Gaussian themselves, or with a logarithm that is Gaussian or Student t (3 degrees)."""
    if kind == "gaussian":
        return np.maximum(1 + sigma * rng.standard_normal(t), 0)
    return np.exp(sigma * (rng.standard_normal(t) if kind == "lognormal" else rng.standard_t(3, t)))


def shape(kind: str, width: int) -> np.ndarray:
    """Log height (width,) of a spike in units of its highest."""
    middle = (np.arange(width) + 0.5) / width
    if kind == "box" or width == 1:
        return np.ones(width)
    values = np.exp(-3 * middle) if kind == "decay" else 1 - np.abs(2 * middle - 1)
    return values / values.max()


def onsets(spacing: str, t: int, mean: float, rng: np.random.Generator) -> np.ndarray:
    """Where spikes begin, leaving out the first tenth: at a mean distance, or in clusters of 3 closer by a factor 4."""
    begin = t // 10
    if spacing == "regular":
        return np.arange(begin, t - mean / 2, mean).astype(int)
    if spacing == "poisson":
        return np.sort(rng.integers(begin, t, rng.poisson((t - begin) / mean)))
    first = np.arange(begin, t - mean, 3 * mean)
    return (first[:, None] + mean / 4 * np.arange(3)).ravel().astype(int)


def plant(
    t: int,
    rng: np.random.Generator,
    *,
    height: tuple[float, float],
    widths: tuple[int, int],
    spacing: str = "poisson",
    mean: float = 1000.0,
    gap: int = 5,
    form: str = "box",
    kind: str = "lognormal",
    sigma: float = 0.2,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Make a loss with spikes.

    Parameters
    ----------
    t : int
        Steps.
    rng : Generator
    height : (float, float)
        Lowest and highest; evenly spread in their logarithm.
    widths : (int, int)
        Shortest and longest, in steps; the same.
    spacing, mean
        As `onsets` takes them.
    gap : int
        Steps kept free between two spikes; one that would begin earlier is left out.
    form, kind, sigma
        As `shape` and `noise` take them.

    Returns
    -------
    loss : (t,) array
    truth : DataFrame
        `onset`, `end`, `height_ratio` of each spike.
    """
    log_loss, rows, free = np.zeros(t), [], 0
    for onset in onsets(spacing, t, mean, rng):
        width, ratio = round(_between(widths, rng)), _between(height, rng)
        if onset < free or onset + width > t:
            continue
        log_loss[onset : onset + width] = np.log(ratio) * shape(form, width)
        rows.append((onset, onset + width, ratio))
        free = onset + width + gap
    truth = pd.DataFrame(rows, columns=["onset", "end", "height_ratio"])
    return course(t) * np.exp(log_loss) * noise(kind, t, sigma, rng), truth


def _between(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def plant_pairs(
    t: int, rng: np.random.Generator, *, apart: tuple[int, int], sigma: float = 0.2, kind: str = "lognormal"
) -> tuple[np.ndarray, pd.DataFrame]:
    """Make a loss with pairs of sustained spikes, the second in the tail of the first.

    The log loss grows along a straight line for 8 to 120 steps, to 4 to 60 times the course, and loses half of that
    every 30 to 300 steps.

    Parameters
    ----------
    t : int
        Steps.
    rng : Generator
    apart : (int, int)
        Fewest and most steps from the peak of the first to the onset of the second.
    sigma, kind
        As `noise` takes them.

    Returns
    -------
    loss : (t,) array
    truth : DataFrame
        `onset`, `peak`, `height_ratio` (without the tail of the other) of each spike.
    """
    log_loss, rows, onset, step = np.zeros(t), [], t // 8, np.arange(t)
    while onset < t - 2500:
        for place in range(2):
            ratio, growth, half = (_between(bounds, rng) for bounds in ((4, 60), (8, 120), (30, 300)))
            peak = onset + round(growth)
            grown = (step - onset + 1) / round(growth)
            profile = np.where(step < peak, np.maximum(grown, 0), 0.5 ** (np.maximum(step - peak, 0) / half))
            log_loss += np.log(ratio) * profile
            rows.append((onset, peak, ratio))
            onset = peak + (int(rng.integers(*apart)) if place == 0 else 3500)
    truth = pd.DataFrame(rows, columns=["onset", "peak", "height_ratio"])
    return course(t) * np.exp(log_loss) * noise(kind, t, sigma, rng), truth


def score(found: pd.DataFrame, truth: pd.DataFrame, slack: int = 1) -> dict[str, Any]:
    """Count what was found: a spike found belongs to the first planted one that its peak lies in, and to no other.

    Parameters
    ----------
    found, truth : DataFrame
        With onsets, peaks and ends.
    slack : int
        Steps that a peak may lie outside.

    Returns
    -------
    dict
        `planted`, `found`, `right` (numbers of spikes) and `hits` (planted,) bool.
    """
    hits = np.zeros(len(truth), bool)
    begin, end = truth["onset"].to_numpy() - slack, truth["end"].to_numpy() + slack
    for peak in found["peak"]:
        inside = np.flatnonzero((begin <= peak) & (peak < end) & ~hits)
        hits[inside[:1]] = True
    return {"planted": len(truth), "found": len(found), "right": int(hits.sum()), "hits": hits}
