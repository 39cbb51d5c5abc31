"""What replays came to: reading the files of all jobs, and events and exposures fork by fork."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.replays import AS_IT_IS, GROUP
from quasarcurves.analysis.stats.matched import Matched

_RUN = ["run", *tables.RUN_KEYS, "n_train", "learning_rate"]
REPLAY_COLUMNS = [
    *_RUN, "fork_step", "arm", "replay", "steps", "spiked", "first_passage", "height", "loss_after", "own_rise",
    "own_exposure", "note",
]  # fmt: skip
FORK_COLUMNS = [
    *_RUN, "fork_step", "kind", "onset", "distance", "loss", "effective_step", "sharpness_share", "since_spike",
    "noise",
]  # fmt: skip
FORK = ["run", "fork_step"]


@dataclass(frozen=True)
class Outcomes:
    """Replays and forks of one or several runs.

    Parameters
    ----------
    replays : DataFrame
        `REPLAY_COLUMNS`: a row per replay, and one with `replay` -1 and a `note` per fork and arm that cannot be had.
    forks : DataFrame
        `FORK_COLUMNS`: a row per fork and kind.
    """

    replays: pd.DataFrame
    forks: pd.DataFrame

    @property
    def arms(self) -> list[str]:
        """All arms, in the order in which they appear; `as_it_is` first."""
        return sorted(self.replays["arm"].unique(), key=lambda arm: arm != AS_IT_IS)

    def groups(self) -> Iterator[tuple[dict[str, Any], Outcomes]]:
        """Yield the values of `GROUP` and the outcomes of all runs that share them."""
        for values, rows in self.replays.groupby(GROUP, sort=True, dropna=False):
            own = self.forks[self.forks["run"].isin(rows["run"].unique())]
            yield dict(zip(GROUP, values, strict=True)), Outcomes(rows, own)

    def at(self, *kinds: str, distances: Sequence[float] = ()) -> Outcomes:
        """Return the replays at forks of some kinds, and at some distances from a spike if given."""
        chosen = self.forks["kind"].isin(kinds)
        if distances:
            chosen &= self.forks["distance"].isin(distances)
        forks = self.forks[chosen]
        return Outcomes(self.replays.merge(forks[FORK].drop_duplicates(), on=FORK), forks)

    def note(self, arm: str) -> str:
        """Return why an arm cannot be had; empty if it can be at any fork."""
        rows = self.replays[self.replays["arm"] == arm]
        return "" if (rows["replay"] >= 0).any() else "; ".join(dict.fromkeys(rows["note"]))

    def counts(self) -> pd.DataFrame:
        """Return n, events and exposure (steps) by run, fork and arm; 0 where an arm cannot be had."""
        return self._counted(self.replays["spiked"], self.replays["steps"])

    def counts_over_own_level(self) -> pd.DataFrame:
        """Return the same of rises over a replay's own level (`passages.rise_over_own_level`)."""
        return self._counted(self.replays["own_rise"].notna(), self.replays["own_exposure"])

    def _counted(self, events: pd.Series, exposure: pd.Series) -> pd.DataFrame:
        made = self.replays["replay"] >= 0
        rows = self.replays.assign(n=made.astype(int), events=events * made, exposure=exposure * made)
        return rows.groupby([*FORK, "arm"], sort=False)[["n", "events", "exposure"]].sum().reset_index()

    def matched(self, arm: str, other: str = AS_IT_IS) -> Matched:
        """Return the counts of two arms at the forks that have both."""
        return matched_arms(self.counts(), arm, other)


def matched_arms(counts: pd.DataFrame, arm: str, other: str) -> Matched:
    """Return the counts of two arms, from those of `Outcomes`, at the forks that have both."""
    own, others = (counts[counts["arm"] == name] for name in (arm, other))
    both = own.merge(others, on=FORK, suffixes=("", "_other"))
    e, o, t, u = (both[name].to_numpy(float) for name in ("events", "events_other", "exposure", "exposure_other"))
    return Matched(e, o, t, u, both["run"].to_numpy())


def read(replays: Iterable[Path], forks: Iterable[Path]) -> Outcomes:
    """Read the files of all jobs, a pair each.

    Raises
    ------
    ValueError
        If a column is missing, a value makes no sense, a replay is there twice, or a fork is not described.
    """
    found = pd.concat([_read_replays(path) for path in replays], ignore_index=True)
    known = pd.concat([_read(path, FORK_COLUMNS) for path in forks], ignore_index=True)
    twice = found[found.duplicated([*FORK, "arm", "replay"])]
    if len(twice):
        raise ValueError(f"replays: expected each once, found {_named(twice.iloc[0])} twice")
    described = set(known[FORK].itertuples(index=False, name=None))
    for row in found[FORK].drop_duplicates().itertuples(index=False, name=None):
        if row not in described:
            raise ValueError(f"forks: expected a row for run {row[0]}, fork_step {row[1]}, found none")
    return Outcomes(found, known)


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    text = {name: str for name in ("run", "optimizer", "arm", "note", "kind") if name in columns}
    table = pd.read_csv(path, dtype=text)
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{path}: expected the columns {', '.join(columns)}, missing {', '.join(missing)}")
    floats = {name: float for name in columns if name not in text and name not in ("replicate", "fork_step", "replay")}
    return table[columns].astype(floats)  # a column without any value has none of its own


def _read_replays(path: Path) -> pd.DataFrame:
    table = _read(path, REPLAY_COLUMNS)
    table["note"] = table["note"].fillna("")
    wrong = table[~table["spiked"].isin([0, 1]) | ~np.isfinite(table["steps"]) | (table["steps"] < 0)]
    if len(wrong):
        row = wrong.iloc[0]
        found = f"{row['spiked']:g} and {row['steps']:g} at {_named(row)}"
        raise ValueError(f"{path}: expected spiked of 0 or 1 and steps of 0 or more, found {found}")
    return table


def _named(row: pd.Series) -> str:
    return ", ".join(f"{name} {row[name]}" for name in (*FORK, "arm", "replay"))
