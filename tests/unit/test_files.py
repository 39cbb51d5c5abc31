"""Whole files: the new content or the old, never a part, and nothing left over."""

import pytest

from quasarcurves.files import whole_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_once_it_is_whole(tmp_path):
    path = tmp_path / "made" / "here" / "table.csv"
    with whole_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["table.csv"]


def test_the_old_content_stays_until_the_new_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with whole_file(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("old", ["old", None])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there_and_no_temporary(tmp_path, old, error):
    path = tmp_path / "table.csv"
    if old is not None:
        path.write_text(old)
    with pytest.raises(error), whole_file(path) as temporary:
        temporary.write_text("half of the ne")
        raise error
    assert names(tmp_path) == ([] if old is None else ["table.csv"])
    if old is not None:
        assert path.read_text() == old


def test_a_block_that_writes_nothing_is_an_error_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), whole_file(path):
        pass
    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("name", ["model.keras", "history.h5", "figure.svg", "f0.05_r0.h5"])
def test_the_temporary_name_keeps_the_suffix_and_is_hidden(tmp_path, name):
    with whole_file(tmp_path / name) as temporary:
        assert temporary.suffix == (tmp_path / name).suffix
        assert temporary.name != name
        assert temporary.name.startswith(".")
        temporary.touch()


def test_two_files_written_at_once_do_not_meet(tmp_path):
    with whole_file(tmp_path / "a.h5") as one, whole_file(tmp_path / "b.h5") as other:
        one.write_text("a")
        other.write_text("b")
    assert [(tmp_path / name).read_text() for name in ("a.h5", "b.h5")] == ["a", "b"]


def test_two_processes_never_share_a_temporary(tmp_path, monkeypatch):
    """Not even two of the same number, on two hosts that share a file system."""
    monkeypatch.setattr("os.getpid", lambda: 11)
    with whole_file(tmp_path / "a.h5") as one, whole_file(tmp_path / "a.h5") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a.h5").read_text() == "one"
    assert names(tmp_path) == ["a.h5"]
