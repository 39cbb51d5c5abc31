"""A run's measures around its spikes: windows aligned at their onsets, and quiet windows to compare them with.

A spike is remembered for a thousand steps and more: the mean of squared gradients jumps, the effective step falls to a
fraction and creeps back. A quiet window in that wake has a small step for that reason alone. So a spike is compared
with another time in an equal wake. Slow signals remain: no measure is divided by its own trend.

Onsets are found in the loss of single steps. Two things follow. At onset the loss, and with it the gradient of that
batch, is high by definition: only the steps before it show what came first. One step before it the loss is on its
course by definition: where the question is what moves first, that step does not count either.

A run with few spikes has few such times, so quiet windows of the other replicates count as well. Runs differ in level.
So each run has as many quiet windows as spikes: what a run has more of than others is in both sides alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy

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
_NEARNESS = 0.3


@dataclass(frozen=True)
class RunEvents:
    """A run's measures, its spikes, and the quiet windows matched to them.

    Parameters
    ----------
    params : mapping
        Of the run, as its history has them.
    measures : mapping of str to (t,) float array
        By step, as recorded.
    settled : int
        First step at which spikes count.
    spike_of : (t,) int array
        The spike that a step lies in, -1 if none.
    onsets : (m,) int array
        Of all spikes after the loss has settled.
    centres : dict of str to (n,) int array
        `spike`: onsets that have a match; `baseline`: centres of quiet windows matched to spikes of this or other runs;
        `every`: all onsets that no other spike precedes within a window.
    pairs : dict of str to (n,) str array
        The spike that each window of `centres` belongs to, by fraction, replicate and onset (see `in_pairs`).
    cadence : float
        Steps between measurements of the curvature, NaN if there are none.
    """

    params: Mapping[str, Any]
    measures: Mapping[str, np.ndarray]
    settled: int
    spike_of: np.ndarray
    onsets: np.ndarray
    centres: Mapping[str, np.ndarray] = field(default_factory=dict)
    pairs: Mapping[str, np.ndarray] = field(default_factory=dict)
    cadence: float = float("nan")

    def windows(self, values: np.ndarray, kind: str) -> np.ndarray:
        """Cut windows out of a measure.

        Parameters
        ----------
        values : (t,) float array
        kind : str
            A key of `centres`.

        Returns
        -------
        (n, BEFORE + 1 + AFTER) float64 array
            NaN where not finite, beyond the ends of the run and inside other spikes.
        """
        windows = finite(_cut(values, self.centres[kind], np.nan))
        windows[self._in_others[kind]] = np.nan
        return windows

    @cached_property
    def _in_others(self) -> Mapping[str, np.ndarray]:
        """Steps of windows (n, BEFORE + 1 + AFTER) that lie inside other spikes, by kind: the same for all measures."""
        inside = {}
        for kind, centres in self.centres.items():
            spikes = _cut(self.spike_of, centres, -1)
            # a quiet window has no spike of its own
            own = self.spike_of[centres][:, None] if kind != "baseline" else -1
            inside[kind] = (spikes != own) & (spikes >= 0)
        return inside

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
    """Find the events of a run, and quiet windows in it alone: as `align_runs`."""
    return align_runs([history], [spikes])[0]


def align_runs(histories: Sequence[History], spikes: Sequence[pd.DataFrame]) -> list[RunEvents]:
    """Find the events of the replicates of one optimizer and fraction, and match quiet windows among them.

    Parameters
    ----------
    histories : sequence of History
    spikes : sequence of DataFrame
        Of each, `onset` and `end` of the sustained spikes in its loss per step, in order.

    Raises
    ------
    ValueError
        If a spike lies outside its run.
    """
    if not histories:
        return []
    times = [_times(history, table) for history, table in zip(histories, spikes, strict=True)]
    runs = [_events(history, each) for history, each in zip(histories, times, strict=True)]
    rng = np.random.default_rng([_MATCHING_SEED, zlib.crc32(repr([_key(history) for history in histories]).encode())])
    matched = match(times, _memory(histories[0]), rng)
    names = np.array([f"{_key(histories[a])[:2]} {onset}" for a, onset, _, _ in matched], str)
    for i, (run, each) in enumerate(zip(runs, times, strict=True)):
        own = {"spike": matched[:, 0] == i, "baseline": matched[:, 2] == i}
        steps = {"spike": matched[own["spike"], 1], "baseline": matched[own["baseline"], 3]}
        usable = each.onset[(each.onset >= each.first) & (_since(each) >= BEFORE)]
        pairs = {kind: names[of] for kind, of in own.items()}
        runs[i] = replace(run, centres={**steps, EVERY: usable}, pairs=pairs)
    return runs


def in_pairs(
    pairs: Sequence[Mapping[str, np.ndarray]], values: Sequence[Mapping[str, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bring values of spikes and of their quiet windows, which may lie in other runs, into the same order.

    Parameters
    ----------
    pairs : sequence of mapping of str to (n,) str array
        Of each run, as `RunEvents.pairs`.
    values : sequence of mapping of str to (n, ...) array
        Of each run, by kind.

    Returns
    -------
    spike, baseline : (n, ...) arrays
        Of all pairs of which both are among these runs.
    run : (n,) int array
        The index of the run that the spike is of.
    """
    names, found = ({kind: np.concatenate([of[kind] for of in each]) for kind in KINDS} for each in (pairs, values))
    _, spikes, quiet = np.intersect1d(names["spike"], names["baseline"], return_indices=True)
    order = np.argsort(spikes)  # runs and onsets in their order
    spikes, quiet = spikes[order], quiet[order]
    run = np.repeat(np.arange(len(pairs)), [len(of["spike"]) for of in pairs])
    return found["spike"][spikes], found["baseline"][quiet], run[spikes]


class Times(NamedTuple):
    """When a run spikes: `onset` and `end` (m,) of all spikes in order, its steps, and the first that may count."""

    onset: np.ndarray
    end: np.ndarray
    t: int
    first: int


def _times(history: History, spikes: pd.DataFrame) -> Times:
    t = len(history.steps["loss"])
    onset = spikes["onset"].to_numpy(np.int64)
    end = spikes["end"].fillna(t).to_numpy(np.int64)
    if len(onset) and (onset.min() < 0 or end.max() > t):
        raise ValueError(
            f"run {_key(history)}: expected spikes within its {t} steps, found {onset.min()} to {end.max()}"
        )
    return Times(onset, end, t, max(settled_step(history), BEFORE))


def _since(times: Times) -> np.ndarray:
    """Return the steps (m,) from the end of the spike before to each onset; of the first, from the start."""
    return times.onset - np.append(0, times.end)[: len(times.onset)]


def _events(history: History, times: Times) -> RunEvents:
    spike_of = np.full(times.t, -1, np.int32)
    for i, (first, last) in enumerate(zip(times.onset, times.end, strict=True)):
        spike_of[first:last] = i
    settled = settled_step(history)
    return RunEvents(
        params=history.params,
        measures=measures_of(history, spike_of),
        settled=settled,
        spike_of=spike_of,
        onsets=times.onset[times.onset >= settled],
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
    mapping of str to (t,) float array
        As recorded. What is measured with the curvature has the value of its last measurement, NaN where that is not
        finite; one from inside a spike counts until the spike is over. A measure is made on demand: those of a long run
        fill gigabytes.
    """
    makers = {name: partial(history.steps.__getitem__, name) for name in history.steps}
    curvature = getattr(history, "curvature", {})
    for name, (column, threshold) in ABSOLUTE.items():
        if column in curvature and (threshold is None or threshold in curvature):
            values = finite(curvature[column]) / (1.0 if threshold is None else positive(finite(curvature[threshold])))
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


def finite(values: np.ndarray) -> np.ndarray:
    """Return values in float64, NaN where they are not finite."""
    values = np.array(values, np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _held(values: np.ndarray, steps: np.ndarray, spike_of: np.ndarray) -> np.ndarray:
    """Spread measurements over the steps that follow them."""
    edges = np.append(np.minimum(steps, len(spike_of)), len(spike_of))
    held = np.repeat(np.append(np.nan, values), np.diff(edges, prepend=0))
    measured_in = np.append(spike_of, -1)[edges[:-1]]
    for i in np.flatnonzero(measured_in >= 0):
        stretch = slice(edges[i], edges[i + 1])
        held[stretch][spike_of[stretch] != measured_in[i]] = np.nan
    return held


def _cadence(history: History) -> float:
    steps = getattr(history, "curvature", {}).get("step", ())
    return float(np.median(np.diff(steps))) if len(steps) > 1 else float("nan")


def match(runs: Sequence[Times], memory: float, rng: np.random.Generator) -> np.ndarray:
    """Match a quiet window to each spike: another time in an equal wake, of this or another run.

    The wake is the sum over past spikes of exp(-steps since the end / memory), what a running mean of squared gradients
    keeps of spikes that are alike. Between two spikes it falls steadily, so at most one step there has the wake of the
    onset; the first spike of a run is matched with the same step of a run that has had none. No spike precedes a quiet
    window within a window or follows within `CLEAR_AFTER` steps.

    Of all such steps those are taken that match most spikes, near in step where there is a choice, under two
    conditions. As many are earlier as later, or one more on a side drawn by lot: else every slow change of training
    would look like an effect of spikes. Each run has as many quiet windows as matched spikes: else that a run has a
    higher level than another would.

    Parameters
    ----------
    runs : sequence of Times
    memory : float
        Steps.
    rng : Generator

    Returns
    -------
    (n, 4) int array
        Run and onset of each matched spike, run and centre of its quiet window.
    """
    found = _candidates(runs, memory)
    if not len(found):
        return found
    run, onset, quiet_run, centre = found.T
    pairs = np.arange(len(found))
    _, spike = np.unique(found[:, :2], axis=0, return_inverse=True)
    distance = np.abs(centre - onset) / max(np.abs(centre - onset).max(), 1)
    surplus = scipy.sparse.coo_array(
        (np.repeat([1.0, -1.0], len(found)), (np.append(run, quiet_run), np.tile(pairs, 2))), (len(runs), len(found))
    )
    lot = int(rng.integers(2))
    solved = scipy.optimize.milp(
        # any pair more is worth the distances; equal ones are drawn by lot
        _NEARNESS * distance - 1 - 1e-3 * rng.random(len(found)),
        integrality=np.ones(len(found), np.int64),
        bounds=scipy.optimize.Bounds(0, 1),
        constraints=[
            scipy.optimize.LinearConstraint(
                scipy.sparse.csr_array((np.ones(len(found)), (spike.ravel(), pairs))), 0, 1
            ),
            scipy.optimize.LinearConstraint(surplus.tocsr(), 0, 0),
            scipy.optimize.LinearConstraint(np.sign(centre - onset)[None].astype(float), lot - 1, lot),
        ],
        options={"mip_rel_gap": 1e-3},
    )
    return found[np.asarray(solved.x) > 0.5]


def _candidates(runs: Sequence[Times], memory: float) -> np.ndarray:
    """Return what `match` chooses from: the nearest steps before and after each onset, in each run."""
    wakes_of, rows = [_wakes(run.end, memory) for run in runs], []
    for i, run in enumerate(runs):
        since, wakes = _since(run), wakes_of[i]
        for k in np.flatnonzero((run.onset >= run.first) & (since >= BEFORE)):
            wake = wakes[k - 1] * np.exp(-since[k] / memory) if k else 0.0
            for j, other in enumerate(runs):
                if k or j != i:
                    steps = _quiet_steps(other, wakes_of[j], wake, int(run.onset[k]), memory)
                    rows += [(i, int(run.onset[k]), j, step) for step in steps]
    return np.array(rows, np.int64).reshape(-1, 4)


def _quiet_steps(run: Times, wakes: np.ndarray, wake: float, at: int, memory: float) -> list[int]:
    """Return the steps of a run in a wake that are nearest to a step, before and after it."""
    if wake == 0:
        until = run.onset[0] if len(run.onset) else run.t
        return [at] if run.first <= at <= until - CLEAR_AFTER else []
    ages = np.round(memory * np.log(wakes / wake)).astype(np.int64)  # (m,), one after each spike
    steps = run.end + ages
    steps = steps[(steps >= run.first) & (ages >= BEFORE) & (steps + CLEAR_AFTER <= np.append(run.onset, run.t)[1:])]
    return [int(side[0]) for side in (steps[steps < at][::-1], steps[steps > at]) if len(side)]


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
