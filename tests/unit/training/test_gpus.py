"""GPUs given out to processes: with a driver's list made up for the test, as the real one needs GPUs."""

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

from quasarcurves.training.gpus import installed, own_gpu

GPUS = ["GPU-0a", "GPU-1b", "GPU-2c"]

HOLD = """
import os, sys
from pathlib import Path
from quasarcurves.training.gpus import own_gpu

with own_gpu(Path(sys.argv[1])) as gpu:
    assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu
    print(gpu, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A machine on which nvidia-smi lists three GPUs."""
    command = tmp_path / "bin" / "nvidia-smi"
    command.parent.mkdir()
    listed = "\\n".join(GPUS)
    command.write_text(f"#!/bin/sh\n[ \"$1\" = --query-gpu=uuid ] || exit 1\nprintf '{listed}\\n'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return command


@pytest.fixture
def hold(driver, tmp_path):
    """Start a process that takes a GPU; give the process and the GPU."""
    started = []

    def start():
        command = [sys.executable, "-c", HOLD, str(tmp_path / "locks")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close(), process.stdout.close()


def test_each_process_has_its_own_until_all_are_taken(hold):
    assert Counter(hold()[1] for _ in range(7)) == {GPUS[0]: 3, GPUS[1]: 2, GPUS[2]: 2}


@pytest.mark.parametrize("end", [signal.SIGKILL, None], ids=["killed", "ended"])
def test_the_gpu_of_a_process_that_is_gone_is_free(hold, end):
    held = [hold() for _ in GPUS]
    process, gpu = held[1]
    process.send_signal(end) if end else process.stdin.close()
    process.wait(timeout=30)
    assert hold()[1] == gpu
    assert hold()[1] == GPUS[0]


def test_what_a_batch_system_gives_is_left_alone(driver, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    with own_gpu(tmp_path) as gpu:
        assert gpu is None
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"


def test_a_machine_without_gpus_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with own_gpu(tmp_path / "locks") as gpu:
        assert gpu is None
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert not (tmp_path / "locks").exists()


def test_a_driver_that_does_not_answer_is_said_and_no_error(driver, caplog):
    driver.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed' >&2\nexit 9\n")
    assert installed() == []
    assert "NVIDIA-SMI has failed" in caplog.text
