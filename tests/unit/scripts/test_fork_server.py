"""Jobs that are forked from a server: they are what they would be by themselves, and end with whom they belong to."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from quasarcurves.files import workflow_root

JOB = """
import os, signal, sys, time
from pathlib import Path
what, *rest = sys.argv[1:]
if what == "tell":
    print(os.getcwd(), os.environ["WORD"], rest, "pandas" in sys.modules, os.getppid(), __name__, sys.stdin.read())
elif what == "where":
    print(sys.modules["scripts"].__file__)
elif what == "fail":
    sys.exit({"text": "wrong input", "number": 3, "none": None}[rest[0]])
elif what == "raise":
    raise KeyError("a fault")
elif what == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    Path(rest[0]).write_text(str(os.getpid()))
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give a folder with a package whose module is the job, and with the server's folder."""
    folder = tmp_path_factory.mktemp("fork")
    (folder / "own").mkdir()
    attach = "import sys\nfrom scripts import fork_server\nif sys.argv[0] == '-m':\n    fork_server.attach()\n"
    (folder / "own" / "__init__.py").write_text(attach)
    (folder / "own" / "job.py").write_text(JOB)
    (folder / "tmp").mkdir()
    return folder


@pytest.fixture(scope="module")
def owner():
    """Give a process that stands for Snakemake."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def start(folder, owner):
    def begin(*arguments, **environment):
        found = {
            **os.environ,
            "PYTHONPATH": f"{folder}:{workflow_root() / 'workflow'}",
            "QUASARCURVES_FORK_SERVER": f"{socket.gethostname()}:{owner.pid}",
            "TMPDIR": str(folder / "tmp"),
            "WORD": "there",
            **environment,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "own.job", *arguments],
            cwd=folder, env=found, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return begin


@pytest.fixture
def run(start):
    def finish(*arguments, **environment):
        job = start(*arguments, **environment)
        out, err = job.communicate("typed", timeout=60)
        return job.returncode, out, err

    return finish


def servers(owner):
    """Return the servers of a Snakemake."""
    name = f"{socket.gethostname()}:{owner.pid}"
    return [each for each in psutil.process_iter() if each.is_running() and name in _command(each)]


def _command(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_job_is_what_it_would_be_by_itself(folder, owner, run):
    alone = run("tell", "a b", "c", QUASARCURVES_FORK_SERVER="")
    forked = run("tell", "a b", "c")
    assert alone[0] == forked[0] == 0
    assert f"{folder} there ['a b', 'c'] False {os.getpid()} __main__ typed" in alone[1]
    (server,) = servers(owner)
    assert f"{folder} there ['a b', 'c'] True {server.pid} __main__ typed" in forked[1]
    assert alone[2] == forked[2] == ""


def test_each_job_has_its_own_environment_and_the_code_of_its_time(folder, owner, run):
    assert " another " in run("tell", WORD="another")[1]
    (folder / "own" / "job.py").write_text("print('new code')\n" + JOB)
    assert "new code" in run("tell")[1]
    assert len(servers(owner)) == 1


def test_copies_of_the_project_share_a_server_and_run_their_own_code(folder, owner, run, tmp_path):
    copy = tmp_path / "copy"
    copy.symlink_to(workflow_root() / "workflow")
    places = [run("where", PYTHONPATH=f"{folder}:{each}")[1] for each in (workflow_root() / "workflow", copy)]
    own = [str(workflow_root() / "workflow" / "scripts" / "__init__.py"), f"{copy}/scripts/__init__.py"]
    assert [text.split()[-1] for text in places] == own
    assert len(servers(owner)) == 1


def test_what_else_is_in_the_path_has_a_server_of_its_own(folder, run, tmp_path):
    """Packages may come from there, and the server has imported those of its own path."""
    owner = subprocess.Popen(["sleep", "600"])
    named = {"QUASARCURVES_FORK_SERVER": f"{socket.gethostname()}:{owner.pid}"}
    for place, expected in (("", 1), ("/", 1), (f":{tmp_path}", 2)):
        assert run("where", PYTHONPATH=f"{folder}:{workflow_root() / 'workflow'}{place}", **named)[0] == 0
        assert len(servers(owner)) == expected
    owner.kill()
    owner.wait()
    until(lambda: not servers(owner))


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [(("fail", "text"), 1, "wrong input\n"), (("fail", "number"), 3, ""), (("fail", "none"), 0, "")],
)
def test_exit_status_and_last_words_are_those_of_the_job(run, arguments, status, text):
    assert run(*arguments)[::2] == (status, text)


def test_a_fault_is_shown_as_python_does(run):
    status, _, text = run("raise")
    assert status == 1
    assert text.startswith("Traceback")
    assert text.endswith("KeyError: 'a fault'\n")


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def waiting(start, tmp_path):
    job = start("wait", str(tmp_path / "process"))
    until(lambda: (tmp_path / "process").exists() and (tmp_path / "process").read_text())
    yield job, psutil.Process(int((tmp_path / "process").read_text()))
    job.kill()
    job.communicate()


def test_signals_reach_the_job(waiting):
    job, process = waiting
    assert process.pid != job.pid
    job.terminate()
    assert job.wait(30) == 7
    assert not process.is_running()


def test_a_job_dies_with_its_own_process(waiting):
    job, process = waiting
    job.kill()
    until(lambda: not process.is_running())


def test_a_job_that_is_killed_is_said_to_be(waiting):
    job, process = waiting
    process.kill()
    assert job.wait(30) == 128 + signal.SIGKILL


def test_many_jobs_at_once_share_one_server(start, owner):
    jobs = [start("tell", str(number)) for number in range(8)]
    said = [job.communicate("", timeout=60)[0] for job in jobs]
    assert all(f"['{number}'] True" in text for number, text in enumerate(said))
    assert len(servers(owner)) == 1


def test_without_a_server_a_job_does_its_work_itself(run, tmp_path):
    nobody = {"QUASARCURVES_FORK_SERVER": f"elsewhere:{os.getpid()}"}
    gone = subprocess.Popen(["true"])
    gone.wait()
    ended = {"QUASARCURVES_FORK_SERVER": f"{socket.gethostname()}:{gone.pid}"}
    open_to_all = tmp_path / f"quasarcurves-{os.getuid()}"
    open_to_all.mkdir(mode=0o777)
    open_to_all.chmod(0o777)
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    for what in (nobody, ended, {"TMPDIR": str(tmp_path)}, {"TMPDIR": str(deep)}, {"KERAS_BACKEND": "jax"}):
        assert f" False {os.getpid()} " in run("tell", **what)[1], what


@pytest.mark.slow
def test_a_server_goes_when_snakemake_and_the_last_job_have_ended(folder, waiting, owner):
    """The last test here: it ends what the others share."""
    _, process = waiting
    server = process.parent()
    assert server in servers(owner)
    owner.kill()
    owner.wait()
    time.sleep(0.5)
    assert server.is_running()
    process.kill()
    until(lambda: not server.is_running())
    (here,) = (folder / "tmp").iterdir()
    assert [path.name for path in here.iterdir()] == ["lock"]
    assert Path(here).stat().st_mode & 0o077 == 0
