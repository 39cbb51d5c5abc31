"""One process at a time trains a run; who is started by a scheduler takes over from who was given up."""

import errno
import fcntl
import threading
import time

import pytest

from quasarcurves.training import run_lock
from quasarcurves.training.run_lock import AlreadyTraining, TakenOver, hold_lock


@pytest.fixture
def no_locks(monkeypatch):
    """Have a file system without locks, such as Lustre as it is mounted by default."""

    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_second_process_is_refused_and_told_who_trains(tmp_path):
    with hold_lock(tmp_path / "state") as first:
        with (
            pytest.raises(AlreadyTraining, match=r"trained already, by process \d+ on "),
            hold_lock(tmp_path / "state"),
        ):
            pass
        assert not first.is_lost()
        first.check()


def test_after_the_first_has_ended_the_next_may(tmp_path):
    with hold_lock(tmp_path) as first:
        pass
    with hold_lock(tmp_path) as second:
        second.check()
        with pytest.raises(TakenOver, match="left to process"):
            first.check()


def test_who_takes_over_waits_until_the_old_process_has_left(tmp_path):
    events = []
    inside = threading.Event()

    def old():
        with hold_lock(tmp_path) as lock:
            inside.set()
            while not lock.is_lost():
                time.sleep(0.01)
            time.sleep(0.3)  # it saves its state
            events.append("left")

    thread = threading.Thread(target=old)
    thread.start()
    assert inside.wait(10)
    with hold_lock(tmp_path, take_over=True) as new:
        events.append("taken over")
        new.check()
    thread.join(10)
    assert events == ["left", "taken over"]


def test_the_last_of_those_who_take_over_has_it(tmp_path):
    names = {}

    def newcomer(name):
        with hold_lock(tmp_path, take_over=True) as lock:
            names[name] = lock
            time.sleep(0.2)

    with hold_lock(tmp_path):
        threads = []
        for name in ("first", "second"):
            threads.append(threading.Thread(target=newcomer, args=[name]))
            before = (tmp_path / "owner").read_text()
            threads[-1].start()
            while (tmp_path / "owner").read_text() == before:
                time.sleep(0.01)
    for thread in threads:
        thread.join(10)
    assert names["first"].is_lost()
    assert not names["second"].is_lost()


def test_a_process_that_does_not_leave_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "_PATIENCE", 0.3)
    with hold_lock(tmp_path), pytest.raises(AlreadyTraining), hold_lock(tmp_path, take_over=True):
        pass


@pytest.mark.usefixtures("no_locks")
def test_without_locks_the_old_process_finds_that_it_has_been_replaced(tmp_path):
    with hold_lock(tmp_path) as old:
        old.check()
        with hold_lock(tmp_path, take_over=True) as new:
            assert old.is_lost()
            with pytest.raises(TakenOver):
                old.check()
            new.check()


def test_other_errors_of_the_file_system_are_errors(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output"), hold_lock(tmp_path):
        pass
