"""A study of a task file, run for real: snapshots, a replay and its page, and what a change of the file does again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
import yaml

from quasarcurves.training.history import History

pytestmark = pytest.mark.slow

TASK = '''
import numpy as np
import keras
from keras import layers, ops

EXAMPLE = "curve"
BETTER = {"error": "lower"}


def examples(n, seed):
    """Pairs of a group, in two chunks."""
    rng = np.random.default_rng(seed)
    for part in range(2):
        x = rng.uniform(-2, 2, (n // 2, 3))
        group = part * n + np.arange(len(x)) // 2
        yield {"inputs": x, "targets": (x.sum(axis=1), np.ones(len(x))), "groups": group}


def model(units=16, noisy=False):
    more = [layers.BatchNormalization(), layers.Dropout(0.1), layers.GaussianNoise(0.1)] if noisy else []
    return keras.Sequential([keras.Input((3,)), layers.Dense(units, "relu"), *more, layers.Dense(1)])


def loss(targets, outputs):
    y, weight = targets
    return weight * ops.square(outputs[:, 0] - y)


def measure(targets, outputs):
    error = np.abs(outputs[:, 0] - targets[0])
    return {"error": error, "close": error < 0.5}
'''
ARMS = [
    "step_x0.5", "v_held", "amsgrad", "batch_all", "norm_256", "worst_out", "random_out", "re_dealt", "pushed",
]  # fmt: skip
JOLT = 800
STUDY = {
    "study": {"name": "own", "seed": 5},
    "task": "mine.py",
    "data": {"n": 240},
    "subsets": {"fractions": [0.6], "validation_fraction": 0.1},
    # a target without noise, and large steps: the loss falls far, and spikes
    "training": {"epochs": 150, "batch_size": 16, "checkpoint_every": 50},
    # whether the first spikes is up to rounding; the step of the second is too large for a while, so that it does
    "optimizers": {
        "adam": {"class": "Adam", "learning_rate": 0.1},
        "jolted": {
            "class": "Adam",
            "schedule": {
                "class": "PiecewiseConstantDecay", "boundaries": [JOLT, JOLT + 12], "values": [0.01, 0.5, 0.01],
            },
        },
    },
    "diagnosis": {
        "snapshots": 1,
        "curvature_every": 300,
        "replays": {
            "every": 600, "after_epoch": 20, "before": [], "quiet": False, "arms": ARMS,
            "replays": 2, "steps": 40, "microscope": 2,
        },
    },
}  # fmt: skip
RUN = "f0.6_r0/adam"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory, snakemake):
    """The folder of the finished study."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(TASK)
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    result = snakemake(folder, "--configfile", "study.yaml", "--cores", "2")
    assert result.returncode == 0, result.stdout
    return folder


def test_groups_are_not_split_and_predictions_are_those_of_the_model(run):
    results = run / "results" / "own"
    with h5py.File(results / "data" / "spectra.h5") as file:
        inputs, y, groups = (file[name][:] for name in ("inputs", "targets_0", "target_id"))
    with h5py.File(results / "data" / "subsets" / "f0.6_r0.h5") as file:
        sets = [set(groups[file[name][:]]) for name in ("train", "validation", "test")]
    assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]
    with h5py.File(results / "runs" / RUN / "predictions.h5") as file:
        rows, outputs, loss = file["row"][:], file["final/outputs"][:], file["final/loss"][:]
    np.testing.assert_allclose(loss, (outputs[:, 0] - y[rows]) ** 2, rtol=1e-4, atol=1e-7)
    found = keras.saving.load_model(results / "runs" / RUN / "model.keras").predict(inputs[rows], verbose=0)
    np.testing.assert_allclose(found, outputs, rtol=1e-4, atol=1e-5)
    metrics = pd.read_csv(results / "test_metrics.csv").query("optimizer == 'adam'").set_index("model").loc["final"]
    assert metrics["error"] == pytest.approx(np.abs(outputs[:, 0] - y[rows]).mean(), rel=1e-4)
    assert metrics["error_low"] < metrics["error"] < metrics["error_high"]


def test_the_page_and_the_answer_are_of_curves(run):
    results = run / "results" / "own"
    assert (results / "index.html").stat().st_size > 10_000
    answer = (results / "answer.md").read_text()
    assert "curves" in answer
    assert "spectra" not in answer
    assert json.loads((results / "answer.json").read_text())["converged"]


def test_replays_reproduce_the_training(run):
    replays = pd.read_csv(run / "results" / "own" / "replays.csv").query("run == @RUN")
    assert set(replays["arm"]) == {"as_it_is", *ARMS} - {"norm_256"}
    assert replays.groupby("arm").size().to_dict()["step_x0.5"] == 2 * replays["fork_step"].nunique()
    arms = pd.read_csv(run / "results" / "own" / "interventions.csv").query("optimizer == 'adam'").set_index("arm")
    assert arms.loc["norm_256", "verdict"] == "cannot be had: the model has no BatchNormalization"


def test_spikes_are_looked_at_step_by_step_and_example_by_example(run):
    results = run / "results" / "own"
    tables = (pd.read_csv(results / f"{name}.csv") for name in ("microscope", "spike_spectra"))
    steps, carriers = (table.query("optimizer == 'jolted'") for table in tables)
    history = History.load(results / "runs" / "f0.6_r0" / "jolted" / "history.h5")
    assert set(carriers["onset"]) & set(range(JOLT, JOLT + 20))
    np.testing.assert_allclose(steps["loss"], history.steps["loss"][steps["onset"] + steps["offset"]], rtol=1e-6)
    for name in ("batch_sharpness", "update_curvature", "descent_cosine"):
        assert steps[name].notna().all(), name
    at = steps["onset"] + steps["offset"]
    rate = np.where((at >= JOLT + 1) & (at <= JOLT + 12), 0.5, 0.01)
    np.testing.assert_allclose(steps["batch_threshold"], 2 / rate, rtol=1e-6)
    # an own task says of an example which group it is of, and nothing of the sky
    assert list(carriers.columns[5:]) == [
        "onset", "peak", "rank", "row", "target_id", "loss_before", "loss_onset", "loss_peak", "share", "cumulated",
        "n_half",
    ]  # fmt: skip
    with h5py.File(results / "data" / "spectra.h5") as file:
        np.testing.assert_array_equal(carriers["target_id"], file["target_id"][:][carriers["row"]])
    with h5py.File(results / "data" / "subsets" / "f0.6_r0.h5") as file:
        assert set(carriers["row"]) <= set(file["train"][:])
    assert set(carriers.groupby("onset").size()) == {20}
    for _, spike in carriers.groupby("onset"):
        assert (spike["loss_peak"] - spike["loss_before"]).is_monotonic_decreasing


def test_curvature_is_measured(run):
    curvature = History.load(run / "results" / "own" / "runs" / RUN / "history.h5").curvature
    assert list(curvature["step"]) == [300, 600, 900, 1200]
    assert (curvature["sharpness"] > 0).all()


def test_no_word_of_astronomy_is_said_of_curves(run):
    results = run / "results" / "own"
    page = re.sub(r'data:[^"]*|src="[^"]*"', "", (results / "index.html").read_text())
    # names of files, and of the program
    page = re.sub(r"quasarcurves|spike_spectra|spectra\.h5|prepare_spectra", "", page)
    tables = [(results / f"{name}.csv").read_text() for name in ("replay_findings", "interventions")]
    figures = [(results / "figures" / f"{name}.svg").read_text() for name in ("hazard", "interventions", "microscope")]
    for text in (page, *tables, *figures):
        assert not re.search(r"spectr|redshift|quasar", text, re.IGNORECASE)
    assert "few curves carry it" in tables[0]


def test_a_killed_training_goes_on_to_the_same_bits(run):
    """Of a model that draws random numbers, so that the states of their generators count."""
    config = {**STUDY, "network": {"noisy": True}, "diagnosis": {"curvature_every": 600}}
    config["training"] = {**STUDY["training"], "epochs": 300}
    found = {}
    for name in ("whole", "killed"):
        config["study"] = {"name": name, "seed": 5}
        (run / f"{name}.yaml").write_text(yaml.safe_dump(config))
        arguments = ["run", f"{name}.yaml", "--cores", "1", "--snakefile", ROOT / "Snakefile", "--workflow-profile"]
        command = [sys.executable, "-m", "quasarcurves.cli", *map(str, arguments), "none", "--until", "train"]
        state = run / "results" / name / "state" / RUN
        if name == "killed":
            process = subprocess.Popen(command, cwd=run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            kill_once_saved(state, process)
            assert process.wait(120) != 0
        result = subprocess.run(command, cwd=run, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout
        files = run / "results" / name / "runs" / RUN
        found[name] = History.load(files / "history.h5"), keras.saving.load_model(files / "model.keras").get_weights()
    (resumed,) = found["killed"][0].params["outcome"]["resumed_at_epochs"]
    assert 50 <= resumed < 300
    assert found["whole"][0].params["outcome"]["resumed_at_epochs"] == []
    for group in ("steps", "epochs", "curvature"):
        expected, got = (getattr(found[name][0], group) for name in ("whole", "killed"))
        assert expected.keys() == got.keys()
        for column in expected.keys() - {"seconds"}:
            np.testing.assert_array_equal(got[column], expected[column], err_msg=column)
    for got, expected in zip(found["killed"][1], found["whole"][1], strict=True):
        np.testing.assert_array_equal(got, expected)


def kill_once_saved(state, process):
    """SIGKILL the process that trains, as soon as it has saved its first state."""
    end = time.monotonic() + 300
    while not list(state.glob("*/newest.h5")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(int(re.match(r"process (\d+) on", (state / "owner").read_text())[1]), signal.SIGKILL)


def test_a_change_of_the_file_reruns_what_uses_it_and_nothing_else(run, snakemake):
    (run / "elsewhere.py").write_text("# no part of the task\n")
    same = snakemake(run, "--configfile", "study.yaml", "-n", "--quiet", "progress")
    assert "Nothing to be done" in same.stdout, same.stdout
    (run / "mine.py").write_text(TASK + "\n# another file\n")
    try:
        changed = snakemake(run, "--configfile", "study.yaml", "-n", "--quiet", "progress").stdout
    finally:
        (run / "mine.py").write_text(TASK)
    for rule in ("prepare_spectra", "train", "evaluate", "replay", "compute_metrics"):
        assert rule in changed
