"""Published hypotheses about the cause of spikes, and a verdict on each from the runs of an optimizer.

Most hypotheses name a condition that precedes spikes. The share of spikes after the condition is compared with the
share of their quiet windows after it, as a condition that is always met explains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis.causes.alignment import (
    ABSOLUTE,
    KINDS,
    REFERENCE,
    RunEvents,
    finite,
    in_pairs,
    lags,
    median,
    positive,
)
from quasarcurves.analysis.causes.precursors import FEWEST_SPIKES
from quasarcurves.analysis.stats import ALPHA, resampling

AMSGRAD_RULE = "AMSGrad's step never grows"
"""The one hypothesis that is of an optimizer's rule and no cause of a spike."""

SUPPORTED, CONTRADICTED, NOT_SETTLED, NOT_MEASURED = "supported", "contradicted", "not settled", "not measured"

WORTH_THE_NAME = 0.2
"""A condition causes most spikes only if it precedes them more often than quiet windows, by at least this share."""

RESOLVING = 50
"""Steps: a curvature that is measured more seldom may exceed its threshold unseen."""

NO_GROWTH = 1e-3
"""Smaller growth of an effective step is rounding: it is recorded in float32."""

EFFECTIVE_STEP = "effective_step_q50"
"""Of the typical weight. The mean is dominated by a few weights with vanishing gradients, as of some biases."""

COLUMNS = ["hypothesis", "source", "prediction", "evidence", "estimate", "low", "high", "verdict"]

_BEFORE_ONSET = (-50, -2)
_JUST_BEFORE = (-8, -1)
_AFTERMATH = (100, 150)
_SUSTAINED = (-250, -1)
_SEED = 43
_BLOCK = 2**19
"""Steps."""


def growth(windows: np.ndarray) -> np.ndarray:
    """Median over the 50 steps before onset, relative to that 200 to 300 steps before."""
    return median(lags(windows, *_BEFORE_ONSET)) / positive(median(lags(windows, *REFERENCE)))


def growth_across(windows: np.ndarray) -> np.ndarray:
    """Median 100 to 150 steps after onset, relative to that 200 to 300 steps before."""
    return median(lags(windows, *_AFTERMATH)) / positive(median(lags(windows, *REFERENCE)))


def level(windows: np.ndarray) -> np.ndarray:
    """Median over the 50 steps before onset."""
    return median(lags(windows, *_BEFORE_ONSET))


def highest(windows: np.ndarray) -> np.ndarray:
    """Highest of the 8 steps before onset (StableAdamW sees RMS_t rise 1 to 8 steps ahead of the loss)."""
    return np.fmax.reduce(lags(windows, *_JUST_BEFORE), axis=1)


def last(windows: np.ndarray) -> np.ndarray:
    """Value at the last step before onset."""
    return lags(windows, -1, -1)[:, 0]


def last_below(windows: np.ndarray) -> np.ndarray:
    """Value at the last step before onset, its sign changed: for measures that are expected to be low."""
    return -last(windows)


def sustained(windows: np.ndarray) -> np.ndarray:
    """Lowest known value of the last 250 steps before onset; NaN if less than half of them are known."""
    run_up = lags(windows, *_SUSTAINED)
    known = np.isfinite(run_up).mean(axis=1) >= 0.5
    return np.where(known, np.fmin.reduce(run_up, axis=1), np.nan)


@dataclass(frozen=True)
class Condition:
    """A hypothesis that names a condition which precedes spikes.

    Parameters
    ----------
    hypothesis, source, prediction : str
    measure : str
        The measure of the condition.
    value : function of (n, ...) windows to (n,) array
    threshold : float or None
        The condition is met above it; None: above the value of the matched quiet window.
    """

    hypothesis: str
    source: str
    prediction: str
    measure: str
    value: Callable[[np.ndarray], np.ndarray]
    threshold: float | None


CONDITIONS = (
    Condition(
        "effective step grows",
        "usual explanation; Reddi et al. 2018",
        "the effective step grows more in the 250 steps before a spike than at a quiet time in an equal wake",
        EFFECTIVE_STEP,
        growth,
        None,
    ),
    Condition(
        "effective step is large",
        "usual explanation; Reddi et al. 2018",
        "the effective step is larger before a spike than at a quiet time in an equal wake",
        EFFECTIVE_STEP,
        level,
        None,
    ),
    Condition(
        "preconditioned sharpness",
        "Cohen et al. 2022",
        "the largest eigenvalue of the preconditioned Hessian is above its stability threshold before a spike",
        "sharpness_over_threshold",
        last,
        1.0,
    ),
    Condition(
        "batch sharpness",
        "Andreyev & Beneventano 2024",
        "the curvature along the preconditioned gradients of batches is above the threshold of batches before a spike",
        "batch_sharpness_over_threshold",
        last,
        1.0,
    ),
    Condition(
        "curvature along the gradient",
        "Bai et al. 2025",
        # their 2/lr is of a matrix with a factor (1 - b1)/(1 + b1): (2 + 2 b1)/((1 - b1) lr) of what is recorded
        "the curvature along the preconditioned gradient stays above the threshold of full batches for 250 steps "
        "before a spike",
        "gradient_curvature_over_threshold",
        sustained,
        1.0,
    ),
    Condition(
        "growth of the last layer",
        "Thilak et al. 2022",
        "the norm of the last layer grows more across a spike than in a quiet window",
        "last_layer_norm",
        growth_across,
        None,
    ),
    Condition(
        "outdated second moment",
        "StableAdamW 2023",
        "RMS_t of the worst layer exceeds 1 in the 8 steps before a spike",
        "rms_worst",
        highest,
        1.0,
    ),
    Condition(
        "exceptional gradients",
        "ZClip 2025",
        "the z-score of the gradient norm exceeds 2.5 in the 8 steps before a spike",
        "gradient_norm_z",
        highest,
        2.5,
    ),
    Condition(
        "single gradients far above their past",
        "SPAM 2025",
        "g^2/v exceeds 5000 for some weight in the 8 steps before a spike",
        "square_over_past",
        highest,
        5000.0,
    ),
    Condition(
        "updates unrelated to descent",
        "Molybog et al. 2023",
        "the step before a spike points less downhill than one at a quiet time nearby",
        "descent_cosine",
        last_below,
        None,
    ),
    Condition(
        "gradient lost beyond the clip",
        "arXiv:2605.06152",
        "more boxes lie beyond the loss's clip, where the gradient is 0, before a spike than at a quiet time nearby",
        "clipped_share",
        last,
        None,
    ),
)
"""The hypotheses whose condition the records of steps and of the curvature hold."""


def z_score(norm: np.ndarray, decay: float = 0.97) -> np.ndarray:
    """Z-score of a gradient norm against moving averages of its mean and variance over the steps before (ZClip 2025).

    Parameters
    ----------
    norm : (t,) array
    decay : float
        Of both averages.

    Returns
    -------
    (t,) array
        NaN at the first step.
    """
    known = np.isfinite(norm)
    if not known.any():
        return np.full(len(norm), np.nan)
    scores = np.empty(len(norm))
    # an unknown value counts as the one before it: NaN would spread through the averages
    before = mean = float(norm[known.argmax()])
    variance = 0.0
    # by blocks: the intermediate arrays of a long run take gigabytes
    for first in range(0, len(norm), _BLOCK):
        own = np.append(before, finite(norm[first : first + _BLOCK]))
        values = pd.Series(own).ffill().to_numpy()
        before = float(values[-1])
        means = _moving_average(values[1:], decay, mean)
        deviations = values[1:] - means[:-1]
        variances = _moving_average(deviations**2, decay, variance)
        scores[first : first + _BLOCK] = deviations / np.sqrt(positive(variances[:-1]))
        mean, variance = float(means[-1]), float(variances[-1])
    scores[0] = np.nan
    return scores


def _moving_average(values: np.ndarray, decay: float, start: float) -> np.ndarray:
    """Return a start and the averages (1 + t,) of that and the values (t,) up to each."""
    averages, _ = scipy.signal.lfilter([1 - decay], [1, -decay], values, zi=[decay * start])
    return np.append(start, averages)


@dataclass(frozen=True)
class Facts:
    """The evidence of one run on the hypotheses: a few numbers per spike.

    Parameters
    ----------
    optimizer : str
    values : mapping of str to mapping of str to (n,) array
        Of each condition whose measure was recorded, by kind of window.
    pairs : mapping of str to (n,) str array
        The pair that each window of a kind is of, as `RunEvents.pairs`.
    tiny_batch : bool
        Whether the last batch of its epochs is incomplete.
    by_tiny_batch : (m,) array
        Of each spike: 1 if it begins with the incomplete batch or the step after it, less the share expected by chance.
    growth : (float, float) or None
        Largest growth of the effective step over its lowest value so far, as recorded and without Keras's bias
        correction, NaN if not recorded; None unless it is AMSGrad's.
    cadence : float
        Steps between measurements of the curvature.
    """

    optimizer: str
    values: Mapping[str, Mapping[str, np.ndarray]]
    pairs: Mapping[str, np.ndarray]
    tiny_batch: bool
    by_tiny_batch: np.ndarray
    growth: tuple[float, float] | None
    cadence: float


def facts_of(run: RunEvents) -> Facts:
    """Collect the evidence of a run."""
    makers: dict[str, Callable[[], np.ndarray]] = {
        name: partial(run.measures.__getitem__, name) for name in run.measures
    }
    if "gradient_norm" in run.measures:
        makers["gradient_norm_z"] = lambda: z_score(run.measures["gradient_norm"])
    values: dict[str, dict[str, np.ndarray]] = {}
    for measure in sorted({condition.measure for condition in CONDITIONS} & makers.keys()):
        column = makers[measure]()
        for kind in KINDS:
            windows = run.windows(column, kind)
            for condition in CONDITIONS:
                if condition.measure == measure:
                    values.setdefault(condition.hypothesis, {})[kind] = condition.value(windows)
        del column, windows  # their memory is needed for the next
    return Facts(
        optimizer=run.params["optimizer"],
        values=values,
        pairs=run.pairs,
        tiny_batch=_has_tiny_batch(run.params),
        by_tiny_batch=_by_tiny_batch(run),
        growth=_amsgrad_growth(run),
        cadence=run.cadence,
    )


def _has_tiny_batch(params: Mapping[str, Any]) -> bool:
    training = params.get("training", {})
    incomplete = params["outcome"]["n_train"] % training.get("batch_size", 1) != 0
    return incomplete and training.get("last_batch", "keep") == "keep"


def _by_tiny_batch(run: RunEvents) -> np.ndarray:
    per_epoch = run.params["outcome"]["steps_per_epoch"]
    position = run.onsets % per_epoch
    touched = (position == per_epoch - 1) | (position == 0)
    return touched - min(2 / per_epoch, 1.0)


def _amsgrad_growth(run: RunEvents) -> tuple[float, float] | None:
    spec = run.params.get("optimizer_spec", {})
    step = run.measures.get(EFFECTIVE_STEP)
    if not spec.get("amsgrad"):
        return None
    if step is None:
        return float("nan"), float("nan")
    number = np.arange(1, len(step) + 1)
    # Keras multiplies the learning rate by it, after the maximum is taken
    correction = np.sqrt(1 - spec.get("beta_2", 0.999) ** number) / (1 - spec.get("beta_1", 0.9) ** number)
    return _largest_growth(step), _largest_growth(step / correction)


def _largest_growth(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float((values / np.minimum.accumulate(values)).max() - 1) if len(values) else float("nan")


def judge(facts: Iterable[Facts], trends: pd.DataFrame) -> pd.DataFrame:
    """Judge every hypothesis for every optimizer, over all its runs.

    Each verdict is at 95 % and not adjusted for the others: in a table of many a few are wrong.

    Parameters
    ----------
    facts : iterable of Facts
        Of all runs.
    trends : DataFrame
        The table of `spikes.statistics.trends`.

    Returns
    -------
    DataFrame
        `hypothesis`, `optimizer`, `source`, `prediction`, `evidence` (a sentence), `estimate` with its interval `low`
        to `high`, and `verdict`: supported, contradicted, not settled or not measured.
    """
    facts, rows = list(facts), []
    for optimizer in sorted({one.optimizer for one in facts}):
        own = [one for one in facts if one.optimizer == optimizer]
        found = [_judge_condition(condition, own) for condition in CONDITIONS]
        found += [*_judge_amsgrad(own), _judge_tiny_batch(own), *_judge_locking(optimizer, trends)]
        rows += [{"optimizer": optimizer, **row} for row in found]
    table = pd.DataFrame(rows)[[COLUMNS[0], "optimizer", *COLUMNS[1:]]]
    order = {name: i for i, name in enumerate(dict.fromkeys(table["hypothesis"]))}
    return table.sort_values("hypothesis", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def _row(
    about: Sequence[str], evidence: str, verdict: str, estimate: float = np.nan, interval: tuple = (np.nan, np.nan)
) -> dict[str, Any]:
    return dict(zip(COLUMNS, (*about, evidence, estimate, *interval, verdict), strict=True))


def _judge_condition(condition: Condition, facts: Sequence[Facts]) -> dict[str, Any]:
    """Compare the share of spikes that a condition precedes with that of quiet windows."""
    about = (condition.hypothesis, condition.source, condition.prediction)
    known = [one for one in facts if condition.hypothesis in one.values]
    if not known:
        return _row(about, f"{condition.measure} was not recorded", NOT_MEASURED)
    values = [{kind: one.values[condition.hypothesis][kind] for kind in KINDS} for one in known]
    spike, baseline, run = in_pairs([one.pairs for one in known], values)
    usable = np.isfinite(spike) & np.isfinite(baseline)
    if usable.sum() < FEWEST_SPIKES:
        return _row(about, f"too few spikes ({usable.sum()})", NOT_SETTLED)
    spike, baseline, run = spike[usable], baseline[usable], run[usable]
    cadence = np.array([one.cadence for one in known])
    sparse = condition.measure in ABSOLUTE and np.isfinite(cadence).any()
    resolution = f"; measured every {np.nanmedian(cadence):.0f} steps" if sparse else ""
    if condition.threshold is None:
        return _compare_pairs(about, spike - baseline, run, resolution)
    row = _compare_shares(about, spike > condition.threshold, baseline > condition.threshold, run, resolution)
    unseen = sparse and np.nanmedian(cadence) > RESOLVING and np.mean(spike > condition.threshold) < 0.5
    if unseen and row["verdict"] == CONTRADICTED:
        row |= {"verdict": NOT_SETTLED, "evidence": f"{row['evidence']}, too seldom to see it rise and fall between"}
    return row


def _compare_pairs(about: Sequence[str], difference: np.ndarray, run: np.ndarray, resolution: str) -> dict[str, Any]:
    """Judge by the share of pairs whose spike has the higher value, less the share whose quiet window has it."""
    sign = np.sign(difference)
    interval = resampling.share_interval(sign, run, np.random.default_rng(_SEED))
    evidence = (
        f"more than in the matched quiet window before {np.mean(sign > 0):.0%} of {len(sign)} spikes, less before "
        f"{np.mean(sign < 0):.0%}{resolution}"
    )
    return _row(about, evidence, verdict_of(interval), float(sign.mean()), interval)


def _compare_shares(
    about: Sequence[str], spike: np.ndarray, baseline: np.ndarray, run: np.ndarray, resolution: str
) -> dict[str, Any]:
    difference = spike.astype(float) - baseline
    # the interval is made for values between -1 and 1, a share lies between 0 and 1
    both = np.stack([difference, 2.0 * spike - 1])
    interval, share = resampling.share_intervals(both, run, np.random.default_rng(_SEED))
    most = (np.array(share) + 1) / 2
    evidence = (
        f"before {spike.mean():.0%} ({most[0]:.0%} to {most[1]:.0%}) of {len(spike)} spikes in {len(set(run))} runs, "
        f"in {baseline.mean():.0%} of the quiet windows{resolution}"
    )
    verdict = verdict_of(interval, spike.mean(), most[1])
    return _row(about, evidence, verdict, float(difference.mean()), interval)


def verdict_of(interval: tuple[float, float], share: float = 1.0, share_high: float = 1.0) -> str:
    """Judge the difference between spikes and quiet windows.

    Parameters
    ----------
    interval : (float, float)
        Of the difference.
    share, share_high : float
        Share of the spikes that meet the condition, and the upper end of its interval.

    Returns
    -------
    str
        Contradicted if the difference is surely below `WORTH_THE_NAME`, or most spikes surely do not meet the
        condition; supported if the difference is surely above 0 and most spikes meet it; else not settled.
    """
    if interval[1] < WORTH_THE_NAME or share_high < 0.5:
        return CONTRADICTED
    return SUPPORTED if interval[0] > 0 and share > 0.5 else NOT_SETTLED


def _judge_amsgrad(facts: Sequence[Facts]) -> list[dict[str, Any]]:
    """Return a row for AMSGrad and none for others."""
    growths = np.array([one.growth for one in facts if one.growth is not None])
    if not len(growths):
        return []
    about = (
        AMSGRAD_RULE,
        "Reddi et al. 2018",
        "with AMSGrad the effective step never grows, Keras's bias correction apart",
    )
    known = growths[np.isfinite(growths).all(axis=1)]
    if not len(known):
        return [_row(about, f"{EFFECTIVE_STEP} was not recorded", NOT_MEASURED)]
    recorded, corrected = known.T
    evidence = (
        f"over its lowest value so far it grew by up to {recorded.max():.2%}, and by {corrected.max():.2%} without the "
        f"bias correction, in {len(known)} runs"
    )
    verdict = SUPPORTED if corrected.max() < NO_GROWTH else CONTRADICTED
    return [_row(about, evidence, verdict, float(corrected.max()), (float(corrected.min()), float(corrected.max())))]


def _judge_tiny_batch(facts: Sequence[Facts]) -> dict[str, Any]:
    about = (
        "incomplete last batch",
        "control: n mod batch",
        "spikes begin with the incomplete last batch of an epoch or the step after it more often than by chance",
    )
    known = [one for one in facts if one.tiny_batch]
    if not known:
        return _row(about, "no epoch has an incomplete last batch", NOT_MEASURED)
    values = np.concatenate([one.by_tiny_batch for one in known])
    if len(values) < FEWEST_SPIKES:
        return _row(about, f"too few spikes ({len(values)})", NOT_SETTLED)
    run = np.repeat(np.arange(len(known)), [len(one.by_tiny_batch) for one in known])
    interval = resampling.share_interval(values, run, np.random.default_rng(_SEED))
    seen, chance = np.mean(values > 0), np.mean(values > 0) - values.mean()
    evidence = f"{seen:.0%} of {len(values)} spikes do, {chance:.0%} would by chance"
    return _row(about, evidence, verdict_of(interval), float(values.mean()), interval)


def _judge_locking(optimizer: str, trends: pd.DataFrame) -> list[dict[str, Any]]:
    """Judge what the rate of spikes follows: a rate fixed per step has slope 0, one fixed per epoch slope -1."""
    rows = []
    found = trends[(trends["optimizer"] == optimizer) & (trends["scale"] == "step")]
    for unit, cause, slope in (("steps", "the optimizer's memory", 0.0), ("epochs", "the data", -1.0)):
        about = (f"spacing fixed in {unit}", cause, f"spikes come at a rate fixed per {unit[:-1]} at all fractions")
        if found.empty:
            rows.append(_row(about, "no trend over runs was computed", NOT_MEASURED))
            continue
        trend = found.iloc[0]
        seen, low, high = (float(trend[f"slope_steps_per_epoch{end}"]) for end in ("", "_low", "_high"))
        if trend["spikes"] < FEWEST_SPIKES or not np.isfinite([seen, trend[f"{unit}_p"]]).all():
            evidence = f"{trend['spikes']:.0f} spikes in {trend['runs']:.0f} runs: {_reason(trend)}"
            rows.append(_row(about, evidence, NOT_SETTLED))
            continue
        evidence = (
            f"{trend['spikes']:.0f} spikes in {trend['runs']:.0f} runs: their rate per step goes as (steps per epoch)^"
            f"{seen:.2f} ({low:.2f} to {high:.2f}), expected ^{slope:.0f}, p = {trend[f'{unit}_p']:.2g}"
        )
        rows.append(_row(about, evidence, slope_verdict((low, high), slope, trend[f"{unit}_p"]), seen, (low, high)))
    return rows


def _reason(trend: pd.Series) -> str:
    """Return why nothing can be said of a trend."""
    return str(trend["reason"]) if isinstance(trend["reason"], str) and trend["reason"] else "they are too few"


def slope_verdict(interval: tuple[float, float], expected: float, p: float) -> str:
    """Judge a slope: contradicted if rejected, supported if surely nearer to this hypothesis than to the other.

    Parameters
    ----------
    interval : (float, float)
        Of the slope.
    expected : float
        0 or -1: halfway to the other is 1/2.
    p : float
        Of the slope expected.
    """
    if p < ALPHA:
        return CONTRADICTED
    return SUPPORTED if max(abs(end - expected) for end in interval) < 0.5 else NOT_SETTLED
