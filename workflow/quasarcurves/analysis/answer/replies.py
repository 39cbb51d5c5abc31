"""What the four questions share: the tables they answer from, the form of a reply, and how counts are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis.metrics.description import Description, compared_in
from quasarcurves.analysis.spikes import SHORTEST
from quasarcurves.analysis.stats.rates import Counts, rate
from quasarcurves.analysis.wording import number

YES, FEWER, NO, CANNOT_SAY = "yes", "fewer", "no", "cannot say"


@dataclass(frozen=True)
class Reply:
    """The answer to one question, about one optimizer.

    Parameters
    ----------
    about : str
        The optimizer; empty if it is about all.
    answer : str or float
        `yes`, `no`, `cannot say`, or a number. Of cures also `fewer`: certainly fewer spikes, perhaps not
        less than half as many.
    sentence : str
        The answer in words.
    short : str
        The same for the headline.
    estimate, low, high : float
        NaN where not known.
    do, needs : str
        What to do, and what would settle what is open; empty if nothing.
    metric : str
        What the answer is told by, where that is to be chosen.
    """

    about: str
    answer: str | float
    sentence: str
    short: str
    estimate: float = np.nan
    low: float = np.nan
    high: float = np.nan
    do: str = ""
    needs: str = ""
    metric: str = ""


@dataclass(frozen=True)
class Found:
    """Sustained spikes of some runs, and the steps that were searched for them.

    Parameters
    ----------
    counts : Counts
        Spikes and thousands of steps of each replicate that was searched.
    """

    counts: Counts

    @property
    def spikes(self) -> int:
        """Spikes of all replicates."""
        return int(self.counts.total)

    @property
    def steps(self) -> int:
        """Steps of all replicates."""
        return round(1000 * self.counts.exposure)

    @property
    def replicates(self) -> int:
        """Replicates that were searched."""
        return len(self.counts.events)

    @cached_property
    def rate(self) -> tuple[float, float, float]:
        """Spikes per 1,000 steps with the 95 % interval of `stats.rates.rate`; NaN if no step was searched.

        Replicates are its runs, as in cures.csv. That of one replicate holds for no other.
        """
        return rate(self.counts) if self.replicates else (np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Study:
    """The tables of a study, by their names; those of replays where there are some; what the task calls things."""

    runs: pd.DataFrame
    spikes: pd.DataFrame
    spike_statistics: pd.DataFrame
    spike_trends: pd.DataFrame
    hypotheses: pd.DataFrame
    cures: pd.DataFrame
    cures_overall: pd.DataFrame
    convergence: pd.DataFrame
    stopping: pd.DataFrame
    learning_curve: pd.DataFrame
    interventions: pd.DataFrame | None = None
    replay_findings: pd.DataFrame | None = None
    description: Description = field(default_factory=Description, kw_only=True)

    @property
    def examples(self) -> str:
        """What several examples are called."""
        return self.description.examples

    @cached_property
    def reference(self) -> str:
        """The optimizer that the others are compared with."""
        return str((self.runs["optimizer"] if self.cures.empty else self.cures["reference"]).iloc[0])

    @cached_property
    def optimizers(self) -> list[str]:
        """All optimizers, the reference first."""
        return sorted(map(str, self.runs["optimizer"].unique()), key=lambda name: (name != self.reference, name))

    @cached_property
    def compared(self) -> list[str]:
        """The test metrics that optimizers are compared by, in the order of the tables."""
        return compared_in(map(str, self.cures_overall))

    @cached_property
    def searched(self) -> pd.DataFrame:
        """Rows of spike_statistics.csv on the losses of steps, of runs that are long enough to be searched."""
        table = self.spike_statistics
        return table[(table["scale"] == "step") & (table["steps"] >= SHORTEST)]

    def found(self, optimizer: str | None = None, n_train: float | None = None) -> Found:
        """Return the sustained spikes of all optimizers or of one, at all sizes or at one."""
        rows = self.searched
        for key, value in (("optimizer", optimizer), ("n_train", n_train)):
            rows = rows if value is None else rows[rows[key] == value]
        sums = rows.groupby("replicate")[["spikes", "steps"]].sum()
        return Found(Counts(sums["spikes"].to_numpy(float), sums["steps"].to_numpy(float) / 1000))

    def sizes(self, optimizer: str) -> list[float]:
        """Return the training-set sizes of an optimizer, the largest first."""
        return sorted(self.of(self.runs, optimizer)["n_train"].unique(), reverse=True)

    @cached_property
    def held(self) -> dict[str, str]:
        """The optimizers whose effective step is held at that of another one, and the other."""
        rows = self.cures[self.cures["matched"].astype(bool)] if "matched" in self.cures else self.cures.iloc[:0]
        return dict(zip(rows["optimizer"].astype(str), rows["reference"].astype(str), strict=True))

    def of(self, table: pd.DataFrame, optimizer: str) -> pd.DataFrame:
        """Return the rows of an optimizer."""
        return table[table["optimizer"] == optimizer]

    def replicates(self, optimizer: str) -> int:
        """Return the number of replicates of an optimizer."""
        return int(self.of(self.runs, optimizer)["replicate"].nunique())

    def minutes_of_replicates(self, more: int, optimizers: Iterable[str]) -> str:
        """Write what further replicates of some optimizers take, by the seconds of those there are."""
        rows = self.runs[self.runs["optimizer"].isin(list(optimizers))]
        return takes(more * rows.groupby("replicate")["seconds"].sum(min_count=1).median())


def removal(row: Mapping[str, Any]) -> str:
    """Return whether an optimizer removes the spikes of a reference, adjusted for the others that were tried.

    `fewer` where it certainly has fewer, but perhaps not less than half as many.
    """
    removes, lowers = (str(row.get(f"{name}_adjusted", row[name])) for name in ("removes_spikes", "lowers_spikes"))
    return FEWER if (removes, lowers) == (CANNOT_SAY, YES) else removes


def takes(seconds: float) -> str:
    """Write how long trainings take one after the other, after a colon; nothing where it is not known."""
    if not np.isfinite(seconds):
        return ""
    minutes = seconds / 60
    return ": about 1 minute" if minutes < 1.5 else f": about {minutes:,.0f} minutes"


def count(n: float, noun: str, plural: str = "") -> str:
    """Write a count with its noun: `1 run`, `2 runs`, `no runs`."""
    return f"{n:,.0f} {noun if n == 1 else plural or noun + 's'}"


def bounds(low: float, high: float, scale: float = 1.0, unit: str = "") -> str:
    """Write an interval in brackets."""
    if np.isnan(low) or np.isnan(high):
        return "(no interval)"
    return f"({number(scale * low)} to {number(scale * high)}{unit})"


def rate_of(found: Found) -> str:
    """Write a rate with its interval, or its upper limit where there is no spike, and whether it holds for others."""
    value, low, high = found.rate
    of = "within this one replicate" if found.replicates == 1 else f"by {found.replicates} replicates"
    if not found.spikes:
        return f"fewer than {number(high)} per 1,000 steps {of}"
    return f"{number(value)} {bounds(low, high)} per 1,000 steps {of}"


def listed(parts: Iterable[Any]) -> str:
    """Join words: `a`, `a and b`, `a, b and c`."""
    *first, last = list(map(str, parts))
    return f"{', '.join(first)} and {last}" if first else last


def sentence(text: str) -> str:
    """Begin with a capital letter, where the text is no name of an optimizer."""
    return text[0].upper() + text[1:]
