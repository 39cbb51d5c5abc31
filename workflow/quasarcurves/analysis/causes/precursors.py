"""Which measure moves before a spike, how many steps before, and how well each measure predicts the next spike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis.causes.alignment import (
    ABSOLUTE,
    KINDS,
    RunEvents,
    finite,
    in_pairs,
    lags,
    measure_names,
    median,
)
from quasarcurves.analysis.stats import LEVEL, resampling

FEWEST_SPIKES = 10
"""Fewest spikes for a statement."""

LEADS = [(i, i) for i in (2, 3, 4)] + [(i, i + 4) for i in (5, 10, 15)] + [(i, i + 9) for i in range(20, 200, 10)]
"""First and last step before onset of the stretches that are compared: a move is timed to within one of them."""

SMALLEST_MOVE = 0.01
"""Relative: a smaller difference between spikes and quiet windows is no move, however significant."""

LASTING = 0.8
"""A move lasts if the measure is clearly on one side of the quiet windows in this share of stretches up to onset."""

_CLEARLY = 1.0
"""In standard deviations of the statistic."""

HORIZON = 50
"""Steps ahead within which a spike is to be predicted."""

_FLIPS = 999
_SEED = 42


def predictors(runs: Sequence[RunEvents]) -> pd.DataFrame:
    """Find for each measure when it moves before spikes, whether it is the first, and how well it predicts them.

    Parameters
    ----------
    runs : sequence of RunEvents
        Those of one optimizer and fraction.

    Returns
    -------
    DataFrame
        A row per measure, with 95 % intervals.

        - `n_spikes`, `n_runs`: spikes used and the runs they are of
        - `first_move`: steps before onset at which it leaves the quiet windows lastingly (see `first_moves`); NaN if it
          never does. The interval begins at 0 if it may never do
        - `moves_first`: True or False if the interval says so, else None
        - `auc`: probability that it is higher at a step with an onset within the next 50 than at one without, in an
          equal wake of spikes
        - `note`: "too few spikes", or how often it was measured
    """
    names, n_runs = measure_names(runs), sum(len(run.centres["spike"]) > 0 for run in runs)
    pairs = [run.pairs for run in runs]
    owner = in_pairs(pairs, pairs)[2]
    table = pd.DataFrame({"measure": names, "n_spikes": len(owner), "n_runs": n_runs})
    if len(owner) < FEWEST_SPIKES:
        return table.assign(**dict.fromkeys(_RESULTS, np.nan), note="too few spikes")
    rng = np.random.default_rng(_SEED)
    weights = resampling.draw_weights(owner, rng)
    differences, of_spikes = np.empty((len(owner), len(names), len(LEADS))), []
    # both of a measure before the next one is read: those of a long run do not fit into memory together
    for i, name in enumerate(names):
        differences[:, i] = stretches(runs, name)
        of_spikes.append(spike_aucs(runs, name))
    moves = first_moves(differences, names, weights, rng)
    areas = [_auc_row(each, weights) for each in of_spikes]
    notes = [_note(name, runs) for name in names]
    return pd.concat([table, moves, pd.DataFrame(areas)], axis=1).assign(note=notes)


_RESULTS = ["first_move", "first_move_low", "first_move_high", "moves_first", "auc", "auc_low", "auc_high"]


def _note(measure: str, runs: Sequence[RunEvents]) -> str:
    cadence = np.array([run.cadence for run in runs])
    known = measure in ABSOLUTE and np.isfinite(cadence).any()
    return f"measured every {np.nanmedian(cadence):.0f} steps: no lead is known better" if known else ""


def stretches(runs: Sequence[RunEvents], measure: str) -> np.ndarray:
    """Differences of a measure between spikes and their quiet windows, before onset.

    Returns
    -------
    (n, LEADS) array
        Median of the relative measure over each stretch, spike minus baseline; NaN where not known.
    """
    values = [{kind: _stretches_of(run, measure, kind) for kind in KINDS} for run in runs]
    spike, quiet, _ = in_pairs([run.pairs for run in runs], values)
    return spike - quiet


def _stretches_of(run: RunEvents, measure: str, kind: str) -> np.ndarray:
    if measure not in run.measures or not len(run.centres[kind]):
        return np.full((len(run.centres[kind]), len(LEADS)), np.nan)
    windows = run.relative_windows(measure, kind)
    return np.stack([median(lags(windows, -last, -first)) for first, last in LEADS], axis=1)


def first_moves(
    differences: np.ndarray, names: Sequence[str], weights: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Time the first lasting move of each measure, and say which one is first.

    Spikes are compared with their quiet windows by Wilcoxon's signed-rank statistic in every stretch before onset. If
    measures were unrelated to spikes, the two of a pair could be exchanged. Random exchanges, the same for all measures
    and stretches, yield the band in which the largest of all statistics stays with 95 % probability (Westfall & Young
    1993, Resampling-Based Multiple Testing). Without any precursor a measure moves in at most one of 20 tables. Of two
    measures that begin to move together, the noisier one leaves the band later or never: first is the first of those
    that move.

    Parameters
    ----------
    differences : (n, measures, LEADS) array
    names : sequence of str
    weights : (draws, n) array
        From `draw_weights`.
    rng : Generator

    Returns
    -------
    DataFrame
        `first_move`, `first_move_low`, `first_move_high`, `moves_first`.
    """
    ranks = signed_ranks(differences)
    large = np.abs(np.nan_to_num(_median_over_spikes(differences))) >= SMALLEST_MOVE
    band = exchange_band(ranks, rng)
    seen = leads(_standardised(np.ones((1, len(ranks))), ranks), band, large)[0]
    drawn = leads(_standardised(weights, ranks), band, large)
    rows = []
    for i, name in enumerate(names):
        others = [j for j, other in enumerate(names) if quantity(other) != quantity(name)]
        # draws of measures that did not move show only their noise
        rival = drawn[:, [j for j in others if seen[j]]].max(axis=1, initial=0)
        first, later = np.mean(drawn[:, i] > rival), np.mean(drawn[:, i] < rival)
        low, high = resampling.bounds(drawn[:, i], len(ranks)) if seen[i] else (np.nan, np.nan)
        verdict = True if seen[i] and first >= LEVEL else False if later >= LEVEL else None
        rows.append((seen[i] or np.nan, low, high, verdict if seen.any() else None))
    return pd.DataFrame(rows, columns=_RESULTS[:4]).astype({"moves_first": object})


def quantity(measure: str) -> str:
    """Return the quantity behind a measure: mean and quantiles of the effective step do not precede each other."""
    return next((known for known in ("effective_step", "rms") if measure.startswith(known)), measure)


def signed_ranks(differences: np.ndarray) -> np.ndarray:
    """Rank of each absolute difference among the spikes, with the difference's sign; 0 where it is not known."""
    ranks = scipy.stats.rankdata(np.abs(differences), axis=0, nan_policy="omit")
    ranks *= np.sign(differences)
    return np.nan_to_num(ranks, copy=False)


def _standardised(weights: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Weighted signed-rank statistics (draws, measures, LEADS) in units of their standard deviation."""
    flat = ranks.reshape(len(ranks), -1)
    spread = np.sqrt(weights @ flat**2)
    sums = weights @ flat
    return np.divide(sums, spread, out=np.zeros_like(sums), where=spread > 0).reshape(-1, *ranks.shape[1:])


def exchange_band(ranks: np.ndarray, rng: np.random.Generator) -> float:
    """Return what the largest standardised statistic exceeds in 5 % of random exchanges of spike and quiet window."""
    flat = ranks.reshape(len(ranks), -1)
    spread = np.sqrt((flat**2).sum(axis=0))
    standardised = flat[:, spread > 0] / spread[spread > 0]
    # one by one: over thousands of spikes all of them would fill hundreds of megabytes
    exchanges = (rng.choice([-1.0, 1.0], len(ranks)) for _ in range(_FLIPS))
    return float(np.quantile([np.abs(signs @ standardised).max(initial=0) for signs in exchanges], LEVEL))


def leads(statistics: np.ndarray, band: float, large: np.ndarray) -> np.ndarray:
    """Steps before onset of the first lasting move, 0 if there is none.

    Parameters
    ----------
    statistics : (draws, measures, LEADS) array
        Standardised.
    band : float
        Statistics without a move stay in it.
    large : (measures, LEADS) bool array
        Where the difference is at least `SMALLEST_MOVE`.

    Returns
    -------
    (draws, measures) int array
        The nearest step of the stretch: the move has begun by then.
    """
    above, below = (_share_up_to_onset(side * statistics > _CLEARLY) for side in (1, -1))
    lasting = np.where(statistics > 0, above, below) >= LASTING
    moved = (np.abs(statistics) > band) & large & lasting
    return np.where(moved, [nearest for nearest, _ in LEADS], 0).max(axis=-1)


def _share_up_to_onset(found: np.ndarray) -> np.ndarray:
    return np.cumsum(found, axis=-1) / np.arange(1, found.shape[-1] + 1)


def _median_over_spikes(differences: np.ndarray) -> np.ndarray:
    flat = differences.reshape(len(differences), -1)
    return median(flat.T).reshape(differences.shape[1:])


def spike_aucs(runs: Sequence[RunEvents], measure: str) -> np.ndarray:
    """Area under the ROC curve of each matched spike (n,): its last 50 steps against the last 50 of its quiet window.

    The measure counts as it is: a slow signal is one too. NaN where either are unknown.
    """
    values = [{kind: _last_steps(run, measure, kind) for kind in KINDS} for run in runs]
    spike, quiet, _ = in_pairs([run.pairs for run in runs], values)
    return auc(spike, quiet)


def _last_steps(run: RunEvents, measure: str, kind: str) -> np.ndarray:
    """Return a measure (n, HORIZON) at the last steps before onset; NaN where a run does not have it."""
    centres = run.centres[kind]
    if measure not in run.measures or not len(centres):
        return np.full((len(centres), HORIZON), np.nan)
    return finite(run.measures[measure][centres[:, None] + np.arange(-HORIZON, 0)])


def auc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the share of pairs whose positive is higher, ties counting half (Hanley & McNeil 1982).

    `scipy.stats.mannwhitneyu` has the same statistic but takes 40 times as long; a large study asks 100,000 times.

    Parameters
    ----------
    positives, negatives : (rows, n), (rows, m) float64 arrays
        NaN are left out.

    Returns
    -------
    (rows,) array
        NaN where either side has no value.
    """
    higher, ties = np.zeros(len(positives)), np.zeros(len(positives))
    # a column at a time: all pairs at once take m times the memory
    for column in negatives.T:
        higher += (positives > column[:, None]).sum(axis=1)
        ties += (positives == column[:, None]).sum(axis=1)
    pairs = np.isfinite(positives).sum(axis=1) * np.isfinite(negatives).sum(axis=1)
    return (higher + ties / 2) / np.where(pairs > 0, pairs, np.nan)


def _auc_row(areas: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    if np.isfinite(areas).sum() < FEWEST_SPIKES:
        return dict.fromkeys(_RESULTS[4:], np.nan)
    low, high = resampling.mean_interval(areas, weights)
    return {"auc": float(np.nanmean(areas)), "auc_low": low, "auc_high": high}
