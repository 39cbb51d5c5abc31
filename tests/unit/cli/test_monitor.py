"""What is said of a study under way, from planted progress files."""

import os
import time
from pathlib import Path

import pytest
import yaml

from quasarcurves.cli.monitor import StudyView
from quasarcurves.study import Study
from quasarcurves.training.progress import Reporter

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


def folder(study, run):
    return study.results / "state" / run.name


def test_nothing_is_known_at_first(study):
    view = StudyView(study, time.time())
    view.update()
    assert view.headline() == "0 of 4 runs trained"


def test_counts_what_is_done_and_what_is_left(study):
    big_adam, big_sgd, _, small_sgd = study.runs
    (study.results / "runs" / small_sgd.name).mkdir(parents=True)
    (study.results / "runs" / small_sgd.name / "history.h5").touch()
    view = StudyView(study, time.time() - 30)
    Reporter(folder(study, big_adam), 10, "a run").end(10, 0.1, diverged=False)
    Reporter(folder(study, big_sgd), 10, "a run").epoch(5, 0.5, 0.6)
    view.update()
    assert view.n_done == 2  # the one that lay there, and the one that has just ended
    assert list(view.training) == [big_sgd]
    done, left = view.work()
    assert done == pytest.approx(0.8 * 10 + 0.8 * 5)
    assert left == pytest.approx(0.8 * 5 + 0.4 * 10)
    # 12 units in 30 s, 8 left
    assert view.headline() == "2 of 4 runs trained, 0:00:20 left"


def test_progress_of_an_earlier_call_is_not_shown(study):
    run = study.runs[0]
    Reporter(folder(study, run), 10, run.name).epoch(5, 0.5, 0.6)
    os.utime(folder(study, run) / "progress.json", (1, 1))
    view = StudyView(study, time.time())
    view.update()
    assert not view.reports


def test_diverged_run_counts_as_done(study):
    view = StudyView(study, time.time() - 1)
    Reporter(folder(study, study.runs[0]), 10, "a run").end(3, float("nan"), diverged=True)
    view.update()
    assert view.n_done == 1
    assert view.reports[study.runs[0]].state == "diverged"


def test_the_length_of_each_run_is_its_own(study):
    """Steps are rounded up to whole epochs of the run; an optimizer's own `training` comes before the study's."""
    config = yaml.safe_load(CONFIG)
    config["training"] = {"steps": 50, "batch_size": 10}
    config["optimizers"] = {
        "adam": {"class": "Adam"},
        "long": {"class": "Adam", "training": {"epochs": 30}},
        "small": {"class": "Adam", "training": {"batch_size": 4}},
    }
    study = Study.from_config(config)
    _, left = StudyView(study, time.time()).work()
    # 80 and 40 spectra; 50 steps are 7 and 13 epochs of batches of 10, and 3 and 5 of batches of 4
    assert left == pytest.approx(0.8 * (7 + 30 + 3) + 0.4 * (13 + 30 + 5))
    # what a run reports comes before what is expected of it
    Reporter(folder(study, study.runs[0]), 9, "a run").epoch(4, 0.5, 0.6)
    view = StudyView(study, time.time() - 30)
    view.update()
    done, left = view.work()
    assert done == pytest.approx(0.8 * 4)
    assert left == pytest.approx(0.8 * (9 - 4 + 30 + 3) + 0.4 * (13 + 30 + 5))


@pytest.mark.parametrize("name", ["spacing", "controls"])
def test_time_left_of_studies_in_steps(name, tmp_path, monkeypatch):
    """In studies whose trainings are counted in steps the work is that of their steps."""
    study = Study.load(Path(__file__).parents[3] / "workflow" / "studies" / f"{name}.yaml")
    monkeypatch.chdir(tmp_path)
    n = study.n_spectra(Path("none.h5"))
    expected = 0.0
    for run in study.runs:
        settings = study.config["training"] | study.config["optimizers"][run.optimizer].get("training", {})
        per_epoch = -(-round(run.fraction * n) // settings["batch_size"])
        if settings["last_batch"] == "drop":
            per_epoch = round(run.fraction * n) // settings["batch_size"]
        epochs = -(-settings["steps"] // per_epoch) if "steps" in settings else settings["epochs"]
        expected += run.fraction * epochs
    _, left = StudyView(study, time.time()).work()
    assert left == pytest.approx(expected)
    assert left != pytest.approx(sum(run.fraction for run in study.runs) * study.config["training"]["epochs"])
