"""What is measured on one loss curve: its spikes, its end, and where in an epoch single high steps stand.

The losses of steps are searched for spikes as a study's are. Of the losses of epochs nobody can tell a rise that lasted
from one hard batch: they are searched as well, and what is found are *rises*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis import convergence
from quasarcurves.analysis.checkup import overfitting
from quasarcurves.analysis.checkup.overfitting import Rise
from quasarcurves.analysis.curves import STEP, Curve
from quasarcurves.analysis.spikes import OUTLIER, PER_EPOCH, PER_STEP, SUSTAINED, find_spikes
from quasarcurves.analysis.spikes.splitting import SUSTAINED_WINDOW
from quasarcurves.analysis.spikes.statistics import describe, time_at_risk
from quasarcurves.analysis.spikes.wakes import masked_epochs, spike_length

SHORTEST = 30
"""Values: a shorter curve is not searched for spikes."""

MOST_BLOCKS = 2000
"""Values by which the end of a curve is judged at most; steps are averaged over epochs, or over blocks of the curve."""

_BLOCKS = 300
"""Blocks of the losses of steps, where it is not known how many steps an epoch has."""

_LASTS = 0.2
"""A rise that is not over at the end and has lasted for more than this part of the curve is no spike."""


@dataclass(frozen=True)
class Last:
    """Steps that stand out alone, and how many of them are the last of an epoch.

    Parameters
    ----------
    singles, last : int
    p : float
        Probability by chance that so many are (exact binomial test).
    """

    singles: int
    last: int
    p: float


@dataclass(frozen=True, eq=False)
class Measured:
    """What is measured on a curve; made by `measure`.

    Parameters
    ----------
    curve : Curve
    problem : str
        Why nothing is told of it; empty if something is.
    spikes : DataFrame
        As `find_spikes` returns them, lasting rises left out.
    kinds : bool
        Whether `kind` tells rises that last from single hard batches; if not, `sustained` are rises above twice the
        course.
    lasting : float
        Where the loss begins to rise for good, as an index; NaN if it does not.
    described : mapping
        As `statistics.describe` returns it, of the sustained spikes; empty if the curve is too short to be searched.
    blocks : int
        Values of the loss in each value of `course`.
    course, held_out : (n,) arrays
        Training losses of epochs or blocks, and the validation losses there (NaN where there is none).
    masked : (n,) bool array
        Which of these lie in tall spikes and their wakes.
    end : mapping
        As `convergence.late` and `convergence.changes` return it.
    """

    curve: Curve
    problem: str = ""
    spikes: pd.DataFrame = field(default_factory=pd.DataFrame)
    kinds: bool = False
    lasting: float = np.nan
    described: Mapping[str, Any] = field(default_factory=dict)
    blocks: int = 1
    course: np.ndarray = field(default_factory=lambda: np.empty(0))
    held_out: np.ndarray = field(default_factory=lambda: np.empty(0))
    masked: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    end: Mapping[str, Any] = field(default_factory=dict)

    @property
    def diverged(self) -> int | None:
        """Index from which on the loss is no number to the end; None if it ends with one."""
        finite = np.flatnonzero(np.isfinite(self.curve.loss))
        last = int(finite[-1]) + 1 if len(finite) else 0
        return last if last < len(self.curve.loss) else None

    @property
    def searched(self) -> bool:
        """Whether spikes were looked for."""
        return bool(self.described)

    @property
    def tall(self) -> pd.DataFrame:
        """The spikes that last, or the rises above twice the course."""
        return self.spikes[self.spikes["kind"] == SUSTAINED] if len(self.spikes) else self.spikes

    @property
    def small(self) -> pd.DataFrame:
        """The single hard batches, or the lower rises."""
        return self.spikes[self.spikes["kind"] == OUTLIER] if len(self.spikes) else self.spikes

    @cached_property
    def overfitting(self) -> Rise | None:
        """Whether the validation loss rises from its lowest stretch on, spikes aside; None without one."""
        if not np.isfinite(self.held_out).any():
            return None
        # all of them may lie in spikes
        return overfitting.rise(self.quiet_held_out, self.course) or Rise(np.nan, np.nan, np.nan, 0, np.nan, 0)

    @property
    def quiet_held_out(self) -> np.ndarray:
        """Validation losses (n,) outside of tall spikes and their wakes."""
        return np.where(self.masked, np.nan, self.held_out)

    @cached_property
    def last_over_late(self) -> tuple[float, bool]:
        """Last loss over the median of the last 20 %, and whether it is a validation loss; NaN where not known."""
        for values, held in ((self.held_out, True), (self.course, False)):
            late = values[len(values) - max(round(0.2 * len(values)), 1) :] if len(values) else values
            if np.isfinite(late).sum() >= 3 and np.isfinite(late[-1]):
                return float(late[-1] / np.nanmedian(late)), held
        return np.nan, False

    @property
    def ends_in_spike(self) -> bool:
        """Whether a tall spike is not over at the end."""
        return bool(len(self.tall)) and bool(self.tall["end"].isna().any())

    @cached_property
    def late_validation(self) -> float:
        """Median validation loss of the last 20 % of the curve, spikes and their wakes aside; NaN without one."""
        late = self.quiet_held_out[len(self.held_out) - max(round(0.2 * len(self.held_out)), 1) :]
        late = late[np.isfinite(late)]
        return float(np.median(late)) if len(late) else np.nan

    @cached_property
    def last_batch(self) -> Last | None:
        """Whether the steps that stand out alone are the last ones of epochs; None where that is not known."""
        per_epoch = self.curve.steps_per_epoch
        single_steps = self.curve.per == STEP and self.curve.stride == 1
        if not (single_steps and self.kinds and np.isfinite(per_epoch) and per_epoch >= 2) or self.small.empty:
            return None
        # steps are counted from 0 or 1; a record that begins later begins with an epoch
        peaks = self.small["peak"].to_numpy()
        last = int(np.sum(peaks % int(per_epoch) == int(per_epoch) - 1))
        p = scipy.stats.binomtest(last, len(peaks), 1 / per_epoch, alternative="greater").pvalue
        return Last(len(peaks), last, float(p))

    @property
    def at_risk(self) -> tuple[np.ndarray, float]:
        """Optimizer steps outside of tall spikes before each of these begins (n,), and of the whole curve.

        NaN where the steps per epoch are not known.
        """
        per = self.curve.stride * (1.0 if self.curve.per == STEP else self.curve.steps_per_epoch)
        if self.tall.empty:
            return np.empty(0), len(self.curve.loss) * per
        onsets, ends = (self.tall[name].to_numpy(float) for name in ("onset", "end"))
        before, length = time_at_risk(onsets, ends, len(self.curve.loss))
        return before * per, length * per


def measure(curve: Curve) -> Measured:
    """Measure a curve."""
    loss = curve.loss
    finite = np.isfinite(loss)
    if not finite.any():
        return Measured(curve, "no value is a number")
    if (negative := int((loss[finite] < 0).sum())) or not (loss[finite] > 0).any():
        what = f"{negative:,} of {finite.sum():,} values are negative" if negative else "all values are zero"
        return Measured(curve, f"{what}, and all that is told here are factors")
    spikes, kinds, lasting = _spikes(curve)
    described = _described(curve, spikes) if len(loss) >= SHORTEST else {}
    blocks = _block(curve)
    course, held_out = _averaged(curve, blocks)
    found = Measured(curve, "", spikes, kinds, lasting, described, blocks, course, held_out)
    found = replace(found, masked=_masked(found))
    return replace(found, end=_end(found))


def _spikes(curve: Curve) -> tuple[pd.DataFrame, bool, float]:
    """Return the spikes, whether their kind is told, and where a rise begins that lasts."""
    if len(curve.loss) < SHORTEST:
        return pd.DataFrame(), False, np.nan
    window = int(SUSTAINED_WINDOW / curve.stride) // 2 * 2 + 1
    kinds = curve.per == STEP and window >= 3
    options = PER_STEP | {"sustained_window": window} if kinds else PER_EPOCH
    spikes = find_spikes(curve.loss, **options)
    open_end = spikes["end"].isna() & (len(curve.loss) - spikes["onset"] > _LASTS * len(curve.loss))
    # the course of what was searched is lost from there on
    lasting = float(spikes.loc[open_end, "onset"].min()) if open_end.any() else np.nan
    return spikes[~open_end].reset_index(drop=True), kinds, lasting


def _described(curve: Curve, spikes: pd.DataFrame) -> dict[str, Any]:
    per_point = curve.stride if curve.per == STEP else curve.stride * _or(curve.steps_per_epoch, 1.0)
    return describe(spikes, curve.loss, per_point, _or(curve.steps_per_epoch, 1.0))


def _or(value: float, other: float) -> float:
    return value if np.isfinite(value) else other


def _block(curve: Curve) -> int:
    """Return how many values one value of the course is the mean of."""
    t = len(curve.loss)
    if curve.per != STEP:
        return -(-t // MOST_BLOCKS)
    epoch = curve.steps_per_epoch / curve.stride
    block = round(epoch) if np.isfinite(epoch) and epoch >= 1 and t / epoch >= 8 else -(-t // _BLOCKS)
    return max(block, -(-t // MOST_BLOCKS))


def _averaged(curve: Curve, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the training losses of whole blocks, and the last validation loss in each."""
    whole = max(len(curve.loss) // block, 1)
    if block == 1:
        course = np.array(curve.loss, float)
    else:
        parts = curve.loss[: whole * block].reshape(whole, -1)
        known = np.isfinite(parts)
        count = known.sum(axis=1)
        course = np.where(count, np.sum(parts, axis=1, where=known) / np.maximum(count, 1), np.nan)
    held_out = np.full(len(course), np.nan)
    held_out[np.minimum(curve.val_at // block, len(course) - 1)] = curve.val_loss
    return course, held_out


def _masked(found: Measured) -> np.ndarray:
    if found.tall.empty:
        return np.zeros(len(found.course), bool)
    return masked_epochs(found.tall.assign(scale="step"), len(found.course), found.blocks)


def _end(found: Measured) -> dict[str, Any]:
    diverged = found.diverged is not None
    course, held_out = (values[: 0 if diverged else None] for values in (found.course, found.held_out))
    masked = found.masked[: len(course)]
    late = convergence.late(course, held_out, spike_length(found.tall, len(found.course), found.blocks))
    return late | convergence.changes(course, held_out, masked, diverged)
