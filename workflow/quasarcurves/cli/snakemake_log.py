"""What Snakemake does, read from its log while it writes it: jobs to do, under way, finished and failed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from quasarcurves.study import Run
from quasarcurves.study.steps import PLACES, STEPS, WILDCARDS

STOPPED = "quasarcurves stopped this: "
"""Begins the last line of a log after Ctrl-C."""

_HEAD_BYTES = 600
"""Of a log, in which its date is."""

_RULE = re.compile(r"(?:local)?rule (\S+):$")
_KEY = re.compile(r"    (\w+): (.*)$")
_FINISHED = re.compile(r"Finished jobid: (\d+)\b")
_ERROR = re.compile(r"Error in rule (\S+):$")
_AGAIN = re.compile(r"Trying to restart job (\d+)\b")
_DATE = re.compile(r"\[(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\]$")
_COUNT = re.compile(r"(\S+)\s+(\d+)$")

_CHATTER = re.compile(
    r"""Using\ workflow\ specific\ profile\ |Assuming\ unrestricted\ |Building\ DAG\ |Using\ shell:\ |host:\ |
    Provided\ |Rules\ claiming\ |Conda\ environments:\ |Complete\ log|Elapsed\ time:\ |Shutting\ down|Exiting\ because|
    Will\ exit\ after|Select\ jobs\ |Execute\ \d+\ jobs|WorkflowError:$|At\ least\ one\ job\ did\ not\ complete|
    What\ this\ study\ cannot\ tell:\ """,
    re.VERBOSE,
)
"""What Snakemake says in every run."""

_TENSORFLOW = re.compile(
    r"WARNING: All log messages before absl|[IWE]\d{4} [\d:.]+\s|\d{4}-\d\d-\d\d [\d:.]+: [IWE] "
    r"|To enable the following instructions: |I tensorflow/"
)


@dataclass
class Job:
    """A job that was started.

    Parameters
    ----------
    step : str
        Its rule.
    began, ended : float
        Seconds since the epoch; `ended` is 0 until it is over.
    wildcards : mapping of str to str
        What it is done for.
    log : str
        Its own log.
    """

    step: str
    began: float
    ended: float = 0.0
    wildcards: dict[str, str] = field(default_factory=dict)
    log: str = ""

    @property
    def name(self) -> str:
        """What it is called: its step, and what that is done for."""
        if self.step not in STEPS or not self.wildcards:
            return self.step
        return f"{self.step} {PLACES[STEPS[self.step].per].format(**self.wildcards)}"

    @property
    def run(self) -> Run | None:
        """The run that it is done for, if it is for one."""
        if not set(WILDCARDS["run"]) <= self.wildcards.keys():
            return None
        fraction, replicate, optimizer = (self.wildcards[name] for name in WILDCARDS["run"])
        return Run(float(fraction), int(replicate), optimizer)


class SnakemakeLog:
    """The log of a call of Snakemake, which may still be written.

    Parameters
    ----------
    path : Path
        There need be no such file yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.planned: dict[str, int] | None = None
        """Jobs of each step that were to do at the start; None before Snakemake says so."""
        self.all_asked = False
        """Whether that is everything that the study has."""
        self.jobs: dict[int, Job] = {}
        self._of: dict[str, dict[int, Job]] = {}
        self.failed: set[int] = set()
        self.stopped = ""
        """Where Ctrl-C stopped it, if it did."""
        self._head, self._offset, self._rest = b"", 0, ""
        self._date = time.time()
        self._in_table = False
        self._job: Job | None = None
        self._error = False

    def update(self) -> None:
        """Read what was written since the last time; everything, if another call writes the log anew."""
        try:
            with self.path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
                if not head.startswith(self._head):
                    self.__init__(self.path)  # type: ignore[misc]
                self._head = head
                file.seek(self._offset)
                read = file.read()
        except OSError:
            return
        self._offset += len(read)
        *lines, self._rest = (self._rest + read.decode(errors="replace")).split("\n")
        for line in lines:
            self._read(line)

    def to_do(self, step: str) -> int:
        """Return how many jobs of a step this call does, those that are over included."""
        return max((self.planned or {}).get(step, 0), len(self._of.get(step, ())))

    def begun(self, step: str) -> list[Job]:
        """Return the jobs of a step that have begun, over or not."""
        return list(self._of.get(step, {}).values())

    def under_way(self) -> list[Job]:
        """Return the jobs that have begun and are not over."""
        return [job for number, job in self.jobs.items() if not job.ended and number not in self.failed]

    def message(self, most: int) -> list[str]:
        """Return the last lines of what Snakemake says where no job is to blame: without its preamble and its usage."""
        try:
            text = self.path.read_text(errors="replace")
        except OSError:
            return []
        lines = [line for line in _without_preamble(text.splitlines()) if not _CHATTER.match(line)]
        return list(without_start_up(line for line in lines if line.strip()))[-most:]

    def _read(self, line: str) -> None:
        if self._in_table:
            self._read_count(line)
        elif line == "Job stats:":
            self.planned, self._in_table = {}, True
        elif line.startswith(STOPPED):
            # what was stopped has not failed, though Snakemake says so
            self.stopped = line.removeprefix(STOPPED)
            self.failed.clear()
        elif line.startswith("Nothing to be done"):
            self.planned = {}
        elif found := _DATE.match(line):
            self._date = time.mktime(time.strptime(found[1]))
        elif found := _RULE.match(line):
            self._job, self._error = Job(found[1], self._date), False
        elif found := _ERROR.match(line):
            self._job, self._error = Job(found[1], self._date), True
        elif found := _FINISHED.match(line):
            self._end(int(found[1]))
        elif found := _AGAIN.match(line):
            self.failed.discard(int(found[1]))
        elif (found := _KEY.match(line)) and self._job:
            self._read_key(found[1], found[2])

    def _read_count(self, line: str) -> None:
        found = _COUNT.match(line)
        if found and found[1] in STEPS and self.planned is not None:
            self.planned[found[1]] = int(found[2])
        self.all_asked |= found is not None and found[1] == "all"
        self._in_table = not found or found[1] != "total"

    def _read_key(self, key: str, value: str) -> None:
        job = self._job
        if job is None:
            return
        if key == "jobid" and self._error:
            self._fail(int(value), job)
        elif key == "jobid":
            self._add(int(value), job)
        elif key == "log" and not self._error:
            job.log = value
        elif key == "wildcards":
            job.wildcards = dict(each.split("=", 1) for each in value.split(", "))

    def _add(self, number: int, job: Job) -> None:
        self.jobs[number] = job
        self._of.setdefault(job.step, {})[number] = job

    def _fail(self, number: int, job: Job) -> None:
        self.failed.add(number)
        if number not in self.jobs:
            self._add(number, job)
        self._job = None

    def _end(self, number: int) -> None:
        self.failed.discard(number)
        if number in self.jobs:
            self.jobs[number].ended = self._date


def without_start_up(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines of a log but for those that TensorFlow writes when it starts."""
    yield from (line for line in lines if not _TENSORFLOW.match(line))


def _without_preamble(lines: list[str]) -> list[str]:
    """Drop what Snakemake writes of itself, and the list of its options that it puts before an error."""
    banner = [i for i, line in enumerate(lines) if line.startswith("  Config MD5: ")]
    if banner:
        lines = lines[banner[0] + 1 :]
    errors = [i for i, line in enumerate(lines) if re.match(r"\S+: error: ", line)]
    if errors and lines[0].startswith("usage: "):
        lines = [re.sub(r"^\S+: ", "Snakemake: ", line) for line in lines[errors[0] :]]
    return lines
