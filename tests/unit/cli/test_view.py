"""How far a study is, from made-up logs and progress files: stages, what is under way, and the time left."""

import os
import re
import time
from pathlib import Path

import pytest
import yaml

from quasarcurves.cli import view as views
from quasarcurves.cli.snakemake_log import SnakemakeLog
from quasarcurves.cli.view import StudyView, cores_of
from quasarcurves.study import Study, forecast
from quasarcurves.study.forecast import in_words
from quasarcurves.study.steps import STEPS
from quasarcurves.training.progress import Reporter
from support.snakemake_logs import MadeUpLog

CONFIG = """
study: {name: planted}
data: {source: simulated, n_spectra: 100}
subsets: {fractions: [0.8, 0.4]}
training: {epochs: 10, batch_size: 10}
optimizers: {adam: {class: Adam}, sgd: {class: SGD}}
"""

NOW = 1_795_932_000.0


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.chdir(tmp_path)
    return Study.from_config(yaml.safe_load(CONFIG))


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [NOW]
    monkeypatch.setattr(views.time, "time", lambda: now[0])
    return now


@pytest.fixture
def log(study):
    return MadeUpLog(study.log)


def seen(study, cores=2, since=0.0):
    view = StudyView(study, SnakemakeLog(study.log), cores, since)
    view.update()
    return view


def everything(study):
    return {step.name: len(study.wildcards(step.per)) for step in study.steps if step.makes}


def expected_of(study, run):
    return forecast.expected_seconds(study, STEPS["train"], 100, run)


def begin(log, run, at):
    return log.start("train", at, fraction=run.fraction, replicate=run.replicate, optimizer=run.optimizer)


def folder(study, run):
    return study.results / "state" / run.name


def test_nothing_is_known_at_first(study):
    view = seen(study)
    assert not view.planned
    assert view.seconds_left() is None
    assert view.stages() == []


def test_stages_are_in_order_and_hold_what_is_to_do(study, log):
    log.plan(everything(study))
    stages = seen(study).stages()
    assert [stage.name for stage in stages] == ["preparing", "trainings", "evaluations", "tables", "figures"]
    assert sum(stage.total for stage in stages) == sum(everything(study).values())
    assert next(stage.total for stage in stages if stage.name == "trainings") == 4


def test_what_is_up_to_date_is_no_stage(study, log):
    log.plan({"train": 1, "evaluate": 1})
    assert [(stage.name, stage.done, stage.total) for stage in seen(study).stages()] == [
        ("trainings", 0, 1), ("evaluations", 0, 1)
    ]  # fmt: skip


def test_time_left_is_never_none_before_all_is_done_and_falls_to_none(study, log, clock):
    """A study played through, each job at the pace of its kind: the time left is right to a factor of 1.5 all along."""
    log.plan(everything(study))
    took = {step.name: 2 * forecast.expected_seconds(study, step, 100, study.runs[0]) for step in study.steps}
    jobs = [(step, each) for step in study.steps if step.makes for each in study.wildcards(step.per)]
    whole = sum(took[step.name] for step, _ in jobs)
    done = 0.0
    for i, (step, each) in enumerate(jobs):
        number = log.start(step.name, clock[0], **each)
        left = seen(study, cores=1).seconds_left()
        assert left > 0
        if done > 0.2 * whole:
            assert (whole - done) / 1.5 < left < 1.5 * (whole - done), i
        clock[0] += took[step.name]
        done += took[step.name]
        log.finish(number, step.name, clock[0])
    assert seen(study).seconds_left() == 0


def test_cores_share_the_work_but_no_stage_is_shorter_than_its_longest_job(study, log):
    log.plan({"train": 4})
    one, two, many = (seen(study, cores).seconds_left() for cores in (1, 2, 64))
    assert two == pytest.approx(one / 2)
    assert many == pytest.approx(max(expected_of(study, run) for run in study.runs))


def test_a_training_says_its_own_pace(study, log, clock):
    run = study.runs[0]
    log.plan({"train": 1})
    begin(log, run, clock[0] - 30)
    reporter = Reporter(folder(study, run), 1000, run.name)
    reporter._start = (time.monotonic() - 30, 0)  # 5 epochs in 30 s
    reporter.epoch(5, 0.5, 0.6)
    view = seen(study)
    assert view.training[run].epoch == 5
    assert view.seconds_left() == pytest.approx(995 * 6, rel=0.01)


def test_of_a_part_of_the_trainings_those_without_a_model_are_expected(study, log):
    small = [run for run in study.runs if run.fraction == 0.4]
    for run in study.runs:
        if run not in small:
            path = study.results / "runs" / run.name / "history.h5"
            path.parent.mkdir(parents=True)
            path.touch()
    log.plan({"train": 2})
    expected = sum(expected_of(study, run) for run in small)
    assert seen(study, cores=1).seconds_left() == pytest.approx(expected)


def test_where_fewer_run_at_once_than_there_are_cores_the_time_is_theirs(study, log, clock):
    """As on a GPU that two trainings may share."""
    log.plan({"train": 4})
    begin(log, study.runs[0], clock[0] - 1)
    early = seen(study, cores=64).seconds_left()
    clock[0] += 25
    late = seen(study, cores=64).seconds_left()
    assert late > 2 * early


def test_progress_of_an_earlier_call_is_not_shown(study):
    run = study.runs[0]
    Reporter(folder(study, run), 10, run.name).epoch(5, 0.5, 0.6)
    os.utime(folder(study, run) / "progress.json", (1, 1))
    assert not seen(study, since=NOW).reports


def test_a_diverged_training_is_not_under_way(study):
    Reporter(folder(study, study.runs[0]), 10, "a run").end(3, float("nan"), diverged=True)
    view = seen(study)
    assert view.reports[study.runs[0]].state == "diverged"
    assert not view.training


def test_a_training_that_is_done_again_is_under_way_again(study):
    """As the page sees it that outlives a call."""
    run = study.runs[0]
    Reporter(folder(study, run), 10, "a run").end(10, 0.1, diverged=False)
    view = seen(study, since=-1.0)
    assert not view.training
    Reporter(folder(study, run), 20, "a run").epoch(11, 0.1, 0.2)
    view.update()
    assert view.training[run].epoch == 11


def test_a_pack_is_as_many_trainings(study, log):
    config = {**yaml.safe_load(CONFIG), "training": {"epochs": 10, "backend": "jax", "pack": True}}
    packed = Study.from_config(config)
    log.plan({"train_pack": 2})
    (stage,) = seen(packed).stages()
    assert (stage.name, stage.total) == ("trainings", 4)
    assert seen(packed).trainings_to_do() == 4


@pytest.mark.parametrize("cores", [1, 2, 64])
@pytest.mark.parametrize("training", [{}, {"threads": 2}, {"backend": "jax", "pack": True}])
def test_what_is_foretold_before_a_study_runs_is_what_the_run_begins_with(log, training, cores):
    config = yaml.safe_load(CONFIG)
    study = Study.from_config({**config, "training": config["training"] | training})
    jobs = everything(study)
    if study.packs:
        jobs = {name: n for name, n in jobs.items() if name != "train"} | {"train_pack": 2}
    log.plan(jobs)
    foretold = forecast.forecast(study, 100)
    assert seen(study, cores).seconds_left() == pytest.approx(foretold.wall_seconds(cores))
    assert foretold.jobs == sum(jobs.values())


@pytest.mark.parametrize("name", ["spacing", "controls", "replays_causes"])
def test_studies_in_steps_and_with_replays_have_a_time(name, tmp_path, monkeypatch):
    study = Study.load(Path(__file__).parents[3] / "workflow" / "studies" / f"{name}.yaml")
    monkeypatch.chdir(tmp_path)
    MadeUpLog(study.log).plan(everything(study))
    view = seen(study)
    trained = sum(study.need("train", study.config["data"]["n_spectra"], run).seconds for run in study.runs)
    assert view.seconds_left() > 0.4 * trained
    assert ("replays" in [stage.name for stage in view.stages()]) == study.replays


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "a few seconds"), (9, "a few seconds"), (41, "about 50 s"), (59, "about 1 min"), (100, "about 1.5 min"),
     (600, "about 10 min"), (5400, "about 90 min"), (7300, "about 2 h 00 min"), (9000, "about 2 h 30 min"),
     (360_000, "about 100 h")],
)  # fmt: skip
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words
    assert not re.search(r"\b0 ", words)


def test_cores_are_those_of_the_options():
    assert cores_of(["--cores", "3"]) == 3
    assert cores_of(["--cores", "all", "--jobs", "100"]) == 100
    assert cores_of(["--cores", "all"]) == len(os.sched_getaffinity(0))
