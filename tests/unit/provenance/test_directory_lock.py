"""Locks of Snakemake that killed processes have left are released, those of living ones never."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from quasarcurves.provenance import directory_lock

LOCK = Path(".snakemake", "locks", "0.output.lock")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LOCK.parent.mkdir(parents=True)
    LOCK.write_text("results/s/data/spectra.h5\n")


@pytest.fixture
def holder(folder):
    """Start a process that holds the lock; give its number."""
    child = os.fork()
    if not child:
        directory_lock.sign([LOCK])
        Path("signed").touch()
        time.sleep(60)
        os._exit(0)
    while not Path("signed").exists():
        time.sleep(0.01)
    yield child
    if not Path("killed").exists():
        kill(child)


def kill(process):
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    Path("killed").touch()


def test_the_lock_of_a_killed_process_is_released(holder):
    kill(holder)
    assert directory_lock.release_stale() == [holder]
    assert not LOCK.exists()
    assert directory_lock.release_stale() == []


def test_that_of_a_living_process_stays(holder):
    assert directory_lock.release_stale() == []
    assert LOCK.exists()


def test_that_of_another_host_stays(holder):
    kill(holder)
    (note,) = Path(".snakemake", "quasarcurves").iterdir()
    note.write_text(json.dumps(json.loads(note.read_text()) | {"host": "elsewhere"}))
    assert directory_lock.release_stale() == []
    assert LOCK.exists()


def test_a_later_lock_of_the_same_name_stays(holder):
    """As one that was unlocked by hand, and taken by a process that leaves no note."""
    kill(holder)
    LOCK.unlink()
    Path("keeps the number of the file from being used again").touch()
    LOCK.write_text("results/s/data/spectra.h5\n")
    directory_lock.release_stale()
    assert LOCK.exists()


def test_a_lock_without_a_note_stays_and_a_broken_note_hurts_nobody(folder):
    notes = Path(".snakemake", "quasarcurves")
    notes.mkdir()
    for name, text in {"a": "", "b": "[]", "c": '{"host": 1}'}.items():
        (notes / f"{name}.json").write_text(text)
    assert directory_lock.release_stale() == []
    assert LOCK.exists()


def test_a_process_that_ends_takes_its_note_along(folder):
    directory_lock.sign([LOCK])
    assert len(list(Path(".snakemake", "quasarcurves").iterdir())) == 1
    directory_lock.withdraw()
    assert list(Path(".snakemake", "quasarcurves").iterdir()) == []
    assert LOCK.exists()


def test_without_locks_there_is_no_note(folder):
    directory_lock.sign([])
    assert not Path(".snakemake", "quasarcurves").exists()
