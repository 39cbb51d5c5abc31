"""What is said of a study under way, from planted progress files."""

import os
import time

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
