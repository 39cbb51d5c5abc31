"""How each job of a study stands: current, outdated and why, missing, stopped half-way, or diverged.

A job's receipt says what it was made with: settings, code, and the content of the files that it read. It is compared
with what the study asks for now, which is what Snakemake compares by its own records before it runs anything.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py

from quasarcurves.provenance import fingerprint
from quasarcurves.provenance.receipts import FOLDER, Receipt
from quasarcurves.study import Run, Study, jobs, told
from quasarcurves.study.steps import MAKERS, PLACES, WILDCARDS, Step
from quasarcurves.training import progress
from quasarcurves.training.run_lock import RunLock

STATES = ("current", "diverged", "outdated", "missing", "stopped", "training")
"""A `diverged` training is current: it would diverge again."""

GOOD = ("current", "diverged")

_PROCESS = re.compile(r"process (\d+) on (\S+) ")


@dataclass(frozen=True)
class Standing:
    """How a job stands.

    Parameters
    ----------
    step : Step
    name : str
        What the job is done for, such as f0.8_r0/adam; empty for the study as a whole.
    state : str
        One of `STATES`.
    why : tuple of str
        Reasons; where an outdated job has none of its own, what it reads is not current.
    after : str
        A job that this one reads from and that is not current; empty if there is none.
    """

    step: Step
    name: str
    state: str
    why: tuple[str, ...] = ()
    after: str = ""

    @property
    def job(self) -> str:
        """Name of the job: of its step, and what it is done for."""
        return f"{self.step.name} {self.name}".strip()

    @property
    def good(self) -> bool:
        """Whether another call would leave it as it is."""
        return self.state in GOOD


def standings(study: Study) -> list[Standing]:
    """Return how each job of a study stands, in the order of the table of steps."""
    return list(_Inspection(study).standings())


def is_current(study: Study, step: str) -> bool:
    """Return whether every job of a step, and what it reads, is as the study asks for."""
    return all(each.good for each in standings(study) if each.step.name == step)


def was_run(study: Study) -> bool:
    """Return whether anything of a study has ever been made: there are receipts."""
    return any((study.results / FOLDER).rglob("*.json"))


def data_content(study: Study) -> str:
    """Return a hash of the content of the files that the examples are read from."""
    return fingerprint.digest_files(study.data_files(), study.results / "state" / "input_hashes.json")


def prepared_from(study: Study) -> Path:
    """Return the file that holds this hash as it was when the examples were prepared.

    It is no part of the receipt: other bytes that give the same examples rerun nothing that reads these.
    """
    return study.results / "state" / "prepared_from"


def _data_changed(study: Study) -> bool:
    note = prepared_from(study)
    return note.is_file() and note.read_text() != data_content(study)


@dataclass
class _Inspection:
    """Walks through the jobs of a study in order, and remembers which are not current."""

    study: Study
    _stale: dict[str, dict[tuple, str]] = field(default_factory=dict)

    def standings(self) -> Iterator[Standing]:
        """Yield how each job stands."""
        # what a run is held to comes first
        for step in self.study.steps:
            jobs = self.study.wildcards(step.per) if step.makes else []
            for each in sorted(jobs, key=lambda job: bool(self._matched(step, job))):
                found = self._standing(step, each)
                if not found.good:
                    self._stale.setdefault(step.name, {})[tuple(each.values())] = found.job
                yield found

    def _standing(self, step: Step, job: Mapping[str, Any]) -> Standing:
        name = PLACES[step.per].format(**job)
        after = self._after(step, job)
        receipt = self.receipts.get(self.study.results / jobs.receipt(step).format(**job))
        if receipt is None or not all(path.exists() for path in self._files(step, job)):
            return Standing(step, name, *self._unmade(step, job), after=after)
        why = tuple(self._reasons(step, job, receipt))
        state = "outdated" if why or after else "current"
        if step.name == "train" and state != "current" and (found := _under_way(self._state(job))):
            return Standing(step, name, found[0], (found[1], *why), after)
        if step.name == "train" and state == "current" and (diverged := self._diverged(job)):
            return Standing(step, name, "diverged", (diverged,))
        return Standing(step, name, state, why, after)

    def _unmade(self, step: Step, job: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
        """Return the state of a job that has no whole result, with reasons."""
        why = []
        if step.name == "train":
            if found := _under_way(self._state(job)):
                return found[0], (found[1],)
            if any(path.exists() for path in self._files(step, job)):
                why = ["files of an earlier training are kept until it is done"]
        return "missing", tuple(why)

    def _reasons(self, step: Step, job: Mapping[str, Any], receipt: Receipt) -> Iterator[str]:
        """Yield what has changed since a receipt was written: settings, code, files read."""
        now = told.settings(self.study, step, job)
        yield from changes(settings_of(receipt, now), now)
        if code := [name for name, value in receipt.code.items() if module_now(name) != value]:
            yield f"code of {_some([name.removeprefix('quasarcurves.') for name in code])} has changed"
        if step.name == "prepare_spectra" and _data_changed(self.study):
            yield "the content of the files under `data` has changed"
        if files := [path for path, value in receipt.inputs.items() if self.made.get(path, value) != value]:
            yield f"{_some(sorted(files))} made anew since"

    def _after(self, step: Step, job: Mapping[str, Any]) -> str:
        """Return a job that a job reads from and that is not current."""
        for file in step.reads:
            maker = MAKERS[file]
            stale = self._stale.get(maker.name, {})
            if set(WILDCARDS[maker.per]) <= job.keys():
                found = stale.get(tuple(job[name] for name in WILDCARDS[maker.per]), "")
            else:
                found = next(iter(stale.values()), "")
            if found:
                return found
        if step.figures:
            stale_figures = (self._stale.get(each.name, {}) for each in self.study.steps if each.figure)
            if found := next((job for jobs in stale_figures for job in jobs.values()), ""):
                return found
        matched = self._matched(step, job)
        return self._stale.get("train", {}).get(tuple(vars(matched).values()), "") if matched else ""

    def _matched(self, step: Step, job: Mapping[str, Any]) -> Run | None:
        return self.study.matched_run(run_of(job)) if step.name == "train" else None

    def _files(self, step: Step, job: Mapping[str, Any]) -> list[Path]:
        return [self.study.results / file.path.format(**job) for file in step.makes if self.study.has(file)]

    def _state(self, job: Mapping[str, Any]) -> Path:
        return self.study.results / "state" / run_of(job).name

    def _diverged(self, job: Mapping[str, Any]) -> str:
        with h5py.File(self.study.results / "runs" / run_of(job).name / "history.h5", "r") as file:
            outcome = json.loads(file.attrs["params"])["outcome"]
        return (
            f"diverged in epoch {outcome['epochs'] + 1}, step {outcome['diverged_step']:,}"
            if outcome["diverged"]
            else ""
        )

    @cached_property
    def receipts(self) -> dict[Path, Receipt]:
        """Receipts that can be read, by path."""
        found = {}
        for path in (self.study.results / FOLDER).rglob("*.json"):
            try:
                found[path] = Receipt.load(path)
            except ValueError:
                continue
        return found

    @cached_property
    def made(self) -> dict[str, str]:
        """Hash of every file that a receipt speaks of, by path."""
        return {path: value for receipt in self.receipts.values() for path, value in receipt.outputs.items()}


def run_of(job: Mapping[str, Any]) -> Run:
    """Return the run that a job is done for."""
    return Run(float(job["fraction"]), int(job["replicate"]), job["optimizer"])


def settings_of(receipt: Receipt, now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a receipt that are the study's: all of a run, else those that `now` has too."""
    made_with = receipt.settings
    if receipt.rule == "train":  # receipts from before there were packs have all in one
        return {**made_with.get("shared", {}), **made_with["run"]}
    return {key: made_with[key] for key in now if key in made_with}


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs between settings, a line each."""
    before, after = (dict(flat(json.loads(json.dumps(each)))) for each in (then, now))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield f"{key} is {after.get(key, 'not set')}, was {before.get(key, 'not set')}"


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield settings without nesting: their names joined by points, and their values as JSON."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value)


def _under_way(state: Path) -> tuple[str, str] | None:
    """Return whether a training is going on or was stopped, and where; None if it is neither."""
    report = progress.read(state)
    if report is None or report.state != "training":
        return None
    what = "training" if _is_held(state) else "stopped"
    return what, f"at epoch {report.epoch:,} of {report.epochs:,}"


def _is_held(state: Path) -> bool:
    """Return whether the process that trains a run lives, as far as can be known: on another host it is taken to."""
    found = _PROCESS.match(RunLock(state).holder)
    if not found:
        return False
    if found[2] != socket.gethostname():
        return True
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def module_now(name: str) -> str:
    """Return the hash of a module as it is now."""
    try:
        return fingerprint.module_hash(name)
    except FileNotFoundError:
        return "removed"


def _some(names: Iterable[str], most: int = 3) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
