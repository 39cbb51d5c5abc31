"""Runs a study through Snakemake and shows how far it is; says how it ended.

Snakemake runs as a process of its own and writes to a log, from which it is told what it does (`view.StudyView`).
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from quasarcurves.cli.snakemake_log import STOPPED, Job, SnakemakeLog, without_start_up
from quasarcurves.cli.view import StudyView, cores_of
from quasarcurves.study import Study
from quasarcurves.study.forecast import forecast, in_words
from quasarcurves.study.outlook import size_words

_REFRESH_SECONDS = 0.5
_LINE_SECONDS, _LINE_SHARE = 15.0, 0.12
"""A log gets a line after that many seconds, later after that share of the time since the start: 40 in an hour."""

_SHOWN_TRAININGS, _SHOWN_FAILURES, _NAMED_STOPS = 8, 3, 3
_TAIL_LINES, _MESSAGE_LINES = 12, 15
_INTERRUPTED = 130


def run(study: Study, arguments: Sequence[str]) -> int:
    """Run a study through Snakemake, showing how far it is.

    Parameters
    ----------
    study : Study
    arguments : sequence of str
        For Snakemake.

    Returns
    -------
    int
        Snakemake's exit status, or 130 after Ctrl-C. If it is not 0, what went wrong has been printed.
    """
    study.log.parent.mkdir(parents=True, exist_ok=True)
    view = StudyView(study, SnakemakeLog(study.log), cores_of(list(arguments)), time.time())
    interrupted = False
    with _held(study.log) as lock, study.log.open("w") as output:
        _stop_as_by_ctrl_c()
        # In a session of its own, so that Ctrl-C reaches this process alone, as a container's engine does. This process
        # then stops Snakemake, in one way for both.
        process = subprocess.Popen(
            _snakemake(arguments),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # where this process is killed Snakemake goes on, and goes on to hold the log
            pass_fds=[lock.fileno()],
            env={"TF_CPP_MIN_LOG_LEVEL": "1", **os.environ},  # TensorFlow's start-up lines fill the logs of jobs
        )
        watch = _watch_terminal if Console().is_terminal else _watch_lines
        told = _Told(view)
        while True:
            try:
                watch(process, view, told)
                break
            except KeyboardInterrupt:
                if not interrupted:
                    _say("Stopping: trainings save their state ...")
                interrupted, watch = True, _wait
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
        view.update()
        if interrupted and process.returncode:
            where = _where(view)
            output.write(f"{STOPPED}{where}\n")
            _say(f"Stopped {where}; the same command goes on.")
            return _INTERRUPTED
    told.plan()
    if process.returncode:
        told.failures()
        _say(_last_words(view, told))
    return process.returncode


def ask(arguments: Sequence[str]) -> int:
    """Show what Snakemake would do, in its own words.

    Parameters
    ----------
    arguments : sequence of str
        For Snakemake.

    Returns
    -------
    int
        Snakemake's exit status.
    """
    return subprocess.run(_snakemake(arguments), check=False).returncode


def _snakemake(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--show-failed-logs", "--rerun-incomplete", *arguments]


@contextmanager
def _held(log: Path) -> Iterator[IO[str]]:
    """Keep other calls from writing to a log, as long as the file that is yielded is open in any process.

    Raises
    ------
    BlockingIOError
        If another call is writing to it.
    """
    with log.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(f"this study is being run already, by the process that writes {log}") from error
        yield file


def _stop_as_by_ctrl_c() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as by nohup
            signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    # a console of rich says a text twice if Ctrl-C comes while it does
    print(text, flush=True)


class _Told:
    """What is said once, as soon as it is known: what will happen, and which jobs have failed.

    Parameters
    ----------
    view : StudyView
    """

    def __init__(self, view: StudyView) -> None:
        self._view = view
        self._begun = False
        self.failed: set[int] = set()

    def update(self) -> None:
        """Say what is new."""
        self._view.update()
        self.plan()
        if self._view.log.failed - self.failed:
            self.failures()
            if self._view.log.under_way():
                _say("What is under way is finished first; Ctrl-C stops it.")

    def plan(self) -> None:
        """Say what will happen."""
        if self._view.planned and not self._begun:
            self._begun = True
            _say(plan(self._view))

    def failures(self) -> None:
        """Say which jobs have failed, of some of them how."""
        new = sorted(self._view.log.failed - self.failed)
        for number in new[: max(_SHOWN_FAILURES - len(self.failed), 0)]:
            _say("\n".join(_failure(self._view.log.jobs[number])))
        self.failed |= set(new)


def plan(view: StudyView) -> str:
    """Write what a call will do, once Snakemake has said it."""
    name, every = view.study.name, len(view.study.runs)
    trainings, stages = view.trainings_to_do(), view.stages()
    if not stages:
        return f"Study {name}: nothing to do, all that was asked for is up to date."
    others = sum(stage.total for stage in stages if stage.name != "trainings")
    steps = f"{others} other {'step' if others == 1 else 'steps'}"
    todo = f"all {every} trainings" if trainings == every else f"{trainings} of {every} trainings"
    why = "up to date" if view.log.all_asked else "up to date or not asked for"
    rest = f", {every - trainings} {why}" if trainings < every else ""
    time_left, cost = in_words(view.seconds_left() or 0), forecast(view.study, view.n_examples)
    memory, disk = size_words(1e6 * cost.memory_mb(view.cores)), size_words(cost.disk_bytes)
    return (
        f"Study {name}: {todo} to do{rest}; {steps}; {time_left} on {view.cores} cores, "
        f"{memory} of memory; all results take {disk} of disk.\n"
        f"Results go to {view.study.results}, Snakemake's log is {view.study.log}"
    )


def _failure(job: Job) -> Iterator[str]:
    """Yield the name of a job that has failed, the last lines of its log, and where that is."""
    yield f"{job.name} failed:"
    try:
        lines = Path(job.log).read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    tail = [line for line in without_start_up(lines) if line.strip()][-_TAIL_LINES:]
    yield from (f"  {line}" for line in tail or ["(it wrote nothing)"])
    if job.log:
        yield f"  its log: {job.log}"


def _last_words(view: StudyView, told: _Told) -> str:
    more = len(told.failed) - _SHOWN_FAILURES
    if told.failed:
        others = f" {more} more jobs failed." if more > 0 else ""
        return f"The study failed.{others} Mend it, and the same command goes on. Snakemake's log is {view.study.log}"
    message = view.log.message(_MESSAGE_LINES) or ["Snakemake ended without a word."]
    return "\n".join([*message, f"This was Snakemake; its log is {view.study.log}"])


def _where(view: StudyView) -> str:
    """Write how far what was under way had come."""
    stops = [f"{run.name} at {report.epoch} of {report.epochs} epochs" for run, report in view.training.items()]
    if len(stops) == 1:
        return stops[0]
    if stops:
        more = [f"{len(stops) - _NAMED_STOPS} more"] if len(stops) > _NAMED_STOPS else []
        return f"{len(stops)} trainings: {', '.join([*stops[:_NAMED_STOPS], *more])}"
    open_stages = [f"{stage.name} at {stage.done} of {stage.total}" for stage in view.stages() if stage.active]
    unfinished = [f"before {stage.name}" for stage in view.stages() if stage.done < stage.total]
    return ([*open_stages, *unfinished] or ["before anything was begun"])[0]


# a log or a pipe ------------------------------------------------------------------------------------------------------


def _watch_lines(process: subprocess.Popen, view: StudyView, told: _Told) -> None:
    """Print a line now and then, ever more seldom, and one for each stage that is over."""
    start = last = time.monotonic()
    over: set[str] = set()
    while _is_alive(process):
        told.update()
        finished = {stage.name for stage in view.stages() if stage.done == stage.total} - over
        now = time.monotonic()
        if finished or now - last >= max(_LINE_SECONDS, _LINE_SHARE * (now - start)):
            last, over = now, over | finished
            if view.stages():
                _say(f"{time.strftime('%H:%M:%S')} {headline(view)}")


def headline(view: StudyView) -> str:
    """Write how far a study is, in one line: the stages that are under way or just over, and the time left."""
    stages = view.stages()
    shown = [stage for stage in stages if stage.active or 0 < stage.done < stage.total]
    shown = shown or [stage for stage in stages if not stage.done][:1] or stages[-1:]
    parts = ", ".join(f"{stage.name} {stage.done} of {stage.total}" for stage in shown)
    return f"{parts}; {in_words(view.seconds_left() or 0)} left"


# a terminal -----------------------------------------------------------------------------------------------------------


def _watch_terminal(process: subprocess.Popen, view: StudyView, told: _Told) -> None:
    """Draw a bar per stage and per training."""
    with Live(auto_refresh=False) as live:
        while _is_alive(process):
            told.update()
            live.update(_screen(view), refresh=True)
        told.update()
        live.update(_screen(view), refresh=True)


def _wait(process: subprocess.Popen, view: StudyView, told: _Told) -> None:
    """Wait for what is stopping."""
    process.wait()


def _is_alive(process: subprocess.Popen) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(_REFRESH_SECONDS)
    return process.returncode is None


def _screen(view: StudyView) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(width=24)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    if not view.planned:
        grid.add_row("Snakemake works out what is to do ...")
        return grid
    for stage in view.stages():
        part = sum(report.epoch / max(report.epochs, 1) for report in view.training.values())
        done = stage.done + (min(part, stage.total - stage.done) if stage.name == "trainings" else 0)
        grid.add_row(stage.name, ProgressBar(stage.total, done, width=24), f"{stage.done}/{stage.total}", "")
        if stage.name == "trainings":
            _add_trainings(grid, view)
    grid.add_row("time left", "", in_words(view.seconds_left() or 0))
    return grid


def _add_trainings(grid: Table, view: StudyView) -> None:
    training = list(view.training.items())
    for run, report in training[:_SHOWN_TRAININGS]:
        bar = ProgressBar(report.epochs, report.epoch, width=24)
        grid.add_row(f"  {run.name}", bar, f"{report.epoch}/{report.epochs} epochs", f"loss {report.loss:.4g}")
    if len(training) > _SHOWN_TRAININGS:
        grid.add_row(f"  and {len(training) - _SHOWN_TRAININGS} more")
