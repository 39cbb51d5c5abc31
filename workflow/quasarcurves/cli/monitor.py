"""Runs a study and shows its progress: which runs are training, their epoch and loss, and the time left.

Snakemake runs as a process of its own and writes to a log. The progress is read from the progress files of the runs.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from quasarcurves.study import Run, Study
from quasarcurves.training import progress

_REFRESH_SECONDS = 0.5
_LINE_SECONDS = 15.0
_TAIL_LINES = 40


class StudyView:
    """The progress of a study: which of its runs are done and which are training.

    Parameters
    ----------
    study : Study
    since : float
        Time (seconds since the epoch) at which this call began. Older progress files belong to earlier calls.
    """

    def __init__(self, study: Study, since: float) -> None:
        self._study, self._since = study, since
        self._done_before = {run for run in study.runs if (self._folder("runs", run) / "history.h5").exists()}
        self.reports: dict[Run, progress.Report] = {}

    def update(self) -> None:
        """Read the progress files again."""
        for run in self._study.runs:
            folder = self._folder("state", run)
            known = self.reports.get(run)
            if (known is None or known.state == "training") and self._is_of_this_call(folder):
                report = progress.read(folder)
                if report is not None:
                    self.reports[run] = report

    @property
    def n_runs(self) -> int:
        """Number of runs of the study."""
        return len(self._study.runs)

    @property
    def training(self) -> dict[Run, progress.Report]:
        """Runs under way."""
        return {run: report for run, report in self.reports.items() if report.state == "training"}

    @property
    def n_done(self) -> int:
        """Number of runs that are over, those of earlier calls included."""
        over = {run for run, report in self.reports.items() if report.state != "training"}
        return len((self._done_before - self.training.keys()) | over)

    def work(self) -> tuple[float, float]:
        """Work done by this call, and work left; a unit is one epoch over all spectra."""
        n_spectra = self._study.n_spectra(self._study.results / "data" / "spectra.h5")
        done = sum(run.fraction * report.epoch for run, report in self.reports.items())
        over = {run for run, report in self.reports.items() if report.state != "training"} | self._done_before
        left = sum(run.fraction * self._epochs(run, n_spectra) for run in self._study.runs if run not in over)
        left -= sum(run.fraction * report.epoch for run, report in self.training.items() if run not in over)
        return done, max(left, 0.0)

    def time_left(self) -> str:
        """Time until all trainings are over, at the pace so far; empty while there is none."""
        done, left = self.work()
        if not done:
            return ""
        return str(timedelta(seconds=round((time.time() - self._since) * left / done)))

    def headline(self) -> str:
        """One line about the whole study."""
        left = self.time_left()
        return f"{self.n_done} of {self.n_runs} runs trained" + (f", {left} left" if left else "")

    def _epochs(self, run: Run, n_spectra: int) -> int:
        """Return the epochs of a run: those it reports, else what its settings say."""
        if run in self.reports:
            return self.reports[run].epochs
        return self._study.training_settings(run.optimizer).n_epochs(run.n_train(n_spectra))

    def _folder(self, kind: str, run: Run) -> Path:
        return self._study.results / kind / run.name

    def _is_of_this_call(self, folder: Path) -> bool:
        try:
            return (folder / progress.FILE_NAME).stat().st_mtime >= self._since
        except OSError:
            return False


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
        Snakemake's exit status. If it failed, the end of its log has been printed.
    """
    console = Console()
    log = study.log
    log.parent.mkdir(parents=True, exist_ok=True)
    console.print(f"Study {study.name}: {len(study.runs)} runs. Snakemake's log is {log}", highlight=False)
    view = StudyView(study, time.time())
    with log.open("w") as output:
        _stop_as_by_ctrl_c()
        # In a session of its own, so that Ctrl-C reaches this process alone, as a container's engine does. This process
        # then stops Snakemake, in one way for both.
        process = subprocess.Popen(
            _snakemake(arguments), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        watch = _watch_terminal if console.is_terminal else _watch_lines
        while True:
            try:
                watch(process, view, console)
                break
            except KeyboardInterrupt:
                console.print("stopping ...")
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
    if process.returncode:
        tail = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        console.print("\n".join(tail), markup=False, highlight=False, soft_wrap=True)
        console.print(f"The study failed; the whole log is {log}", style="bold red", highlight=False)
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


def _stop_as_by_ctrl_c() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as by nohup
            signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _watch_lines(process: subprocess.Popen, view: StudyView, console: Console) -> None:
    """Print a line per training now and then: for logs and pipes."""
    last = time.monotonic()
    while process.poll() is None:
        time.sleep(_REFRESH_SECONDS)
        if time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            view.update()
            print(time.strftime("%H:%M:%S"), view.headline(), flush=True)
            for run, report in view.training.items():
                print(
                    f"         {run.name}  epoch {report.epoch}/{report.epochs}  loss {report.loss:.4g}",
                    flush=True,
                )


def _watch_terminal(process: subprocess.Popen, view: StudyView, console: Console) -> None:
    """Draw a bar per training."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bars:
        whole = bars.add_task("study", total=1, unit="", note="")
        tasks: dict[Run, TaskID] = {}
        while process.poll() is None:
            time.sleep(_REFRESH_SECONDS)
            view.update()
            _update_bars(bars, tasks, view)
            bars.update(whole, completed=view.n_done, total=view.n_runs, unit="runs", note=_phase(view))


def _phase(view: StudyView) -> str:
    if view.n_done == view.n_runs:
        return "tables and figures"
    left = view.time_left()
    return f"{left} left" if left else "preparing"


def _update_bars(bars: Progress, tasks: dict[Run, TaskID], view: StudyView) -> None:
    for run, report in view.training.items():
        if run not in tasks:
            tasks[run] = bars.add_task(run.name, total=report.epochs, unit="epochs", note="")
        known = math.isfinite(report.seconds_left)
        left = f", {timedelta(seconds=round(report.seconds_left))} left" if known else ""
        bars.update(tasks[run], completed=report.epoch, note=f"loss {report.loss:.4g}{left}")
    for run in tasks.keys() - view.training.keys():
        bars.remove_task(tasks.pop(run))
