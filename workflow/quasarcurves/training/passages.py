"""When a replay has spiked: its mean loss over a window against the mean before its fork."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SPIKE_RATIO = 3.0
"""A replay has spiked once its mean loss over a window is above so many times its mean before the fork."""

WINDOW = 32
"""Steps of that window; for another batch size, as many as see the same number of examples."""

REFERENCE = 600
"""Steps before the fork that the mean before is taken over."""

OWN_LEVEL = 100
"""Steps whose mean is a level of the replay itself. With batches of another size, as many as see the same number of
examples."""

BLOCK = 128
"""Steps between two looks at whether a replay has spiked."""

_AFTER = 64
"""Steps that a replay goes on once it has spiked, to see how high."""


@dataclass(frozen=True)
class Outcome:
    """What became of a replay.

    Parameters
    ----------
    steps : int
        Optimizer steps until it spiked, or in all.
    spiked : bool
    height : float
        Highest mean loss over a window, over the mean before the fork; infinite where the loss is not finite.
    loss_after : float
        Mean loss over the last window, over the mean before the fork; NaN where it spiked or there is no window.
    own_rise : float
        Optimizer steps until it rose over its own level (`rise_over_own_level`); NaN if it did not.
    own_exposure : int
        Steps at which that could be seen.
    """

    steps: int
    spiked: bool
    height: float
    loss_after: float = np.nan
    own_rise: float = np.nan
    own_exposure: int = 0


def reference_level(record: np.ndarray, step: int) -> float:
    """Return the mean recorded loss over the `REFERENCE` steps before a step, or all before it if they are fewer."""
    return float(np.mean(record[max(0, step - REFERENCE) : step], dtype=np.float64))


def follow(run: Callable[[np.ndarray], np.ndarray], batches: np.ndarray, reference: float, width: int) -> list[Outcome]:
    """Take steps of some replays until each has spiked or its batches are used up.

    Parameters
    ----------
    run : callable
        (replays, steps, batch) int array -> losses (replays, steps).
    batches : (replays, steps, batch) int array
    reference : float
        Mean loss before.
    width : int
        Steps of the window.

    Returns
    -------
    list of Outcome
        Of each replay.
    """
    losses = np.zeros((len(batches), 0))
    for start in range(0, batches.shape[1], BLOCK):
        losses = np.append(losses, run(batches[:, start : start + BLOCK]), axis=1)
        passages = [first_passage(each, reference, width) for each in losses]
        if all(passage is not None and losses.shape[1] >= passage + _AFTER for passage in passages):
            break
    return [_outcome(each, reference, width) for each in losses]


def _outcome(losses: np.ndarray, reference: float, width: int) -> Outcome:
    passage = first_passage(losses, reference, width)
    if passage is not None:
        # replays that are taken together go on for different times after they have spiked
        losses = losses[: passage + _AFTER]
    means, own = window_means(losses, width) / reference, rise_over_own_level(losses, width)
    if passage is not None:
        return Outcome(passage, True, float(means.max()) if np.isfinite(means).all() else np.inf, np.nan, *own)
    if not means.size:
        return Outcome(len(losses), False, np.nan)
    return Outcome(len(losses), False, float(means.max()), float(means[-1]), *own)


def first_passage(losses: np.ndarray, reference: float, width: int) -> int | None:
    """Return the number of steps after which the mean over the last `width` is above `SPIKE_RATIO` times a reference.

    A loss that is not finite counts as above. None if there is no such step.
    """
    above = np.flatnonzero(~(window_means(losses, width) <= SPIKE_RATIO * reference))
    return int(above[0]) + width if above.size else None


def rise_over_own_level(losses: np.ndarray, width: int) -> tuple[float, int]:
    """Return the steps after which the mean over a window is above `SPIKE_RATIO` times the lowest level before it.

    Levels are means over `OWN_LEVEL` steps of the replay itself, all before the window. So a change that lowers the
    loss does not by that alone keep it from rising. A loss that is not finite counts as above.

    Parameters
    ----------
    losses : (t,) array
        From the fork on.
    width : int
        Steps of the window.

    Returns
    -------
    rise : float
        NaN if there is no such step.
    exposure : int
        Steps with a window and a level before it, up to the rise or in all.
    """
    length = max(1, round(OWN_LEVEL * width / WINDOW))
    means = window_means(losses, width)[length:]
    lowest = np.minimum.accumulate(window_means(losses, length))[: len(means)]
    above = np.flatnonzero(~(means <= SPIKE_RATIO * lowest))
    if not above.size:
        return np.nan, len(means)
    return float(length + width + above[0]), int(above[0]) + 1


def window_means(losses: np.ndarray, width: int) -> np.ndarray:
    """Return the means over all windows of `width` losses; (t - width + 1,), empty if there are fewer losses."""
    if len(losses) < width:
        return np.zeros(0)
    return np.lib.stride_tricks.sliding_window_view(np.asarray(losses, np.float64), width).mean(axis=1)


def window_of(batch_size: int, own_size: int) -> int:
    """Return the steps of a window for some batch size, where the training's own is `own_size`."""
    return max(1, round(WINDOW * own_size / batch_size))
