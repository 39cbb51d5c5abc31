"""A study of a task file, run for real: snapshots, a replay and its page, and what a change of the file does again."""

import json

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
import yaml

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
        yield {"inputs": x, "targets": (np.sin(x.sum(axis=1)), np.ones(len(x))), "groups": group}


def model(units=8):
    first = [keras.Input((3,)), layers.Dense(units, "relu"), layers.BatchNormalization(), layers.Dropout(0.1)]
    return keras.Sequential([*first, layers.Dense(1)])


def loss(targets, outputs):
    y, weight = targets
    return weight * ops.square(outputs[:, 0] - y)


def measure(targets, outputs):
    error = np.abs(outputs[:, 0] - targets[0])
    return {"error": error, "close": error < 0.5}
'''
STUDY = {
    "study": {"name": "own"},
    "task": "mine.py",
    "data": {"n": 240},
    "subsets": {"fractions": [0.6], "validation_fraction": 0.1},
    "training": {"epochs": 60, "batch_size": 16, "checkpoint_every": 50},
    "optimizers": {"adam": {"class": "Adam", "learning_rate": 0.05}},
    "diagnosis": {
        "snapshots": 1,
        "replays": {
            "every": 300, "after_epoch": 20, "before": [], "quiet": False, "arms": ["step_x0.5", "norm_256"],
            "replays": 2, "steps": 40, "microscope": 0,
        },
    },
}  # fmt: skip
RUN = "f0.6_r0/adam"


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
    metrics = pd.read_csv(results / "test_metrics.csv").set_index("model").loc["final"]
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
    replays = pd.read_csv(run / "results" / "own" / "replays.csv")
    assert replays.groupby("arm").size().to_dict()["step_x0.5"] == 2
    assert "norm_256" not in set(replays["arm"])  # 144 examples are too few


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
