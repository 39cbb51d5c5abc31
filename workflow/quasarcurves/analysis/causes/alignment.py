"""A run's measures around its spikes: windows aligned at their onsets, and quiet windows to compare them with.

A spike is remembered for a thousand steps and more: the mean of squared gradients jumps, the effective step falls to a
fraction and creeps back. A quiet window in that wake has a small step for that reason alone. So a spike is compared
with another time in an equal wake. Slow signals remain: no measure is divided by its own trend.

Onsets are found in the loss of single steps. Two things follow. At onset the loss, and with it the gradient of that
batch, is high by definition: only the steps before it show what came first. One step before it the loss is on its
course by definition: where the question is what moves first, that step does not count either.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis.spikes import SETTLED_EPOCH
from quasarcurves.analysis.spikes.detection import memory_of
from quasarcurves.training.history import History

BEFORE, AFTER = 300, 500
"""Steps of a window before and after onset."""

REFERENCE = (-300, -200)
"""First and last lag of the stretch whose median a measure is divided by."""

LAGS = np.concatenate([np.arange(-BEFORE, -50, 5), np.arange(-50, 51), np.arange(55, AFTER + 1, 5)])
"""Lags of the table: steps after onset."""

CLEAR_AFTER = 150
"""Quiet windows have no spike in so many steps after their centre: half of a window before an onset stays out."""

USUAL_MEMORY = 1000.0
"""Steps that a mean of squares remembers at beta_2 = 0.999."""

ABSOLUTE = {
    "sharpness_over_threshold": ("sharpness", "threshold"),
    "gradient_curvature_over_threshold": ("gradient_curvature", "threshold"),
    "batch_sharpness_over_threshold": ("batch_sharpness", "batch_threshold"),
    "descent_cosine": ("descent_cosine", None),
    "clipped_share": ("clipped_share", None),
}
"""Measures that are ratios already: their column of the curvature record, and the one that it is divided by if any."""

KINDS = ("spike", "baseline")
EVERY = "every"
_MATCHING_SEED = 41


@dataclass(frozen=True)
class RunEvents:
    """A run's measures, its spikes, and the quiet windows matched to them.

    Parameters
    ----------
    params : mapping
        Of the run, as its history has them.
    measures : mapping of str to (t,) float64 array
        By step.
    settled : int
        First step at which spikes count.
    spike_of : (t,) int array
        The spike that a step lies in, -1 if none.
    onsets : (m,) int array
        Of all spikes after the loss has settled.
    centres : dict of str to (n,) int array
        `spike`: onsets that have a match; `baseline`: centres of the quiet windows matched to them, in the same order;
        `every`: all onsets that no other spike precedes within a window.
    cadence : float
        Steps between measurements of the curvature, NaN if there are none.
    """

    params: Mapping[str, Any]
    measures: Mapping[str, np.ndarray]
    settled: int
    spike_of: np.ndarray
    onsets: np.ndarray
    centres: Mapping[str, np.ndarray] = field(default_factory=dict)
    cadence: float = float("nan")

    def windows(self, values: np.ndarray, kind: str) -> np.ndarray:
        """Cut windows out of a measure.

        Parameters
        ----------
        values : (t,) array
        kind : str
            A key of `centres`.

        Returns
        -------
        (n, BEFORE + 1 + AFTER) array
            NaN beyond the ends of the run and inside other spikes.
        """
        centres = self.centres[kind]
        windows, spikes = _cut(values, centres, np.nan), _cut(self.spike_of, centres, -1)
        # a quiet window has no spike of its own
        own = self.spike_of[centres][:, None] if kind != "baseline" else -1
        windows[(spikes != own) & (spikes >= 0)] = np.nan
        return windows

    def relative_windows(self, measure: str, kind: str) -> np.ndarray:
        """Windows of a measure relative to its own reference; a measure that is already a ratio stays unchanged."""
        windows = self.windows(self.measures[measure], kind)
        if measure not in ABSOLUTE:
            windows /= positive(median(lags(windows, *REFERENCE)))[:, None]
        return windows


def _cut(values: np.ndarray, centres: np.ndarray, beyond: float) -> np.ndarray:
    """Cut windows (n, BEFORE + 1 + AFTER) out of values (t,), which continue as `beyond` at both ends."""
    windows = np.full((len(centres), BEFORE + 1 + AFTER), beyond, values.dtype)
    # one by one: padding the values of a long run takes longer, and as much memory again
    for window, begin in zip(windows, (centres - BEFORE).tolist(), strict=True):
        first, last = max(begin, 0), min(begin + len(window), len(values))
        window[first - begin : last - begin] = values[first:last]
    return windows


def lags(windows: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return the columns of windows (n, BEFORE + 1 + AFTER) from one lag to another, both included."""
    return windows[:, first + BEFORE : last + BEFORE + 1]


def median(windows: np.ndarray) -> np.ndarray:
    """Median of each row without its NaN; NaN where a row has no value."""
    return quantiles(windows.T, [0.5])[0]


def quantiles(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Quantiles (shares, columns) of each column without its NaN; NaN where a column has no value.

    The same as `numpy.nanquantile`, which takes 100 times as long over many columns.
    """
    if not values.size:
        return np.full((len(shares), *values.shape[1:]), np.nan)
    ordered = np.sort(values, axis=0)  # NaN come last
    place = np.array(shares)[:, None] * np.maximum(np.isfinite(values).sum(axis=0) - 1, 0)
    below = np.floor(place).astype(int)
    low, high = (np.take_along_axis(ordered, index, axis=0) for index in (below, np.ceil(place).astype(int)))
    return low + (place - below) * (high - low)


def positive(values: np.ndarray) -> np.ndarray:
    """Values that one may divide by: NaN where they are not above 0."""
    return np.where(values > 0, values, np.nan)


def align(history: History, spikes: pd.DataFrame) -> RunEvents:
    """Find the events of a run.

    Parameters
    ----------
    history : History
    spikes : DataFrame
        `onset` and `end` of the sustained spikes in its loss per step, in order.

    Raises
    ------
    ValueError
        If a spike lies outside the run.
    """
    t = len(history.steps["loss"])
    onset = spikes["onset"].to_numpy(np.int64)
    end = spikes["end"].fillna(t).to_numpy(np.int64)
    if len(onset) and (onset.min() < 0 or end.max() > t):
        raise ValueError(
            f"run {_key(history)}: expected spikes within its {t} steps, found {onset.min()} to {end.max()}"
        )
    spike_of = np.full(t, -1, np.int32)
    for i, (first, last) in enumerate(zip(onset, end, strict=True)):
        spike_of[first:last] = i
    settled = settled_step(history)
    rng = np.random.default_rng([_MATCHING_SEED, zlib.crc32(repr(_key(history)).encode())])
    return RunEvents(
        params=history.params,
        measures=measures_of(history, spike_of),
        settled=settled,
        spike_of=spike_of,
        onsets=onset[onset >= settled],
        centres=match(onset, end, t, max(settled, BEFORE), _memory(history), rng),
        cadence=_cadence(history),
    )


def _memory(history: History) -> float:
    """Return the optimizer's memory in steps; that of the usual beta_2 where it has none."""
    memory = memory_of(history.params.get("optimizer_spec", {}))
    return memory if np.isfinite(memory) else USUAL_MEMORY


def _key(history: History) -> list:
    return [history.params.get(name) for name in ("fraction", "replicate", "optimizer")]


def settled_step(history: History) -> int:
    """Return the first step at which spikes count: after 50 epochs, or a quarter of the run if that is sooner."""
    return int(min(SETTLED_EPOCH * history.params["outcome"]["steps_per_epoch"], len(history.steps["loss"]) // 4))


def measures_of(history: History, spike_of: np.ndarray) -> Mapping[str, np.ndarray]:
    """Return all measures of a run by step: those of the step record, and what is measured with the curvature.

    Parameters
    ----------
    history : History
    spike_of : (t,) int array
        The spike that a step lies in, -1 if none.

    Returns
    -------
    mapping of str to (t,) float64 array
        NaN where not finite. What is measured with the curvature has the value of its last measurement; one from inside
        a spike counts until the spike is over. A measure is made on demand: those of a long run fill gigabytes.
    """
    makers = {name: partial(_finite_column, history.steps, name) for name in history.steps}
    curvature = getattr(history, "curvature", {})
    for name, (column, threshold) in ABSOLUTE.items():
        if column in curvature and (threshold is None or threshold in curvature):
            values = _finite(curvature[column]) / (
                1.0 if threshold is None else positive(_finite(curvature[threshold]))
            )
            if np.isfinite(values).any():
                makers[name] = partial(_held, values, np.asarray(curvature["step"]), spike_of)
    return MadeOnDemand(makers)


class MadeOnDemand(Mapping[str, np.ndarray]):
    """Arrays by name, each made on demand. The last one is kept, as it is often asked for again.

    Parameters
    ----------
    makers : mapping of str to function
        Each returns its array.
    """

    def __init__(self, makers: Mapping[str, Callable[[], np.ndarray]]) -> None:
        self._makers = dict(makers)
        self._last: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._last:
            self._last.clear()  # frees its memory before the next array is made
            self._last[name] = self._makers[name]()
        return self._last[name]

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def _finite_column(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return _finite(columns[name])


def _finite(values: np.ndarray) -> np.ndarray:
    values = np.array(values, np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _held(values: np.ndarray, steps: np.ndarray, spike_of: np.ndarray) -> np.ndarray:
    """Spread measurements over the steps that follow them."""
    t = len(spike_of)
    # -1 before the first one
    last = np.repeat(np.arange(-1, len(steps)), np.diff(np.minimum(steps, t), prepend=0, append=t))
    measured_in = np.append(spike_of, -1)[np.minimum(steps, t)][last]
    stale = (measured_in >= 0) & (measured_in != spike_of)
    return np.where((last >= 0) & ~stale, values[last], np.nan)


def _cadence(history: History) -> float:
    steps = getattr(history, "curvature", {}).get("step", ())
    return float(np.median(np.diff(steps))) if len(steps) > 1 else float("nan")


def match(
    onset: np.ndarray, end: np.ndarray, t: int, first: int, memory: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Match a quiet window to each spike: another time in an equal wake of the spikes before it.

    The wake is the sum over past spikes of exp(-steps since the end / memory), what a running mean of squared gradients
    keeps of spikes that are alike. Between two spikes it falls steadily, so at most one step there has the wake of the
    onset. The match is drawn from those steps, earlier ones and later ones, that no spike precedes within a window or
    follows within `CLEAR_AFTER` steps. Earlier ones alone would let every slow change of training look like an effect
    of spikes; so as many are earlier as later, but for one. The first spike has no match, nor has one without such a
    step or on whose side there are too many.

    Parameters
    ----------
    onset, end : (m,) int arrays
        In order.
    t : int
        Steps of the run.
    first : int
        First step that a window may have its centre at.
    memory : float
        Steps.
    rng : Generator

    Returns
    -------
    dict of str to (n,) int array
        As `RunEvents.centres`.
    """
    since = onset - np.append(0, end[:-1]) if len(onset) else onset  # of the first: since the start
    usable = (onset >= first) & (since >= BEFORE)
    wakes, after, found = _wakes(end, memory), np.append(onset[1:], t), []
    for i in np.flatnonzero(usable[1:]) + 1:
        wake = wakes[i - 1] * np.exp(-since[i] / memory)
        ages = np.round(memory * np.log(wakes / wake)).astype(np.int64)  # (m,), one after each spike
        centres = end + ages
        quiet = (centres >= first) & (ages >= BEFORE) & (centres + CLEAR_AFTER <= after)
        found.append((int(onset[i]), centres[quiet]))
    spikes, baselines = np.array(_balanced(found, rng), np.int64).reshape(-1, 2).T
    return {"spike": spikes, "baseline": baselines, EVERY: onset[usable]}


def _balanced(found: Sequence[tuple[int, np.ndarray]], rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draw a match for each spike from the steps found for it, such that as many are earlier as later, but for one."""
    chosen: tuple[list[tuple[int, int]], list[tuple[int, int]]] = [], []
    sides = [(spike, steps[steps < spike], steps[steps > spike]) for spike, steps in found]
    # spikes that may have either come last, and even out the others
    for spike, *both in sorted(sides, key=lambda side: len(side[1]) > 0 and len(side[2]) > 0):
        lacking = int(rng.integers(2)) if len(chosen[0]) == len(chosen[1]) else int(len(chosen[1]) < len(chosen[0]))
        for side in (lacking, 1 - lacking):
            if len(both[side]):
                chosen[side].append((spike, int(rng.choice(both[side]))))
                break
    fewer = min(len(chosen[0]), len(chosen[1]))
    for pairs in chosen:
        rng.shuffle(pairs)
    return sorted(chosen[0][: fewer + 1] + chosen[1][: fewer + 1])


def _wakes(end: np.ndarray, memory: float) -> np.ndarray:
    """Return the wake (m,) at the end of each spike."""
    wakes = np.ones(len(end))
    for i, quiet in enumerate(np.diff(end), start=1):
        wakes[i] += wakes[i - 1] * np.exp(-quiet / memory)
    return wakes


def aligned_averages(runs: Iterable[RunEvents]) -> pd.DataFrame:
    """Average the measures around all spikes of several runs, and around the quiet windows of those that have one.

    Parameters
    ----------
    runs : iterable of RunEvents
        Those of one optimizer and fraction.

    Returns
    -------
    DataFrame
        A row per `measure`, `kind` (spike or baseline) and `lag`: number of windows known there, quartiles and median.
    """
    runs, tables = list(runs), []
    for measure in measure_names(runs):
        for kind, centres in zip(KINDS, (EVERY, "baseline"), strict=True):
            windows = [run.relative_windows(measure, centres) for run in runs if measure in run.measures]
            pooled = np.concatenate([each[:, LAGS + BEFORE] for each in windows])
            low, middle, high = quantiles(pooled, [0.25, 0.5, 0.75])
            columns = {"measure": measure, "kind": kind, "lag": LAGS, "n": np.isfinite(pooled).sum(axis=0)}
            tables.append(pd.DataFrame(columns | {"q25": low, "median": middle, "q75": high}))
    table = pd.concat(tables, ignore_index=True)
    return table[table["n"] > 0]


def measure_names(runs: Iterable[RunEvents]) -> list[str]:
    """Names of the measures that any of the runs has, in the order of the record."""
    return list(dict.fromkeys(name for run in runs for name in run.measures))
