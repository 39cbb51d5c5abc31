"""The tables of a study's replays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quasarcurves.analysis import tables
from quasarcurves.analysis.replays import findings as rules
from quasarcurves.analysis.replays import hazard_model as model
from quasarcurves.analysis.replays import hazards as of_states
from quasarcurves.analysis.replays import interventions as of_arms
from quasarcurves.analysis.replays import outcomes, survival

JOINED = [
    "run", "fork_step", "arm", "replay", "steps", "spiked", "first_passage", "height", "loss_after", "own_rise",
    "own_exposure",
]  # fmt: skip
"""Columns of replays.csv."""


def write(
    fork_replays: Iterable[Path],
    forks: Iterable[Path],
    replays: Path,
    joined_forks: Path,
    hazards: Path,
    interventions: Path,
    survivals: Path,
    hazard_model: Path,
    replay_findings: Path,
    examples: str = "examples",
) -> None:
    """Join the replays of all jobs and write what they come to.

    Parameters
    ----------
    fork_replays, forks : iterable of Path
        Of every job; `outcomes.read` says what they hold.
    replays, joined_forks : Path
        CSV: all replays that were made (`JOINED`), and all forks.
    hazards, interventions, survivals, hazard_model, replay_findings : Path
        CSV: the tables of `hazards.per_fork`, `interventions.compare`, `survival.curves`, `hazard_model.fit` and
        `findings.judge`.
    examples : str
        What several examples are called.

    Raises
    ------
    ValueError
        If the files do not hold what they should.
    """
    found = outcomes.read(fork_replays, forks)
    made = found.replays[found.replays["replay"] >= 0]
    tables.write(made[JOINED].astype({"spiked": int}), replays)
    tables.write(found.forks, joined_forks)
    tables.write(of_states.per_fork(found), hazards)
    tables.write(of_arms.compare(found), interventions)
    tables.write(survival.curves(found), survivals)
    tables.write(model.fit(found), hazard_model)
    tables.write(rules.judge(found, examples), replay_findings)
