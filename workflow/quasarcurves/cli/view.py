"""How far a study is, read from files alone: Snakemake's log and the progress files of the trainings."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from quasarcurves.cli.snakemake_log import Job, SnakemakeLog
from quasarcurves.study import Run, Study, forecast
from quasarcurves.study.forecast import STAGES, TRAINS, stage_of
from quasarcurves.study.steps import STEPS, Step
from quasarcurves.training import progress

_PRIOR_SECONDS = 30.0
"""Of work expected, for which the estimates count as much as what was measured."""

_SETTLED_SECONDS = 20.0
"""After the first job of a stage began, as many run at once as can."""


@dataclass(frozen=True)
class Stage:
    """How far a stage is.

    Parameters
    ----------
    name : str
    done, total : int
        Jobs of this call; a job that trains several networks counts as that many trainings.
    active : bool
        Whether one of its jobs is under way.
    """

    name: str
    done: int
    total: int
    active: bool


@dataclass(frozen=True)
class _Left:
    """Seconds left of a job, on a number of cores."""

    stage: str
    seconds: float
    threads: int
    running: bool


class StudyView:
    """How far a study is.

    Parameters
    ----------
    study : Study
    log : SnakemakeLog
        Of the call that runs it.
    cores : int
        That the call may use.
    since : float
        Time (seconds since the epoch) at which this call began. Older progress files belong to earlier calls.
    """

    def __init__(self, study: Study, log: SnakemakeLog, cores: int, since: float) -> None:
        self.study, self.log, self.cores, self._since = study, log, max(cores, 1), since
        self.reports: dict[Run, progress.Report] = {}
        self._written: dict[Run, float] = {}
        self._missing: dict[tuple[str, int], bool] = {}
        self.n_examples = self._count_examples()

    def update(self) -> None:
        """Read log and progress files again."""
        self.log.update()
        self.n_examples = self._count_examples()
        for run in self.study.runs:
            folder = self.study.results / "state" / run.name
            written = _written(folder / progress.FILE_NAME)
            if written >= self._since and written != self._written.get(run):
                report = progress.read(folder)
                if report is not None:
                    self.reports[run], self._written[run] = report, written

    @property
    def planned(self) -> bool:
        """Whether it is known what this call does."""
        return self.log.planned is not None

    @property
    def training(self) -> dict[Run, progress.Report]:
        """Trainings under way."""
        return {run: report for run, report in self.reports.items() if report.state == "training"}

    def trainings_to_do(self) -> int:
        """Return the trainings that this call does, those that are over included."""
        return sum(self.log.to_do(step.name) * self._size(step) for step in self.study.steps if _trains(step))

    def stages(self) -> list[Stage]:
        """Return the stages that have something to do, in the order in which they are done."""
        found = {name: [0, 0, 0] for name in STAGES}
        for step in self.study.steps:
            size, tally = self._size(step), found[stage_of(step)]
            tally[0] += size * sum(job.ended > 0 for job in self.log.begun(step.name))
            tally[1] += size * self.log.to_do(step.name)
        for job in self.log.under_way():
            if job.step in STEPS:
                found[stage_of(STEPS[job.step])][2] += 1
        return [Stage(name, done, total, active > 0) for name, (done, total, active) in found.items() if total]

    def seconds_left(self) -> float | None:
        """Return the seconds until everything is done; None before it is known what is to do, 0 only where all is.

        Each step has a time that is expected of it (`forecast.expected_seconds`). Those to come are scaled by what
        steps took so far in units of it, trainings and others each by their own; a training under way says its own
        pace. A stage takes as `forecast.stage_seconds` says; one stage follows the other.
        """
        if not self.planned:
            return None
        jobs = list(self._jobs_left(self._paces()))
        return sum(self._wall(name, [job for job in jobs if job.stage == name]) for name in STAGES)

    def _jobs_left(self, pace: Mapping[bool, float]) -> Iterator[_Left]:
        running: dict[str, list[Job]] = {}
        for job in self.log.under_way():
            running.setdefault(job.step, []).append(job)
        for step in self.study.steps:
            stage, threads = stage_of(step), forecast.threads_of(self.study, step)
            scale = pace[stage in TRAINS]
            for job in running.get(step.name, ()):
                yield _Left(stage, self._left_of(job, scale), threads, True)
            for seconds in self._to_come(step):
                yield _Left(stage, scale * seconds, threads, False)

    def _to_come(self, step: Step) -> list[float]:
        """Return the seconds expected of jobs that have not begun: those without a result first, the longest first."""
        begun = {tuple(job.wildcards.values()) for job in self.log.begun(step.name)}
        rest = self.log.to_do(step.name) - len(begun)
        if rest <= 0:
            return []
        every = self.study.wildcards(step.per)
        waiting = [each for each in every if tuple(map(str, each.values())) not in begun]
        if len(waiting) > rest:
            waiting.sort(key=lambda each: (not self._lacks(step, each), -self._expected(step, each)))
        return [self._expected(step, each) for each in waiting[:rest]]

    def _lacks(self, step: Step, each: Mapping[str, Any]) -> bool:
        """Whether a job's first file is missing; one that is being made again is not looked for twice."""
        key = step.name, hash(tuple(each.values()))
        if key not in self._missing:
            path = step.makes[0].path.format(**each) if step.makes else ""
            self._missing[key] = not (self.study.results / path).exists()
        return self._missing[key]

    def _left_of(self, job: Job, scale: float) -> float:
        """Return the seconds left of a job under way, at least one."""
        if (seconds := self._reported(job)) is not None:
            return max(seconds, 1.0)
        expected = scale * self._expected(STEPS[job.step], job.wildcards)
        # what takes longer than expected takes a fifth of that still, and no one knows how long
        return max(expected - (time.time() - job.began), 0.2 * expected, 1.0)

    def _paces(self) -> dict[bool, float]:
        """Return how long steps that train, and others, take in units of what is expected of them."""
        measured = {trains: self._measured(trains) for trains in (True, False)}
        # a machine that is slow at one is slow at the other, until more is known
        took, expected = map(sum, zip(*measured.values(), strict=True))
        overall = (_PRIOR_SECONDS + took) / (_PRIOR_SECONDS + expected)
        return {
            trains: (_PRIOR_SECONDS * overall + took) / (_PRIOR_SECONDS + expected)
            for trains, (took, expected) in measured.items()
        }

    def _measured(self, trains: bool) -> tuple[float, float]:
        """Return the seconds that steps of a kind took so far, and those that were expected of the same work."""
        took = expected = 0.0
        for job in self.log.jobs.values():
            if job.step not in STEPS or (stage_of(STEPS[job.step]) in TRAINS) != trains:
                continue
            whole = self._expected(STEPS[job.step], job.wildcards)
            if job.ended:
                # the log has whole seconds
                took, expected = took + max(job.ended - job.began, 0.5), expected + whole
            elif (left := self._reported(job)) is not None:
                so_far = max(time.time() - job.began, 0.5)
                took, expected = took + so_far, expected + whole * so_far / (so_far + left)
        return took, expected

    def _reported(self, job: Job) -> float | None:
        """Return the seconds left that a training under way, or the slowest of a pack, reports; None before it does."""
        if job.step == "train_pack":
            runs = self.study.pack(float(job.wildcards["fraction"]))
        else:
            runs = [job.run] if job.step == "train" and job.run else []
        known = [self.reports[run].seconds_left for run in runs if run in self.reports]
        return max(known) if known and all(map(math.isfinite, known)) else None

    def _wall(self, stage: str, jobs: list[_Left]) -> float:
        """Return how long a stage still takes."""
        if not jobs:
            return 0.0
        at_once = forecast.at_once(self.cores, max(job.threads for job in jobs))
        running = sum(job.running for job in jobs)
        if stage in TRAINS and 0 < running < len(jobs) and self._is_settled(stage):
            at_once = running  # as GPUs or a cluster allow
        return forecast.stage_seconds([job.seconds for job in jobs], at_once)

    def _is_settled(self, stage: str) -> bool:
        steps = [step.name for step in self.study.steps if stage_of(step) == stage]
        began = [job.began for step in steps for job in self.log.begun(step)]
        return bool(began) and time.time() - min(began) > _SETTLED_SECONDS

    def _expected(self, step: Step, each: Mapping[str, Any]) -> float:
        run = None
        if step.name == "train_pack":
            run = self.study.pack(float(each["fraction"]))[0]
        elif {"fraction", "replicate", "optimizer"} <= each.keys():
            run = Run(float(each["fraction"]), int(each["replicate"]), each["optimizer"])
        if run and run.optimizer not in self.study.optimizers:  # of a study that was changed since
            return 0.0
        return forecast.expected_seconds(self.study, step, self.n_examples, run)

    def _count_examples(self) -> int:
        return self.study.n_examples(self.study.results / "data" / "spectra.h5")

    def _size(self, step: Step) -> int:
        """Trainings in one job, or 1."""
        return len(self.study.pack(self.study.fractions[0])) if step.name == "train_pack" else 1


def _written(path: Path) -> float:
    """Return when a file was written; long ago if there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf


def _trains(step: Step) -> bool:
    return stage_of(step) == "trainings"


def cores_of(arguments: list[str]) -> int:
    """Return the number of cores, or of jobs, that options of Snakemake allow; by default those of this machine."""
    found = forecast.cores()
    for option, value in pairwise(arguments):
        if option in {"--cores", "-c", "--jobs", "-j"} and value.isdigit():
            found = int(value)
    return found
