"""What the terminal shows of a call of Snakemake, which a small program plays here."""

import io
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest
import yaml
from rich.console import Console

from quasarcurves.cli import monitor
from quasarcurves.cli.snakemake_log import SnakemakeLog
from quasarcurves.cli.view import StudyView
from quasarcurves.study import Study
from quasarcurves.training.progress import Reporter
from support.snakemake_logs import PREAMBLE, START_UP, MadeUpLog

CONFIG = """
study: {name: planted}
data: {source: simulated, n_spectra: 100}
subsets: {fractions: [0.8, 0.4]}
training: {epochs: 10, batch_size: 10}
optimizers: {adam: {class: Adam}, sgd: {class: SGD}}
"""


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.chdir(tmp_path)
    return Study.from_config(yaml.safe_load(CONFIG))


@pytest.fixture
def plays(monkeypatch, tmp_path):
    """Have Snakemake played by a program that prints a text and ends with a status."""

    def play(text: str, status: int) -> None:
        (tmp_path / "text").write_text(text)
        program = f"import pathlib, sys; print(pathlib.Path('text').read_text()); sys.exit({status})"
        monkeypatch.setattr(monitor, "_snakemake", lambda arguments: [sys.executable, "-c", program])
        monkeypatch.setattr(monitor, "_stop_as_by_ctrl_c", lambda: None)

    return play


def made_up(path, *jobs, fail=""):
    log = MadeUpLog(path)
    log.plan({"train": 4, "find_spikes": 1})
    for optimizer in jobs:
        wildcards = {"fraction": 0.8, "replicate": 0, "optimizer": optimizer}
        number = log.start("train", time.time(), f"{optimizer}.log", **wildcards)
        if fail:
            log.fail(number, "train", time.time(), fail)
    return path.read_text()


def test_a_failed_job_is_named_with_its_last_lines_and_its_log_and_no_more(study, plays, tmp_path, capsys):
    lines = "\n".join(f"line {i}" for i in range(100))
    (tmp_path / "adam.log").write_text(f"{START_UP}{lines}\nerror: spectra.h5 is truncated\n")
    plays(made_up(tmp_path / "l", "adam", fail="whatever\n"), 1)
    assert monitor.run(study, []) == 1
    out = capsys.readouterr().out
    assert "train f0.8_r0/adam failed:\n" in out
    assert "  error: spectra.h5 is truncated\n  its log: adam.log\n" in out
    assert "line 99" in out
    assert "line 50" not in out
    assert not [word for word in ("SNAKEMAKE", "Config MD5", "absl", "cpu_feature_guard", "reason:") if word in out]
    assert out.splitlines()[-1].startswith("The study failed. Mend it, and the same command goes on.")
    assert len(out.splitlines()) < 25


def test_of_many_failed_jobs_some_are_shown_and_the_others_counted(study, plays, tmp_path, capsys):
    names = ["a", "b", "c", "d", "e"]
    for name in names:
        (tmp_path / f"{name}.log").write_text("error: it\n")
    plays(made_up(tmp_path / "l", *names, fail="x\n"), 1)
    monitor.run(study, [])
    out = capsys.readouterr().out
    assert out.count("failed:") == 3
    assert "2 more jobs failed." in out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (PREAMBLE + "LockException:\nError: Directory cannot be locked.\n", "Error: Directory cannot be locked."),
        ("usage: snakemake [-h]\n  [x]\n__main__.py: error: unrecognized arguments: --bogus\n",
         "Snakemake: error: unrecognized arguments: --bogus"),
        ("", "Snakemake ended without a word."),
    ],
)  # fmt: skip
def test_what_snakemake_refuses_is_shown_in_its_words(study, plays, capsys, text, shown):
    plays(text, 2)
    assert monitor.run(study, []) == 2
    lines = capsys.readouterr().out.splitlines()
    assert shown in lines
    assert len(lines) < 6


def test_it_begins_with_what_will_happen(study, plays, tmp_path, capsys):
    plays(made_up(tmp_path / "l"), 0)
    assert monitor.run(study, ["--cores", "2"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("Study planted: all 4 trainings to do; 1 other step; a few seconds on 2 cores")
    assert re.search(r" on 2 cores, [\d.]+ GB of memory; all results take \d+ MB of disk\.$", first)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, "Study planted: nothing to do, all that was asked for is up to date."),
        (
            {"train": 1, "plot_cures": 2},
            "Study planted: 1 of 4 trainings to do, 3 up to date or not asked for; 2 other",
        ),
    ],
)
def test_what_is_up_to_date_is_said(study, counts, text):
    log = MadeUpLog(study.log)
    log.plan(counts)
    view = StudyView(study, SnakemakeLog(study.log), 2, 0)
    view.update()
    assert monitor.plan(view).startswith(text)


def test_two_calls_of_one_study_do_not_write_one_log(study, plays, capsys):
    study.log.parent.mkdir(parents=True)
    plays("", 0)
    with monitor._held(study.log), pytest.raises(BlockingIOError, match="is being run already"):
        monitor.run(study, [])
    assert monitor.run(study, []) == 0


def view_of(study, *epochs):
    log = MadeUpLog(study.log)
    log.plan({"train": 4, "plot_cures": 3})
    for run, epoch in zip(study.runs, epochs, strict=False):
        log.start("train", time.time(), fraction=run.fraction, replicate=run.replicate, optimizer=run.optimizer)
        Reporter(study.results / "state" / run.name, 60, run.name).epoch(epoch, 0.5, 0.6)
    view = StudyView(study, SnakemakeLog(study.log), 2, 0)
    view.update()
    return view, log


def test_where_it_stopped(study):
    assert monitor._where(view_of(study)[0]) == "before trainings"
    assert monitor._where(view_of(study, 55)[0]) == "f0.8_r0/adam at 55 of 60 epochs"
    text = monitor._where(view_of(study, 55, 40)[0])
    assert text == "2 trainings: f0.8_r0/adam at 55 of 60 epochs, f0.8_r0/sgd at 40 of 60 epochs"
    assert monitor._where(view_of(study, 1, 2, 3, 4)[0]).endswith("f0.4_r0/adam at 3 of 60 epochs, 1 more")


def test_where_it_stopped_after_the_trainings(study):
    view, log = view_of(study)
    for n in range(3):
        number = log.start("plot_cures", time.time())
        if n < 2:
            log.finish(number, "plot_cures", time.time())
    view.update()
    assert monitor._where(view) == "figures at 2 of 3"


def test_a_line_says_what_is_under_way_and_the_time_left(study):
    view, _ = view_of(study, 55)
    assert re.fullmatch(r"trainings 0 of 4; (a few seconds|about \d+ s) left", monitor.headline(view))


def test_a_log_of_an_hour_has_about_40_lines(study, monkeypatch, capsys):
    """Played in no time: the clock goes on by half a second at each look."""
    view, _ = view_of(study, 5)
    now = [0.0]

    def is_alive(process):
        now[0] += 0.5
        return now[0] < 3600

    monkeypatch.setattr(monitor, "_is_alive", is_alive)
    monkeypatch.setattr(monitor.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(view, "update", lambda: None)
    monkeypatch.setattr(view, "seconds_left", lambda: 100.0)
    monitor._watch_lines(None, view, monitor._Told(view))
    lines = capsys.readouterr().out.splitlines()
    assert 25 < len(lines) <= 40


def test_the_screen_has_a_line_per_stage_and_per_training(study):
    view, _ = view_of(study, 55, 40)
    output = io.StringIO()
    Console(file=output, width=80).print(monitor._screen(view))
    lines = output.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["trainings", "f0.8_r0/adam", "f0.8_r0/sgd", "figures", "time"]
    assert "55/60 epochs" in lines[1]
    assert "loss 0.5" in lines[1]


PROGRAM = """
import sys
sys.path[:0] = {path}
import yaml
from quasarcurves.cli import monitor
from quasarcurves.study import Study

PLAY = '''
import signal, sys, time
print("Job stats:\\\\nx\\\\n--\\\\ntrain 4\\\\ntotal 4\\\\n", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)
    sys.exit("a wall of text")
'''
monitor._snakemake = lambda arguments: [sys.executable, "-c", PLAY]
sys.exit(monitor.run(Study.from_config(yaml.safe_load('''{config}''')), []))
"""


def test_one_ctrl_c_stops_it_in_a_line_with_exit_status_130(tmp_path):
    program = PROGRAM.format(path=[path for path in sys.path if path], config=CONFIG)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("Results go to"):
            break
    os.kill(process.pid, signal.SIGINT)
    rest = process.stdout.read().splitlines()
    process.stdout.close()
    assert process.wait(20) == 130
    assert rest == ["Stopping: trainings save their state ...", "Stopped before trainings; the same command goes on."]


@pytest.mark.slow
def test_a_snakemake_whose_command_was_killed_goes_on_to_hold_the_log(study):
    program = PROGRAM.format(path=[path for path in sys.path if path], config=CONFIG)
    command = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert command.stdout.readline()
    (snakemake,) = psutil.Process(command.pid).children()
    command.kill()
    command.wait()
    command.stdout.close()
    with pytest.raises(BlockingIOError, match="is being run already"):
        monitor.run(study, [])
    assert "Job stats" in study.log.read_text()
    snakemake.kill()
    psutil.wait_procs([snakemake], 20)
    with monitor._held(study.log):
        pass
