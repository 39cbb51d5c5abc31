"""Killed at any moment and started again, trainings and studies end bit by bit as if they had not been."""

import contextlib
import json
import os
import random
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from quasarcurves.training.history import History

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "8"))
SEED = 20261123
KILLS_OF_STUDIES = int(os.environ.get("KILLS", "5"))
"""`make kills N=50` takes more of both."""


@pytest.fixture(scope="module", autouse=True)
def own_servers() -> Iterator[None]:
    """Let every study have fork servers of its own, as users do: those are killed too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("QUASARCURVES_FORK_SERVER")
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Give a folder with spectra and a subset."""
    from quasarcurves.spectra.prepare import prepare
    from quasarcurves.spectra.subsets import draw
    from quasarcurves.spectra.table import load_column

    folder = tmp_path_factory.mktemp("kills")
    prepare({"source": "simulated", "n_spectra": 400, "seed": 5}, folder / "spectra.h5")
    draw(load_column(folder / "spectra.h5", "target_id"), fraction=0.77).save(folder / "subset.h5")
    return folder


def params(epochs: int = 40, **spec) -> dict:
    lines = ["LYA", "CIV(1548)", "MgII(2796)"]
    # few layers, and a probe of a batch's size: half of such a training's time is the tracing of its programs
    network = {"filters": 8, "layers": 2, "boxes": 13, "dropout": 0.1, "lines": lines, "bal_lines": ["CIV(1548)"]}
    optimizer = {"class": "Adam", "learning_rate": 1e-3, "amsgrad": True, **spec}
    training = {"epochs": epochs, "batch_size": 32, "last_batch": "keep", "validate_every": 3}
    return {
        "study": "kills", "seed": 3, "fraction": 0.77, "replicate": 0, "optimizer": "amsgrad",
        "optimizer_spec": optimizer, "network": network, "training": training,
        "diagnosis": {"curvature_every": 70, "probe_size": 32},
        # so short a training has no spikes: where its loss falls least, in place of them
        "snapshots": {"keep": 2, "window": 1, "settled": 3, "course": 0.978, "high": 0.98},
    }  # fmt: skip


NURSERY = """
import json, logging, os, sys
from pathlib import Path
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.steps.training import Job, train_runs, use_threads
from quasarcurves.training.settings import StateSettings
for line in sys.stdin:
    folder, out, params, every, before = json.loads(line)
    child = os.fork()
    if child:
        print(child, flush=True)
        _, status, used = os.wait4(child, 0)
        print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, flush=True)
        continue
    folder, out = Path(folder), Path(out)
    logging.basicConfig(level=logging.INFO, filename=out / "log")
    sys.stderr = (out / "log").open("a", buffering=1)
    os.setsid()
    exec(before)
    try:
        use_threads(1)
        job = Job(
            run=RunSettings.from_json(params), key="k", subset=folder / "subset.h5", state=out / "state",
            history=out / "history.h5", model=out / "model.keras", best=out / "best.keras",
            snapshots=out / "snapshots.h5",
        )
        train_runs(folder / "spectra.h5", [job], StateSettings(every, keep_state=True))
    except OSError as error:
        print("error:", error, file=sys.stderr)
        os._exit(1)
    except SystemExit as end:
        os._exit(end.code)
    os._exit(0)
"""
"""Imports TensorFlow once and forks a process for every training asked for, before TensorFlow has done anything."""


class Training:
    """A training in a process of its own, forked by a nursery; it is really killed by real signals."""

    def __init__(self, prepared: Path, out: Path, settings: dict, before: str = "", every: int = 2) -> None:
        out.mkdir(exist_ok=True)
        self.out = out
        self._nursery = IDLE.pop() if IDLE else open_nursery()
        self._ask = [str(prepared), str(out), settings, every, before]
        self.start()

    def start(self) -> None:
        """Start the training, or start it again."""
        print(json.dumps(self._ask), file=self._nursery.stdin, flush=True)
        self.pid = int(self._nursery.stdout.readline())
        self._running = True

    def again(self) -> str:
        """Start the training again as anybody would, let it end, and give its log."""
        self._ask[3:] = [2, ""]
        self.start()
        assert self.wait(600) == 0, self.log
        return self.log

    def signal(self, number: int) -> None:
        """Send a signal; a training that has ended by itself gets none."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int | None:
        """Give the exit status (negative: the signal it died of), or None if it has not ended by then."""
        ready, _, _ = select.select([self._nursery.stdout], [], [], seconds)
        if not ready:
            return None
        self._running = False
        status, processor = self._nursery.stdout.readline().split()
        self.processor_seconds = float(processor)
        return int(status)

    def wait_for_work(self, seconds: float) -> int | None:
        """Wait until the training has had so much of a processor; give the exit status if it has ended by then.

        However much else the machine has to do, the training is then as far.
        """
        end = time.monotonic() + 900
        while (status := self.wait(0.05)) is None:
            assert time.monotonic() < end, self.log
            with contextlib.suppress(psutil.NoSuchProcess):
                if self.worked() >= seconds:
                    return None
        return status

    def worked(self) -> float:
        """Return the seconds of a processor that the training has had."""
        used = psutil.Process(self.pid).cpu_times()
        return used.user + used.system

    @property
    def log(self) -> str:
        return (self.out / "log").read_text()

    def close(self) -> None:
        """Leave the nursery to the next training, if this one has ended; otherwise wait until it does."""
        if self._running:
            close_nursery(self._nursery)
        else:
            IDLE.append(self._nursery)


IDLE: list[subprocess.Popen] = []
"""Nurseries whose training has ended. To start one takes longer than some trainings."""


def open_nursery() -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=QUIET
    )


def close_nursery(nursery: subprocess.Popen) -> None:
    nursery.stdin.close()
    nursery.wait()
    nursery.stdout.close()


@pytest.fixture(scope="module", autouse=True)
def nurseries_end() -> Iterator[None]:
    """Let no nursery outlive the tests."""
    yield
    while IDLE:
        close_nursery(IDLE.pop())


QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}


@pytest.fixture
def start(prepared) -> Iterator[Callable[..., Training]]:
    """Give the function that starts a training."""
    trainings = []

    def begin(*arguments, **options) -> Training:
        trainings.append(Training(prepared, *arguments, **options))
        return trainings[-1]

    yield begin
    for training in trainings:
        training.close()


def assert_same(out: Path, other: Path) -> None:
    """Two trainings have the same record, the same models and the same snapshots, bit by bit."""
    from quasarcurves.training import snapshots

    one, two = History.load(out / "history.h5"), History.load(other / "history.h5")
    assert one.curvature["step"].size
    for group in ("steps", "epochs", "curvature"):
        columns, others = getattr(one, group), getattr(two, group)
        assert columns.keys() == others.keys()
        for name in columns.keys() - {"seconds"}:
            np.testing.assert_array_equal(columns[name], others[name], err_msg=name)
    taken, others = snapshots.load(out / "snapshots.h5"), snapshots.load(other / "snapshots.h5")
    assert taken.keys() == others.keys() == {"1_before", "1_peak", "2_before", "2_peak"}
    for name, snapshot in taken.items():
        assert snapshot.facts == others[name].facts
        for path, array in snapshot.weights.items():
            np.testing.assert_array_equal(array, others[name].weights[path], err_msg=f"{name} {path}")
    import keras

    for name in ("model.keras", "best.keras"):
        weights = [keras.saving.load_model(folder / name).get_weights() for folder in (out, other)]
        for array, expected in zip(*weights, strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.fixture(scope="module")
def uninterrupted(prepared) -> tuple[Path, float]:
    """Give the folder of a training that nothing disturbed, and the seconds of a processor that it took."""
    training = Training(prepared, prepared / "uninterrupted", params())
    assert training.wait(900) == 0, training.log
    training.close()
    return training.out, training.processor_seconds


def test_killed_at_random_moments(uninterrupted, start, tmp_path):
    """Trainings are killed over and over; every one of them ends with the same result."""
    reference, seconds = uninterrupted
    moments = random.Random(SEED)
    kills, per_training = 0, []
    while kills < KILLS:
        training = start(tmp_path / f"training{len(per_training)}", params())
        before = kills
        while (status := training.wait_for_work(moments.uniform(0.2, 0.7) * seconds)) is None:
            training.signal(signal.SIGKILL)
            if (status := training.wait(60)) != -signal.SIGKILL:
                break  # it ended before the signal reached it
            kills += 1
            training.start()
        assert status == 0, training.log
        assert_same(training.out, reference)
        per_training.append(kills - before)
    print(f"{kills} kills (seed {SEED}) in trainings that ended after {per_training} of them")


@pytest.mark.parametrize("written", [0.0, 0.5, 1.0])
def test_killed_while_a_checkpoint_is_written(uninterrupted, start, tmp_path, written):
    """SIGKILL in the middle of the third checkpoint: nothing, half or all of it is in the file, but not its name."""
    kill = f"""
import signal
write, count = Path.write_bytes, [0]
def die(self, content):
    count[0] += ".h5" in self.name
    if count[0] == 3:
        write(self, content[:int({written} * len(content))])
        os.kill(os.getpid(), signal.SIGKILL)
    return write(self, content)
Path.write_bytes = die
"""
    training = start(tmp_path / "out", params(), before=kill)
    assert training.wait(600) == -signal.SIGKILL
    assert "going on from epoch 4, step 0" in training.again()
    assert_same(training.out, uninterrupted[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_saves_and_goes_on_from_there(uninterrupted, start, tmp_path, number):
    """Within 10 s of a processor, even where no checkpoint is due."""
    training = start(tmp_path / "out", params(), every=10_000)
    wait_for((training.out / "state" / "progress.json").exists)
    allowed = training.worked() + 10
    training.signal(number)
    assert training.wait_for_work(allowed) == 128 + number
    assert (training.out / "state" / "k" / "newest.h5").exists()
    assert not (training.out / "history.h5").exists()
    assert "going on from epoch" in training.again()
    assert History.load(training.out / "history.h5").params["outcome"]["resumed_at_epochs"]
    assert_same(training.out, uninterrupted[0])


def test_damaged_newest_state_falls_back_to_the_one_before(uninterrupted, start, tmp_path):
    training = start(tmp_path / "out", params())
    wait_for((training.out / "state" / "k" / "previous.h5").exists)
    training.signal(signal.SIGTERM)
    assert training.wait(60) == 128 + signal.SIGTERM
    newest = training.out / "state" / "k" / "newest.h5"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    log = training.again()
    assert f"{newest}: damaged, its content does not fit its checksum; it is not used" in log
    assert "going on from epoch" in log
    assert_same(training.out, uninterrupted[0])


def test_second_training_of_the_same_run_is_refused(uninterrupted, start, tmp_path):
    first = start(tmp_path / "out", params())
    wait_for((first.out / "state" / "progress.json").exists)
    first.signal(signal.SIGSTOP)
    second = start(tmp_path / "out", params())
    assert second.wait(60) == 1
    first.signal(signal.SIGCONT)
    assert f"this run is being trained already, by process {first.pid} on" in second.log
    assert first.wait(600) == 0
    assert_same(first.out, uninterrupted[0])


@pytest.mark.parametrize("locks", [True, False])
def test_who_takes_over_goes_on_where_the_old_process_was(uninterrupted, start, tmp_path, locks):
    """A job is started again while the process of the job before, given up by the scheduler, still trains."""
    without = "import fcntl, errno\ndef flock(*_):\n    raise OSError(errno.ENOSYS, 'no locks')\nfcntl.flock = flock\n"
    take_over = "import functools\ntrain_runs = functools.partial(train_runs, take_over=True)\n"
    first = start(tmp_path / "out", params(), before="" if locks else without)
    wait_for((first.out / "state" / "k" / "newest.h5").exists)
    # it would be done before the second has started: it waits until the second has said that it is there
    first.signal(signal.SIGSTOP)
    second = start(tmp_path / "out", params(), before=take_over + ("" if locks else without))
    owner = first.out / "state" / "owner"
    wait_for(lambda: f"process {second.pid} on" in owner.read_text())
    first.signal(signal.SIGCONT)
    assert first.wait(600) == 1
    assert f"this training was given up, it is left to process {second.pid} on" in first.log
    assert second.wait(600) == 0
    assert "going on from epoch" in second.log
    assert_same(first.out, uninterrupted[0])


def test_full_disk_keeps_the_last_state(uninterrupted, start, tmp_path):
    """A tmpfs with room for two states, not three: a clear error; with more room the training goes on."""
    if os.geteuid() != 0:
        # in CI nothing that can run is skipped
        (pytest.fail if "CI" in os.environ else pytest.skip)("mounting a small tmpfs needs root")
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", out], check=True)
    try:
        training = start(out, params())
        assert training.wait(600) == 1
        assert "No space left on device" in training.log
        assert list((out / "state" / "k").glob("[!.]*.h5"))
        subprocess.run(["mount", "-o", "remount,size=50m", out], check=True)
        assert "going on from epoch" in training.again()
        assert_same(out, uninterrupted[0])
    finally:
        subprocess.run(["umount", "-l", out], check=True)


class KilledStudy:
    """The smoke study in a folder, by the same command again and again, of which processes are killed."""

    def __init__(self, folder: Path, words: list[str]) -> None:
        folder.mkdir()
        self.folder, self._words = folder, words

    def start(self) -> None:
        """Give the command."""
        with (self.folder / "output.txt").open("w") as output:
            self.command = subprocess.Popen(self._words, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT)

    def ends_before(self, draw: random.Random) -> bool:
        """Wait until a random moment, mostly one at which there are jobs; say whether the command has ended by then."""
        among_jobs, seconds = draw.random() < 0.8, draw.uniform(0.1, 8)
        while among_jobs and self.command.poll() is None and not self.processes().keys() - self.heads():
            time.sleep(0.1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.command.wait(seconds)
            return True
        return False

    def processes(self) -> dict[psutil.Process, str]:
        """Give what runs in the folder: the command, Snakemake, its shells and jobs, and what these are forked from."""
        found = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if Path(process.cwd()) == self.folder and process.status() != psutil.STATUS_ZOMBIE:
                    found[process] = kind_of(process.cmdline())
        return found

    def heads(self, kinds: tuple[str, ...] = ("command", "snakemake")) -> set[psutil.Process]:
        """Give those processes that start others."""
        return {process for process, kind in self.processes().items() if kind in kinds}

    def wait_for_jobs(self) -> None:
        """Wait until nothing runs any more, also of what a killed Snakemake has left."""
        wait_for(lambda: not self.processes(), 900)

    def kill_one(self, draw: random.Random) -> str:
        """Kill one of the processes; say which. Each kind is as likely, however many there are of it."""
        running = self.processes()
        kind = draw.choice(sorted(set(running.values())))
        victim = draw.choice(sorted((each for each in running if running[each] == kind), key=lambda each: each.pid))
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
        return kind

    @property
    def said(self) -> str:
        return (self.folder / "output.txt").read_text()


def kind_of(words: list[str]) -> str:
    text = " ".join(words)
    names = {"fork_server": "forked", "quasarcurves.cli": "command", "-m snakemake": "snakemake"}
    known = [kind for name, kind in names.items() if name in text]
    return next(iter(known), next((word for word in words if word.startswith("scripts.")), "shell"))


def kill_until_done(study: KilledStudy, draw: random.Random, kills: Counter) -> int:
    """Give the command until the study is done, while processes are killed; count these, and return how often."""
    for times in range(1, 1000):
        before, disturbed = study.heads(("snakemake",)), bool(study.processes())
        study.start()
        while kills.total() < KILLS_OF_STUDIES and not study.ends_before(draw):
            kills[study.kill_one(draw)] += 1
            disturbed = True
        status = study.command.wait(900)
        if status == 0:
            return times
        assert disturbed, study.said
        if before & study.heads(("snakemake",)) and status > 0:
            assert re.search("cannot be locked|is being run already", study.said), study.said
        if draw.random() < 0.5:
            # half of the time there are still jobs whose Snakemake was killed
            study.wait_for_jobs()
    raise AssertionError("the study is never done")


MEASURED = {"history.h5", "histories.h5", "epochs.csv", "runs.csv", "runs.csv.html", "index.html"}
"""Files that say how many seconds something took."""


def result_files(folder: Path) -> dict[str, Path]:
    results = folder / "results" / "smoke"
    files = {str(path.relative_to(results)): path for path in results.rglob("*") if path.is_file()}
    return {name: path for name, path in files.items() if name.split("/")[0] not in {"logs", "state", "benchmarks"}}


def assert_same_results(folder: Path, other: Path) -> int:
    """Two studies have the same files of results, byte by byte but for times; return the number of files."""
    files, others = result_files(folder), result_files(other)
    assert files.keys() == others.keys()
    for name, path in files.items():
        if path.name not in MEASURED and not name.startswith("receipts/"):
            assert content(path) == content(others[name]), name
        elif path.suffix == ".csv":
            one, two = (pd.read_csv(each).drop(columns="seconds") for each in (path, others[name]))
            pd.testing.assert_frame_equal(one, two, check_exact=True, obj=name)
        elif path.name == "history.h5":
            one, two = History.load(path), History.load(others[name])
            for group in ("steps", "epochs", "curvature"):
                columns, expected = getattr(one, group), getattr(two, group)
                assert columns.keys() == expected.keys()
                for column in columns.keys() - {"seconds"}:
                    np.testing.assert_array_equal(columns[column], expected[column], err_msg=f"{name} {column}")
        elif path.suffix == ".json":
            assert comparable(path) == comparable(others[name]), name
    return len(files)


def content(path: Path) -> bytes:
    """Give the bytes of a file, of a drawing with its clip paths numbered.

    Matplotlib names these by a hash of their corners, which may differ in a last bit that no number shows.
    """
    if path.suffix != ".svg":
        return path.read_bytes()
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return numbers.setdefault(found[1], f"clip{len(numbers)}")

    return re.sub(r"(?<=#|\")(p[0-9a-f]{10})(?=\)|\")", number, path.read_text()).encode()


def comparable(receipt: Path) -> dict:
    """Give a receipt without the hashes of files that say how long something took."""
    text = json.loads(receipt.read_text())
    for kind in ("inputs", "outputs"):
        text[kind] = {
            path: value
            for path, value in text[kind].items()
            if Path(path).name not in MEASURED and not path.endswith(".svg")
        }
    return text


@pytest.mark.xdist_group("killed studies")
def test_any_process_of_a_study_is_killed(finished, smoke_command, tmp_path):
    """The command itself, Snakemake, any job: the same command goes on, and what it ends with is the same bytes."""
    draw = random.Random(SEED)
    kills, times, files = Counter(), [], 0
    while kills.total() < KILLS_OF_STUDIES:
        study = KilledStudy(tmp_path / f"study{len(times)}", smoke_command)
        times.append(kill_until_done(study, draw, kills))
        files += assert_same_results(study.folder, finished)
        study.wait_for_jobs()
        # nothing is left over either: no lock, no half-written file
        assert not list(study.folder.glob(".snakemake/locks/*"))
        assert not list(study.folder.glob(".snakemake/quasarcurves/*"))
        assert not [path for path in study.folder.rglob(".*.part*") if "state" not in path.parts]
        print(f"{kills.total()} kills (seed {SEED}): {dict(kills)}; commands given: {times}; {files} files compared")


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)
