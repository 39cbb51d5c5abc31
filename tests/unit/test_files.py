"""Whole files: the new content or the old, never a part, and nothing left over."""

import errno
import os
import resource
import subprocess
import sys
import time
from functools import partial

import numpy as np
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


def killed(path):
    """Write to a file in a process that is killed meanwhile; return the temporary file that it leaves."""
    child = os.fork()
    if not child:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    (left,) = path.parent.glob(".*.part*")
    return left


@pytest.mark.parametrize("name", ["a.h5", "a", "f0.05_r0.h5", "a [b]*\n.csv"])
def test_what_a_killed_process_has_left_is_removed_by_the_next(tmp_path, name):
    killed(tmp_path / name)
    with whole_file(tmp_path / name) as temporary:
        temporary.write_text("whole")
        assert names(tmp_path) == [temporary.name]
    assert names(tmp_path) == [name]


def test_of_another_file_another_host_or_a_living_process_it_stays(tmp_path):
    left = killed(tmp_path / "a.h5")
    with whole_file(tmp_path / "a.csv") as other, whole_file(tmp_path / "b.h5") as another:
        other.touch()
        another.touch()
        assert left.exists()
    machine, process = left.name.split(".")[2].split("-")
    elsewhere = left.rename(left.with_name(left.name.replace(machine, "0" * 8)))
    living = left.with_name(left.name.replace(process, str(os.getpid())))
    living.touch()
    with whole_file(tmp_path / "a.h5") as temporary:
        temporary.touch()
        assert elsewhere.exists()
        assert living.exists()
    day_ago = time.time() - 90_000
    os.utime(elsewhere, (day_ago, day_ago))
    with whole_file(tmp_path / "a.h5") as temporary:
        temporary.touch()
        assert not elsewhere.exists()


WRITERS = {
    "history.h5": """
from quasarcurves.training.history import History
noise = np.random.default_rng(0).random(5000)
History({"loss": noise}, {f"norm{i}": noise for i in range(9)}).save(path)""",
    "plain.h5": """
import h5py
from quasarcurves.files import whole_file
with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
    for i in range(9):
        file[str(i)] = np.arange(5000.0)""",
    "spectra.h5": """
from quasarcurves.spectra.prepare import prepare
prepare({"source": "simulated", "n_spectra": 300, "seed": 5}, path)""",
    "table.csv": """
import pandas as pd
from quasarcurves.analysis import tables
tables.write(pd.DataFrame({"loss": np.random.default_rng(0).random(9000)}), path)""",
    "figure.png": """
from matplotlib.figure import Figure
from quasarcurves.figures import style
figure = Figure(figsize=(9, 9))
figure.add_subplot().imshow(np.random.default_rng(0).random((500, 500)))
style.save(figure, [path])""",
}
JOB = """
import sys
from pathlib import Path
import numpy as np
from quasarcurves.files import end_on_full_disk
end_on_full_disk()
path = Path(sys.argv[1])
try:
{}
except OSError as error:
    sys.exit(f"error: {{error}}")
"""


def limited(size):
    """Let this process write no file larger than that; unlike a small disk, this takes no root."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.slow
@pytest.mark.parametrize("size", [20_000, 50_000])
@pytest.mark.parametrize("name", WRITERS)
def test_no_room_is_one_line_that_names_the_file_whoever_writes(tmp_path, name, size):
    """HDF5 crashes, and NumPy counts bytes, where a text file has an error of the system."""
    program = JOB.format("\n".join(f"    {line}" for line in WRITERS[name].splitlines()))
    command = [sys.executable, "-c", program, tmp_path / name]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=partial(limited, size), check=False)
    assert done.returncode == 1, done.stderr
    # NumPy does not say why it could not write
    reason = errno.ENOSPC if name == "spectra.h5" else errno.EFBIG
    assert done.stderr == f"error: {OSError(reason, os.strerror(reason), str(tmp_path / name))}\n"
    assert names(tmp_path) == []


IN_ONES_OWN = {
    "history.h5": WRITERS["history.h5"],
    "network.h5": """
from quasarcurves.quasarnet import export, network
export.to_quasarnp(network.build(filters=8), path)""",
}


@pytest.mark.slow
@pytest.mark.parametrize("size", [9_000, 30_000])
@pytest.mark.parametrize("name", IN_ONES_OWN)
def test_a_program_of_ones_own_is_told_and_goes_on(tmp_path, name, size):
    """A recorder in a user's training, a notebook: nothing may end their process."""
    program = f"""
import sys
from pathlib import Path
import numpy as np
path = Path(sys.argv[1])
try:
{chr(10).join(f"    {line}" for line in IN_ONES_OWN[name].splitlines())}
except OSError as error:
    print("told:", error)
import gc
gc.collect()
print("goes on")
"""
    command = [sys.executable, "-c", program, tmp_path / name]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=partial(limited, size), check=False)
    assert done.returncode == 0, done.stderr
    told = OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(tmp_path / name))
    assert done.stdout == f"told: {told}\ngoes on\n"
    assert "Traceback" not in done.stderr
    assert names(tmp_path) == []


def test_a_full_disk_is_told_by_its_name_not_by_numbers_of_bytes(tmp_path):
    numpys = OSError("17720 requested and 15360 written")
    astropys = OSError("Not enough space on disk: requested 2675, available 0. ")
    hdf5s = RuntimeError("Can't decrement id ref count (file write failed: errno = 28, error message = '...')")
    for error in (numpys, astropys, hdf5s, OSError(errno.ENOSPC, "No space left on device")):
        with (
            pytest.raises(OSError, match=r"No space left on device: '.*a\.h5'$") as raised,
            whole_file(tmp_path / "a.h5"),
        ):
            raise error
        assert raised.value.errno == errno.ENOSPC


def test_that_numpy_says_it_so(tmp_path):
    """Or the words above would no longer be found."""
    with open("/dev/full", "wb") as full, pytest.raises(OSError, match=r"\d+ requested and \d+ written"):  # noqa: PTH123
        np.zeros(100_000).tofile(full)


def test_an_error_of_what_is_read_meanwhile_is_left_as_it_is(tmp_path):
    error = PermissionError(errno.EACCES, "Permission denied", "spectra.fits")
    with pytest.raises(PermissionError) as raised, whole_file(tmp_path / "a.h5"):
        raise error
    assert raised.value is error
