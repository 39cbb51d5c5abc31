"""What is read from a log of Snakemake: jobs to do, under way, finished and failed, and what Snakemake itself says."""

import time

import pytest

from quasarcurves.cli.snakemake_log import SnakemakeLog, without_start_up
from quasarcurves.study import Run
from support.snakemake_logs import PREAMBLE, START_UP, MadeUpLog

NOW = 1_795_932_000.0


@pytest.fixture
def path(tmp_path):
    return tmp_path / "snakemake.log"


@pytest.fixture
def made_up(path):
    return MadeUpLog(path)


def read(path):
    log = SnakemakeLog(path)
    log.update()
    return log


def test_nothing_is_known_before_there_is_a_log(tmp_path):
    log = read(tmp_path / "none.log")
    assert log.planned is None
    assert log.under_way() == log.message(5) == []


def test_jobs_to_do_are_those_of_the_table(path, made_up):
    assert read(path).planned is None
    made_up.plan({"train": 4, "find_spikes": 1, "all": 1})
    log = read(path)
    assert log.planned == {"train": 4, "find_spikes": 1}
    assert (log.to_do("train"), log.to_do("evaluate")) == (4, 0)


def test_nothing_to_do(path, made_up):
    made_up.write("Nothing to be done (all requested files are present and up to date).\n")
    assert read(path).planned == {}


def test_a_job_begins_and_ends(path, made_up):
    made_up.plan({"train": 1})
    number = made_up.start("train", NOW, "a.log", fraction="0.8", replicate=0, optimizer="adam")
    log = read(path)
    (job,) = log.under_way()
    assert (job.name, job.run, job.log) == ("train f0.8_r0/adam", Run(0.8, 0, "adam"), "a.log")
    assert job.began == pytest.approx(NOW)
    made_up.finish(number, "train", NOW + 20)
    log.update()
    assert log.under_way() == []
    assert job.ended - job.began == pytest.approx(20)
    assert log.begun("train") == [job]


def test_it_is_read_while_it_is_written_even_in_the_middle_of_a_line(path):
    whole = MadeUpLog(path)
    whole.plan({"train": 2})
    for optimizer in ("adam", "sgd"):
        whole.finish(whole.start("train", NOW, fraction=0.8, replicate=0, optimizer=optimizer), "train", NOW + 3)
    text = path.read_text()
    log = SnakemakeLog(path)
    for end in range(0, len(text) + 1, 7):
        path.write_text(text[:end])
        log.update()
    path.write_text(text)
    log.update()
    assert [job.name for job in log.begun("train")] == ["train f0.8_r0/adam", "train f0.8_r0/sgd"]
    assert all(job.ended for job in log.begun("train"))


def test_a_failed_job_is_known_by_its_name_and_its_own_log(path, made_up):
    number = made_up.start("evaluate", NOW, "its.log", fraction="0.8", replicate=0, optimizer="adam")
    made_up.fail(number, "evaluate", NOW + 1, "jobid: 9\n    jobid: 77\n    log: other.log\n")
    log = read(path)
    assert log.failed == {number}
    assert (log.jobs[number].name, log.jobs[number].log) == ("evaluate f0.8_r0/adam", "its.log")
    assert log.under_way() == []


def test_a_job_that_is_tried_again_has_not_failed(path, made_up):
    number = made_up.start("train", NOW, fraction="0.8", replicate=0, optimizer="adam")
    made_up.fail(number, "train", NOW + 1)
    made_up.write(f"Trying to restart job {number}.\n")
    assert read(path).failed == set()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PREAMBLE + "LockException:\nError: Directory cannot be locked.\n",
         ["LockException:", "Error: Directory cannot be locked."]),
        ("usage: snakemake [-h]\n                 [targets ...]\n__main__.py: error: unrecognized arguments: --bogus\n",
         ["Snakemake: error: unrecognized arguments: --bogus"]),
        (PREAMBLE + "\nMissingRuleException:\nNo rule to produce x.\nComplete log(s): y\nElapsed time: 1\n",
         ["MissingRuleException:", "No rule to produce x."]),
    ],
)  # fmt: skip
def test_what_snakemake_says_is_shown_without_its_preamble(path, text, message):
    path.write_text(text)
    assert read(path).message(5) == message


def test_start_up_lines_of_tensorflow_are_left_out():
    lines = f"{START_UP}2026-11-29 06:00:00.1: I tensorflow/core/util/port.cc:153] oneDNN\nerror: no such file\n"
    assert list(without_start_up(lines.splitlines())) == ["error: no such file"]
    kept = [f"{time.strftime('%H:%M:%S')} f0.8_r0/adam  epoch 3/60", "I am no such line", "WARNING: something else"]
    assert list(without_start_up(kept)) == kept
