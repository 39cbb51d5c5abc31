"""Where a study finds the machine odd: it ends with the same bytes, or with one line that names a file and a cause."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "workflow" / "studies" / "smoke.yaml"

FIGURES = {"draw cures", "draw gallery", "draw loss_by_fraction"}
"""Of the figures, which all are written by one function, these are enough."""


CONFIG = {
    "study": {"name": "tiny", "seed": 1, "replicates": 1},
    "data": {"source": "simulated", "n_spectra": 200},
    "subsets": {"test_fraction": 0.15, "validation_fraction": 0.05, "fractions": [0.8], "scheme": "nested"},
    "network": {"filters": 8, "layers": 2},
    "training": {"epochs": 3, "batch_size": 32, "validate_every": 1},
    "optimizers": {"adam": {"class": "Adam", "learning_rate": 1.0e-3}},
}
MADE = [
    *("data/spectra.h5", "data/subsets/f0.8_r0.h5"),
    *("runs/f0.8_r0/adam/model.keras", "runs/f0.8_r0/adam/predictions.h5", "figures/loss_by_fraction_adam.svg"),
]
"""What a study makes, by a step of each kind."""

DEEP = "deep/" + "/".join("d" * 100 for _ in range(9))


def command_of(study: Path) -> list[str]:
    targets = [f"results/tiny/{name}" for name in MADE[-2:]]
    words = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--workflow-profile", "none"]
    return [str(word) for word in [*words, "--cores", "2", "--configfile", study, "--", *targets]]


def run_tiny(folder: Path, umask: int = -1, fails: bool = False, **variables: str | None) -> str:
    """Run the tiny study in a folder; None takes a variable away."""
    (folder / "study.yaml").write_text(yaml.safe_dump(CONFIG))
    environment = {name: value for name, value in {**os.environ, **variables}.items() if value is not None}
    done = subprocess.run(
        command_of(folder / "study.yaml"), cwd=folder, env=environment, umask=umask,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


def made(folder: Path) -> dict[str, str]:
    return {name: sha256((folder / "results" / "tiny" / name).read_bytes()).hexdigest() for name in MADE}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """Give a folder in which the tiny study has run with nothing odd."""
    folder = tmp_path_factory.mktemp("tiny")
    run_tiny(folder)
    return folder


# as root one may do everything, unless these rights are given up
POWERLESS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")

ODDITIES = {
    "umask 077": {"umask": 0o077},
    "no HOME, no TMPDIR": {"HOME": None, "TMPDIR": None, "XDG_CACHE_HOME": None, "USER": None, "LOGNAME": None},
    "TMPDIR and HOME that are not there": {"HOME": "/nowhere", "TMPDIR": "/nowhere"},
    "locale C": {"LC_ALL": "C", "LANG": None, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "PYTHONOPTIMIZE=2": {"PYTHONOPTIMIZE": "2"},
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_an_odd_environment_changes_no_byte(tiny, tmp_path, oddity):
    run_tiny(tmp_path, **ODDITIES[oddity])
    assert made(tmp_path) == made(tiny)


def test_a_deep_path_changes_no_byte(tiny, tmp_path):
    folder = tmp_path / DEEP
    folder.mkdir(parents=True)
    run_tiny(folder)
    assert made(folder) == made(tiny)


@pytest.mark.parametrize("days", [-20_000, 4_000])
def test_dated_back_files_and_a_clock_set_back_rerun_nothing(tiny, tmp_path, days):
    """All files are dated to before they were made; or into the future, as where the clock was set back since."""
    folder = tmp_path / "copy"
    shutil.copytree(tiny, folder)
    for path in folder.rglob("*"):
        when = path.stat().st_mtime + 86400 * days
        os.utime(path, (when, when))
    assert "Nothing to be done" in run_tiny(folder)
    assert made(folder) == made(tiny)
    (folder / "results" / "tiny" / MADE[-1]).unlink()
    if days > 0:
        # Snakemake itself refuses what a job makes where its inputs are of a later time
        said = re.findall(
            r"^Output (\S+) has older modification time .* than input \S+ .*clock", run_tiny(folder, fails=True), re.M
        )
        assert said == [f"results/tiny/{MADE[-1]}"]
        for path in folder.rglob("*"):
            path.touch()
    run_tiny(folder)
    assert made(folder) == made(tiny)


@pytest.fixture
def others(tiny, tmp_path) -> Path:
    """Give a folder with the results of another user."""
    need_root("giving files to another user")
    folder = tmp_path / "others"
    shutil.copytree(tiny, folder)
    folder.chmod(0o755)  # pytest's own are closed to others
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, 65534, 65534)
    return folder


def test_results_of_another_user_are_gone_on_with_by_who_may(others, tiny):
    (others / "results" / "tiny" / MADE[-1]).unlink()
    run_tiny(others)
    assert made(others) == made(tiny)


def test_who_may_not_write_is_told_the_file_and_why(others):
    """In a folder of one's own with results of another user."""
    (others / "results" / "tiny" / MADE[-1]).unlink()
    for path in (others, others / "study.yaml"):
        os.chown(path, 0, 0)
    command = [sys.executable, "-m", "quasarcurves.cli", "run", "--cores", "1", "--snakefile", ROOT / "Snakefile"]
    command += ["--workflow-profile", "none", "--configfile", others / "study.yaml"]
    done = subprocess.run([*POWERLESS, *map(str, command)], cwd=others, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"error: \[Errno 13\] Permission denied: 'results/tiny/.*'", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stdout + done.stderr


def need_root(what: str) -> None:
    if os.geteuid() != 0:
        # in CI nothing that can run is skipped
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"{what} needs root")


@pytest.fixture
def full(finished, tmp_path) -> Iterator[Path]:
    """Give a folder with the finished study, whose results lie on a disk that is full."""
    need_root("mounting a small tmpfs")
    results = tmp_path / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", results], check=True)
    try:
        shutil.copytree(finished / "results", results, dirs_exist_ok=True)
        shutil.copytree(finished / ".snakemake", tmp_path / ".snakemake")
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", results], check=True)


def fill(disk: Path) -> None:
    """Leave no room on a disk."""
    with (disk / "filler").open("ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))


def commands(plan: str) -> dict[str, str]:
    """Give the command of one job of each step, from what Snakemake would run."""
    found = re.findall(r"(exec env .* -m scripts\.(\w+) ?([\w.]+)?.*) 2> \S+$", plan, re.MULTILINE)
    named = {f"draw {word.rpartition('.')[2]}" if step == "draw" else step: command for command, step, word in found}
    return {step: command for step, command in named.items() if not step.startswith("draw ") or step in FIGURES}


def test_every_step_says_that_the_disk_is_full(full, snakemake):
    """By the name of the file that it could not write, in one line: not in HDF5's words, nor in NumPy's."""
    plan = snakemake(full, "-n", "-p", "--forceall", "--configfile", STUDY).stdout
    steps = commands(plan)
    assert {"prepare_spectra", "draw_subset", "train", "evaluate", "write_page", *FIGURES} <= steps.keys()
    # a training that is done would only be read
    shutil.rmtree(full / "results" / "smoke" / "state")
    fill(full / "results")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "workflow"), "TF_CPP_MIN_LOG_LEVEL": "2"}
    said = {}
    for step, command in steps.items():
        done = subprocess.run(
            command, shell=True, cwd=full, env=environment, capture_output=True, text=True, check=False
        )
        last = done.stderr.rstrip().rpartition("\n")[2]
        if done.returncode != 1 or not re.fullmatch(
            r"error: \[Errno 28\] No space left on device: 'results/smoke/.*'", last
        ):
            said[step] = f"{done.returncode}: {done.stderr[-300:]}"
    assert said == {}
    assert not list((full / "results").rglob(".*.part*"))
