"""Forks: the steps of a training that replays go on from, and what its record says of them.

A fork is on a grid fixed beforehand, some steps before a sustained spike, or at a quiet time matched to a spike. Those
before spikes were chosen by the outcome: the level of the hazard is told by the others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from quasarcurves.analysis.replays import BEFORE, GRID, QUIET
from quasarcurves.analysis.spikes.finding import PER_STEP, find_spikes
from quasarcurves.analysis.spikes.splitting import SUSTAINED
from quasarcurves.training.history import History
from quasarcurves.training.passages import reference_level
from quasarcurves.training.settings import ReplaySettings

COLUMNS = ["fork_step", "kind", "onset", "distance", "loss", "effective_step", "since_spike", "noise"]

_RECENT = 200
"""Steps before a fork that its effective step and gradient noise are of."""

_FINE = 50
"""Steps between times that may be called quiet."""


def choose(history: History, settings: ReplaySettings) -> pd.DataFrame:
    """Choose the forks of a training.

    Parameters
    ----------
    history : History
        Of the whole training.
    settings : ReplaySettings

    Returns
    -------
    DataFrame
        A row per fork and kind, by step; a step may be of several kinds:

        - fork_step: steps done at the fork
        - kind: "grid", "before" (a spike) or "quiet"
        - onset, distance: onset of the spike that it comes before or is matched to, and steps up to it; else NaN
        - loss: mean over the 600 steps before
        - effective_step: mean over the 200 steps before of the median over parameters; NaN without a preconditioner
        - since_spike: steps since the last sustained spike began; NaN if there was none
        - noise: standard deviation of the gradient norm over its mean, in the 200 steps before
    """
    spikes = sustained_spikes(history)
    found = [*_grid(history, spikes, settings), *_before(spikes, settings)]
    if settings.quiet:
        found += _quiet(history, spikes, settings)
    rows = pd.DataFrame(found, columns=["fork_step", "kind", "onset", "distance"])
    known = pd.DataFrame([_known(history, spikes, step) for step in rows["fork_step"]], columns=COLUMNS[4:])
    return pd.concat([rows, known], axis=1).sort_values(["fork_step", "kind"], ignore_index=True)


def sustained_spikes(history: History) -> pd.DataFrame:
    """Return the sustained spikes of a training's steps: onset, peak and end; the last step in place of no end."""
    spikes = find_spikes(history.steps["loss"], **PER_STEP)
    lasting = spikes[spikes["kind"] == SUSTAINED].reset_index(drop=True)
    return lasting.fillna({"end": float(len(history.steps["loss"]))})


def _outside(steps: np.ndarray, spikes: pd.DataFrame) -> np.ndarray:
    """Return those steps that lie in no spike."""
    onset, end = (spikes[name].to_numpy()[:, None] for name in ("onset", "end"))
    return steps[~((onset < steps) & (steps < end)).any(axis=0)]


def _first(history: History, settings: ReplaySettings) -> int:
    return max(1, settings.after_epoch * history.params["outcome"]["steps_per_epoch"])


def _grid(history: History, spikes: pd.DataFrame, settings: ReplaySettings) -> Iterator[tuple]:
    if not settings.every:
        return
    first = -(-_first(history, settings) // settings.every) * settings.every
    steps = np.arange(first, len(history.steps["loss"]), settings.every)
    yield from ((int(step), GRID, np.nan, np.nan) for step in _outside(steps, spikes))


def _before(spikes: pd.DataFrame, settings: ReplaySettings) -> Iterator[tuple]:
    for onset in spikes["onset"]:
        steps = onset - np.array(settings.before, int)
        yield from ((int(step), BEFORE, onset, onset - step) for step in _outside(steps[steps > 0], spikes))


def _quiet(history: History, spikes: pd.DataFrame, settings: ReplaySettings) -> Iterator[tuple]:
    """Yield a time for each spike, after which none began as long as a replay lasts, with the same time since one."""
    onsets = spikes["onset"].to_numpy()
    times = _outside(np.arange(_first(history, settings), len(history.steps["loss"]) - settings.steps, _FINE), spikes)
    following = (times[:, None] <= onsets) & (onsets < times[:, None] + settings.steps)
    times = times[~following.any(axis=1)]
    since = _log_since(times, onsets)
    for onset in onsets:
        if not len(times):
            return
        far = np.abs(since - _log_since(np.array([onset]), onsets)[0]), np.abs(times - onset)
        place = np.lexsort((far[1], far[0]))[0]
        yield int(times[place]), QUIET, onset, onset - times[place]
        times, since = np.delete(times, place), np.delete(since, place)


def _log_since(times: np.ndarray, onsets: np.ndarray) -> np.ndarray:
    """Return the logarithm of the steps since the last spike began before each time; that since the start if none."""
    before = np.where(onsets < times[:, None], onsets, 0).max(axis=1, initial=0)
    return np.log(np.maximum(times - before, 1))


def _known(history: History, spikes: pd.DataFrame, step: int) -> tuple[float, float, float, float]:
    """Return what is known at a fork: loss, effective step, steps since the last spike, noise of the gradient."""
    recent = slice(max(0, step - _RECENT), step)
    effective = history.steps.get("effective_step_q50", np.full(step, np.nan, np.float32))[recent]
    norm = history.steps["gradient_norm"][recent].astype(np.float64)
    onsets = spikes["onset"][spikes["onset"] < step]
    since = step - onsets.max() if len(onsets) else np.nan
    return reference_level(history.steps["loss"], step), float(effective.mean()), since, float(norm.std() / norm.mean())
