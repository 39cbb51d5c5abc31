"""Progress files: what is reported, how often, and what a reader sees in between."""

import json
import logging
import math
from itertools import pairwise

import pytest

from quasarcurves.training import progress
from quasarcurves.training.progress import FILE_NAME, Report, Reporter, read

RUN = "f0.8_r0/adam"


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes when told: `clock.now`."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def test_nothing_is_read_before_the_first_report(tmp_path):
    assert read(tmp_path) is None
    Reporter(tmp_path / "state", 10, RUN)
    assert read(tmp_path / "state") is None


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"epoch": 1}', '{"epochs": 3, "bogus": 1}', "3"])
def test_a_file_of_something_else_counts_as_no_report(tmp_path, content):
    (tmp_path / FILE_NAME).write_text(content)
    assert read(tmp_path) is None


def test_the_last_report_is_read_with_the_time_left(tmp_path, clock):
    reporter = Reporter(tmp_path, 100, RUN)
    # the first epoch takes long: it is compiled
    clock.now += 60
    reporter.epoch(1, 5.0, math.nan)
    for epoch in range(2, 12):
        clock.now += 2
        reporter.epoch(epoch, 5.0 / epoch, math.nan)
    assert read(tmp_path) == Report(11, 100, 5.0 / 11, pytest.approx(2 * 89), "training")


def test_reports_are_at_least_a_second_apart(tmp_path, clock):
    reporter = Reporter(tmp_path, 1000, RUN)
    reporter.epoch(1, 1.0, math.nan)
    seen = []
    for epoch in range(2, 102):
        clock.now += 0.05
        reporter.epoch(epoch, 1.0, math.nan)
        seen.append(read(tmp_path).epoch)
    assert 4 <= len(set(seen) - {1}) <= 5
    assert seen == sorted(seen)


@pytest.mark.parametrize(("diverged", "state"), [(False, "done"), (True, "diverged")])
def test_the_end_is_reported_at_once(tmp_path, clock, diverged, state):
    reporter = Reporter(tmp_path, 10, RUN)
    reporter.epoch(1, 1.0, math.nan)
    reporter.end(4, 0.25, diverged)
    assert read(tmp_path) == Report(4, 10, 0.25, 0.0, state)


def test_a_loss_that_is_not_finite_comes_back(tmp_path):
    Reporter(tmp_path, 10, RUN).end(3, math.inf, True)
    assert read(tmp_path).loss == math.inf
    Reporter(tmp_path, 10, RUN).end(3, math.nan, True)
    assert math.isnan(read(tmp_path).loss)


def test_the_folder_holds_one_json_file(tmp_path):
    reporter = Reporter(tmp_path / "a" / "b", 3, RUN)
    reporter.epoch(1, 1.0, 2.0)
    reporter.end(3, 0.5, False)
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == [FILE_NAME]
    assert json.loads((tmp_path / "a" / "b" / FILE_NAME).read_text())["epoch"] == 3


@pytest.mark.parametrize(("epochs", "fewest", "most"), [(600, 20, 21), (200, 20, 21), (7, 7, 7), (39, 13, 39)])
def test_the_log_gets_about_twenty_lines_and_the_last_epoch(tmp_path, caplog, epochs, fewest, most):
    reporter = Reporter(tmp_path, epochs, RUN)
    with caplog.at_level(logging.INFO, logger="quasarcurves.training.progress"):
        for epoch in range(1, epochs + 1):
            reporter.epoch(epoch, 1.0 / epoch, math.nan)
    lines = [record.getMessage() for record in caplog.records]
    assert fewest <= len(lines) <= most
    assert lines[-1].startswith(f"{RUN}  epoch {epochs}/{epochs}")
    assert f"{1 / epochs:.5g}" in lines[-1]


def test_losses_are_kept_for_a_curve_and_thinned_when_they_are_many(tmp_path, clock):
    reporter = Reporter(tmp_path, 5000, RUN)
    for epoch in range(1, 5001):
        clock.now += 0.001
        reporter.epoch(epoch, 1.0 / epoch, math.nan if epoch % 10 else 2.0 / epoch)
    reporter.end(5000, 1.0 / 5000, False)
    losses = read(tmp_path).losses
    assert 100 <= len(losses) <= 200
    assert [loss for _, loss, _ in losses] == [1.0 / epoch for epoch, _, _ in losses]
    assert len({after[0] - before[0] for before, after in pairwise(losses)}) == 1
    assert any(math.isfinite(val) for _, _, val in losses)
    assert (tmp_path / FILE_NAME).stat().st_size < 20_000


def test_a_training_that_goes_on_keeps_its_earlier_losses_and_one_anew_does_not(tmp_path):
    first = Reporter(tmp_path, 10, RUN)
    for epoch in range(1, 7):
        first.epoch(epoch, 1.0, math.nan)
    first.end(6, 1.0, False)
    again = Reporter(tmp_path, 10, RUN)
    again.epoch(5, 0.5, math.nan)
    assert [epoch for epoch, _, _ in read(tmp_path).losses] == [1, 2, 3, 4, 5]
    Reporter(tmp_path, 10, RUN).epoch(1, 9.0, math.nan)
    assert [tuple(each[:2]) for each in read(tmp_path).losses] == [(1, 9.0)]
