"""Ctrl-C in the middle of a study, and the study run again by Snakemake alone."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml

from quasarcurves.training.history import History

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_ctrl_c_saves_every_training_and_the_next_call_goes_on(tmp_path, snakemake, smoke_config):
    config = yaml.safe_load(yaml.safe_dump(smoke_config))
    config["training"].update(epochs=500, checkpoint_every=100_000)
    config["subsets"]["fractions"] = [0.8]
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "quasarcurves.cli", "run", "--configfile", study, "--cores", "2"]
    command += ["--snakefile", ROOT / "Snakefile", "--workflow-profile", "none"]
    # whoever is started in the background ignores Ctrl-C, and so would what it starts
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heeds,  # noqa: PLW1509  (no thread of this process is running yet)
    )
    end = time.monotonic() + 120
    while len(list(tmp_path.glob("results/smoke/state/*/*/progress.json"))) < 2:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does
    lines = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 130
    assert lines[-2].startswith("Stopping: ")
    assert re.fullmatch(r"Stopped .* at \d+ of 500 epochs; the same command goes on\.", lines[-1])
    assert len(list(tmp_path.glob("results/smoke/state/*/*/*/newest.h5"))) == 2
    assert not list(tmp_path.glob("results/smoke/runs/*/*/*"))

    result = snakemake(tmp_path, "train_all", "--cores", 2, "--configfile", study)
    assert result.returncode == 0, result.stdout
    for optimizer in ("adam", "amsgrad"):
        history = History.load(tmp_path / "results" / "smoke" / "runs" / "f0.8_r0" / optimizer / "history.h5")
        (resumed,) = history.params["outcome"]["resumed_at_epochs"]
        assert 0 <= resumed < 500
        assert len(history.epochs["loss"]) == 500
        assert np.isfinite(history.steps["loss"]).all()
        log = tmp_path / "results" / "smoke" / "logs" / "train" / "f0.8_r0" / f"{optimizer}.log"
        assert f"going on from epoch {resumed}, " in log.read_text()
