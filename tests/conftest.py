"""Fixtures shared by all tests: made-up spectra, and the reference spectra where they are."""

import fcntl
import gc
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from support import made_up_survey

ROOT = Path(__file__).parents[1]
_DEFAULT = Path(__file__).resolve().parents[1] / ".." / "shared" / "reference"
REFERENCE = Path(os.environ.get("QUASARCURVES_REFERENCE", _DEFAULT)).resolve()
_LONGEST_FIRST = (
    "test_kills.py",
    "finished smoke study",
    "test_reruns.py",
    "killed studies",
    "test_faults.py",
    "test_backends.py",
    "test_interrupted.py",
    "test_real_spectra.py",
    "test_wheel.py",
    "test_pods.py",
    "run runs",
    "test_deploy.py",
    "test_recipes.py",
    "test_pack.py",
    "test_own_task_study.py",
    "test_own_task_packed.py",
    "test_studies.py",
    "run everything",
    "test_jax.py",
    "test_packed.py",
    "test_spike_cost_study.py",
    "test_fitting.py",
    "test_precursors.py",
    "test_find_spikes.py",
    "test_loop.py",
)
"""Groups of tests that take a minute or more, by recorded time: begun last, one would keep one processor alone busy."""
_WITHOUT_REFERENCE = f"no reference spectra in {REFERENCE}"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what all tests import out of garbage collection: a search through it takes a second and finds nothing."""
    gc.disable()
    try:
        return (yield)
    finally:
        # imported later, it would look for who holds a random generator, and not see what is frozen
        import_module("hypothesis")
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread tests over processes such that what is costly to set up is set up once: by file, or as a mark says.

    The longest groups come first (xdist keeps the order with `--no-loadscope-reorder`).
    """
    place = {group: i for i, group in enumerate(_LONGEST_FIRST)}
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    items.sort(key=lambda item: place.get(item.get_closest_marker("xdist_group").args[0], len(place)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests of the reference spectra where there are none."""
    if item.get_closest_marker("reference") and not (REFERENCE / "README.md").is_file():
        # skipped at this one line, so that pytest counts all of them in one line
        pytest.skip(_WITHOUT_REFERENCE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line how many tests lacked the reference spectra, and where to get them."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(_WITHOUT_REFERENCE in str(report.longrepr) for report in skipped)
    if count:
        loud = {"red": True, "bold": True} if os.environ.get("CI") else {"yellow": True}
        terminalreporter.write_line(
            f"{count} tests skipped: {_WITHOUT_REFERENCE}. tests/README.md says where to get them; "
            "QUASARCURVES_REFERENCE names their folder.",
            **loud,
        )


@pytest.fixture(scope="session", autouse=True)
def programs_of_jax(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let all processes that the tests start share what JAX compiles: the same program is compiled once.

    A program is found by what it computes, the versions and the flags, so that another one is never used in its place.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("programs_of_jax")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def packages_of_steps() -> Iterator[None]:
    """Let all studies that a process of the tests runs share the imports of their steps: see scripts/fork_server.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUASARCURVES_FORK_SERVER", f"{socket.gethostname()}:{os.getpid()}")
        yield


@pytest.fixture(scope="session")
def reference() -> Path:
    """Return the folder of the reference spectra: QUASARCURVES_REFERENCE, else ../shared/reference.

    A test that asks for it has the mark `reference`.
    """
    if not (REFERENCE / "README.md").is_file():
        pytest.fail(f"{_WITHOUT_REFERENCE}, and the test has no mark `reference`", pytrace=False)
    return REFERENCE


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of made-up spectra in the layout of the reference spectra; tests must not change it."""
    return made_up_survey.make(tmp_path_factory.mktemp("made_up"))


@pytest.fixture(params=["made_up", pytest.param("reference", marks=pytest.mark.reference)])
def survey(request: pytest.FixtureRequest) -> Path:
    """Return the folder of either: what holds of the reference spectra holds of made-up ones."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def smoke_command() -> list[str]:
    """Return the command that runs the smoke study, as `make study` does."""
    study = ROOT / "workflow" / "studies" / "smoke.yaml"
    command = [sys.executable, "-m", "quasarcurves.cli", "run", "--configfile", study, "--cores", "2"]
    return list(map(str, [*command, "--snakefile", ROOT / "Snakefile", "--workflow-profile", "none"]))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, smoke_command: list[str]) -> Path:
    """Return a folder in which the smoke study has run, as `make study` runs it; tests must not change it.

    All processes of a test session share it, and so do sessions for which FINISHED_STUDIES names one folder: the first
    one that asks for it makes it, the others wait.
    """
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    common = Path(os.environ.get("FINISHED_STUDIES", common))
    folder = common / "finished-smoke"
    with (common / "finished-smoke.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "output.txt").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "output.txt").write_text(run_smoke_study(smoke_command, folder))
    return folder


def run_smoke_study(command: list[str], folder: Path) -> str:
    """Run the smoke study; return what the terminal shows."""
    result = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    return result.stdout
