"""Studies in the image: as a user that nothing knows, on a read-only root, without network."""

import json
import signal
import time
from pathlib import Path

import h5py
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import yaml
from containers import GROUP, IMAGE, ROOT, USER

from quasarcurves.provenance import receipts
from quasarcurves.spectra import Spectra
from quasarcurves.training.history import History
from support import small_task

pytestmark = pytest.mark.image

SMOKE = "/opt/quasarcurves/workflow/studies/smoke.yaml"
AS_ANYBODY = ("--user", f"{USER}:{GROUP}", "--read-only", "--tmpfs", "/tmp")
RUNS = [f"f{fraction}_r0/{optimizer}" for fraction in (0.8, 0.2) for optimizer in ("adam", "amsgrad")]


@pytest.fixture(scope="module")
def results(finished):
    return finished / "results" / "smoke"


def test_files_are_the_users(finished):
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in finished.rglob("*") if path.name != "output.txt"}
    assert owners == {(USER, GROUP)}


def test_nothing_but_results_is_left_in_the_folder(finished):
    assert {path.name for path in finished.iterdir()} == {"results", ".snakemake", "output.txt"}


def test_it_says_how_far_it_is_and_ends_with_the_numbers(finished):
    output = (finished / "output.txt").read_text()
    assert "Study smoke: all 4 trainings to do" in output
    assert "Page:    results/smoke/index.html" in output
    assert "Warning" not in output


@pytest.mark.parametrize("name", RUNS)
def test_histories_are_whole(results, name):
    history = History.load(results / "runs" / name / "history.h5")
    assert len(history.epochs["loss"]) == 60
    assert len(history.steps["loss"]) == {"f0.8": 480, "f0.2": 120}[name.split("_")[0]]
    assert all(np.isfinite(history.steps[column]).all() for column in ("loss", "gradient_norm"))
    assert history.epochs["loss"][-1] < 0.8 * history.epochs["loss"][0]


def test_every_hdf5_file_can_be_read_to_its_end(results):
    def read(_name, item):
        if isinstance(item, h5py.Dataset):
            item[()]

    files = [*results.rglob("*.h5")]
    for path in files:
        with h5py.File(path) as file:
            file.visititems(read)
    assert len(files) >= 1 + 2 + 4 + 4 + 1
    assert len(Spectra.load(results / "data" / "spectra.h5")) == 320


def test_every_file_is_what_was_made(results, monkeypatch, finished):
    monkeypatch.chdir(finished)
    assert list((results / "receipts").rglob("*.json"))
    assert not receipts.verify(Path("results") / "smoke")


def test_tables(results):
    runs, epochs = pd.read_csv(results / "runs.csv"), pd.read_csv(results / "epochs.csv")
    assert (len(runs), len(epochs)) == (4, 240)
    assert np.isfinite(runs["loss_last"]).all()
    for (fraction, optimizer), rows in epochs.groupby(["fraction", "optimizer"]):
        history = History.load(results / "runs" / f"f{fraction:g}_r0" / optimizer / "history.h5")
        np.testing.assert_allclose(rows["loss"], history.epochs["loss"], rtol=1e-6)
    assert "amsgrad" in (results / "answer.md").read_text()


def test_figures(results):
    figures = sorted((results / "figures").glob("*.png"))
    assert len(figures) >= 12
    for path in figures:
        assert matplotlib.image.imread(path)[..., :3].std() > 0.02, path
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert "</svg>" in path.with_suffix(".svg").read_text()


def test_the_default_study_runs_where_there_is_no_other(image, folder):
    result = image.containers.study(folder, "--cores", "2", "-n", options=AS_ANYBODY)
    assert result.returncode == 0, result.stdout
    assert "results/quickstart/" in result.stdout
    assert [line.split() for line in result.stdout.splitlines()].count(["train", "35"]) == 2


def test_a_folders_own_study_is_run_without_being_named(image, folder):
    config = {**yaml.safe_load((ROOT / "config.yaml").read_text()), "study": {"name": "mine"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    result = image.containers.study(folder, "-n", options=AS_ANYBODY)
    assert "results/mine/" in result.stdout, result.stdout


def test_a_task_file_of_the_folder_is_studied(image, folder):
    small_task.write(folder, "own")
    result = image.containers.study(folder, "--configfile", "/work/own.yaml", "--cores", "2", options=AS_ANYBODY)
    assert result.returncode == 0, result.stdout
    results = folder / "results" / "own"
    assert "distance" in pd.read_csv(results / "test_metrics.csv").columns
    assert (results / "figures" / "worst_examples_adam.png").stat().st_size > 1000
    assert "points" in (results / "answer.md").read_text()


def test_a_study_that_is_wrong_is_refused_in_plain_words(image, folder):
    config = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
    config["training"]["epoch"] = config["training"].pop("epochs")
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    result = image.containers.study(folder, "--configfile", "/work/mine.yaml", "--cores", "2", options=AS_ANYBODY)
    assert result.returncode == 1
    assert "'epochs'" in result.stdout, result.stdout
    assert "Traceback" not in result.stdout
    assert not (folder / "results").exists()


def test_a_study_that_is_not_there(image, folder):
    result = image.containers.study(folder, "--configfile", "/work/none.yaml", options=AS_ANYBODY)
    assert result.returncode == 1
    assert "/work/none.yaml" in result.stdout
    assert "Traceback" not in result.stdout


def test_a_folder_that_cannot_be_written_to(image, tmp_path):
    result = image.containers.study(tmp_path, "--configfile", SMOKE, options=("--user", f"{USER}:{GROUP}"))
    assert result.returncode == 1
    assert "Permission denied" in result.stdout
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize(
    "command", [("snakemake", "--version"), ("python", "-c", "print('9.27')"), ("sh", "-c", "echo 9.27")]
)
def test_another_command(image, folder, command):
    result = image.containers.study(folder, *command, options=AS_ANYBODY)
    assert (result.returncode, "9.27" in result.stdout) == (0, True), result.stdout


def test_a_stopped_study_saves_its_trainings_and_can_go_on(image, folder):
    config = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
    config["training"].update(epochs=100_000, checkpoint_every=100_000)
    config["subsets"]["fractions"] = [0.8]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    podman, name = image.containers.podman, f"quasarcurves-{folder.name}-{time.time_ns()}"
    volume = ("--network", "none", "--no-healthcheck", "--volume", f"{folder}:/work")
    started = podman("run", "--detach", "--name", name, *volume, *AS_ANYBODY, IMAGE, "--cores", "2")
    assert started.returncode == 0, started.stdout
    try:
        end = time.monotonic() + 600
        while len(list(folder.glob("results/smoke/state/*/*/progress.json"))) < 2:
            assert time.monotonic() < end, podman("logs", name).stdout
            time.sleep(0.2)
        podman("stop", "--time", "120", name)
        state = json.loads(podman("container", "inspect", name).stdout)[0]["State"]
        log = podman("logs", name).stdout
    finally:
        podman("rm", "--force", name)
    assert state["ExitCode"] not in (0, 128 + signal.SIGKILL), log
    assert "; the same command goes on." in log
    assert len(list(folder.glob("results/smoke/state/*/*/*/newest.h5"))) == 2
    assert not list(folder.glob("results/smoke/runs/*/*/*"))
    # what goes on from a saved training ends as if it had not been stopped: tests/workflow/test_interrupted.py
    result = image.containers.study(folder, "-n", options=AS_ANYBODY)
    assert result.returncode == 0, result.stdout
    assert ["train", "2"] in [line.split() for line in result.stdout.splitlines()]
