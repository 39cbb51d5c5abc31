"""The smoke study, run once for real: its files, and that they say the same thing."""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import xml.etree.ElementTree as ET
import zipfile

import h5py
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import psutil
import pytest

from quasarcurves.cli.snakemake_log import SnakemakeLog
from quasarcurves.spectra import Spectra
from quasarcurves.spectra.subsets import Subset
from quasarcurves.training.history import History, runs_of

pytestmark = pytest.mark.xdist_group("finished smoke study")

RUNS = [f"f{fraction}_r0/{optimizer}" for fraction in (0.8, 0.2) for optimizer in ("adam", "amsgrad")]


@pytest.fixture(scope="module")
def results(finished):
    return finished / "results" / "smoke"


def test_prepared_spectra(results):
    spectra = Spectra.load(results / "data" / "spectra.h5")
    assert len(spectra) == 320
    assert len(np.unique(spectra.target_id)) == 320
    assert np.isfinite(spectra.flux).all()
    assert spectra.is_quasar.sum() > 150


def test_subsets_are_nested_and_disjoint(results):
    large, small = (Subset.load(results / "data" / "subsets" / f"f{f}_r0.h5") for f in (0.8, 0.2))
    assert (len(large.train), len(small.train), len(large.validation), len(large.test)) == (256, 64, 16, 48)
    assert np.isin(small.train, large.train).all()
    assert np.array_equal(small.test, large.test)
    assert len(np.unique(np.concatenate([large.train, large.validation, large.test]))) == 320


@pytest.mark.parametrize("name", RUNS)
def test_history_of_a_run(results, name):
    history = History.load(results / "runs" / name / "history.h5")
    steps_per_epoch = history.params["outcome"]["steps_per_epoch"]
    assert steps_per_epoch == {"f0.8": 8, "f0.2": 2}[name.split("_")[0]]
    assert len(history.steps["loss"]) == 60 * steps_per_epoch
    by_epoch = history.steps["loss"].reshape(60, steps_per_epoch).mean(axis=1)
    np.testing.assert_allclose(history.epochs["loss"], by_epoch, rtol=1e-5)
    lines = sum(values for key, values in history.epochs.items() if key.startswith("loss_"))
    np.testing.assert_allclose(history.epochs["loss"], lines, rtol=1e-5)
    assert np.array_equal(np.flatnonzero(np.isfinite(history.epochs["val_loss"])), np.arange(9, 60, 10))
    assert history.epochs["loss"][-1] < 0.8 * history.epochs["loss"][0]
    assert not history.params["outcome"]["diverged"]
    assert history.params["training"]["batch_size"] == 32


def test_runs_are_paired(results):
    first = {name: History.load(results / "runs" / name / "history.h5").steps["loss"][0] for name in RUNS}
    assert first["f0.8_r0/adam"] == first["f0.8_r0/amsgrad"]
    assert first["f0.2_r0/adam"] == first["f0.2_r0/amsgrad"]
    assert first["f0.8_r0/adam"] != first["f0.2_r0/adam"]


def test_models_reproduce_their_validation_loss(results):
    """The models on disk are the ones the history speaks of."""
    from quasarcurves.quasarnet.examples import load_examples
    from quasarcurves.quasarnet.loss import weighted_line_losses
    from quasarcurves.quasarnet.settings import NetworkSettings

    run = results / "runs" / RUNS[0]
    history = History.load(run / "history.h5")
    subset = Subset.load(results / "data" / "subsets" / "f0.8_r0.h5")
    network = NetworkSettings.from_json(history.params["network"])
    x, *targets = load_examples(results / "data" / "spectra.h5", subset.validation, network)
    for name, expected in (("model", history.epochs["val_loss"][-1]), ("best", np.nanmin(history.epochs["val_loss"]))):
        model = keras.saving.load_model(run / f"{name}.keras", safe_mode=True)
        loss = float(np.sum(weighted_line_losses(model(x, training=False), *targets))) / len(x)
        assert loss == pytest.approx(expected, rel=1e-4)


def test_collected_tables_agree_with_the_histories(results):
    assert sorted(name for name, _ in runs_of(results / "histories.h5")) == sorted(RUNS)
    epochs, runs = pd.read_csv(results / "epochs.csv"), pd.read_csv(results / "runs.csv")
    assert list(epochs.columns[:8]) == [
        "fraction", "replicate", "optimizer", "n_train", "epoch", "step", "loss", "val_loss",
    ]  # fmt: skip
    assert len(epochs) == 4 * 60
    assert len(runs) == 4
    for name in RUNS:
        history = History.load(results / "runs" / name / "history.h5")
        fraction, optimizer = float(name[1:4]), name.split("/")[1]
        rows = epochs[(epochs["fraction"] == fraction) & (epochs["optimizer"] == optimizer)]
        np.testing.assert_allclose(rows["loss"], history.epochs["loss"], rtol=1e-6)
        row = runs[(runs["fraction"] == fraction) & (runs["optimizer"] == optimizer)].iloc[0]
        assert row["loss_last"] == pytest.approx(history.epochs["loss"][-1], rel=1e-6)
        assert row["epoch_best"] == np.nanargmin(history.epochs["val_loss"]) + 1


def test_metrics_are_those_of_the_predictions(results):
    """Purity and completeness at 0.5 of one run, by the definition, from what is on disk."""
    from quasarcurves.analysis.metrics import purity_completeness

    curves, scores = pd.read_csv(results / "metrics.csv"), pd.read_csv(results / "test_metrics.csv")
    assert len(scores) == 4 * 2 * 2 * 7
    assert len(curves) == 101 * len(scores)
    with h5py.File(results / "runs" / RUNS[0] / "predictions.h5") as file:
        spectra = Spectra.load(results / "data" / "spectra.h5", file["row"][:])
        called, z = (file["best/confidence"][:] > 0.5).any(axis=1), file["best/z_best"][:]
    expected = purity_completeness(called, z, spectra.is_quasar, spectra.label == 1, spectra.label == 4, spectra.z)
    wanted = "fraction == 0.8 and optimizer == 'adam' and model == 'best' and n_detect == 1 and sample == 'all'"
    for row in (curves.query(f"{wanted} and threshold == 0.5").iloc[0], scores.query(wanted).iloc[0]):
        assert (row["purity"], row["completeness"]) == pytest.approx(expected, nan_ok=True, rel=1e-5)


@pytest.mark.parametrize("name", ["loss_by_fraction_adam", "loss_by_fraction_amsgrad", "loss_by_optimizer"])
def test_figures_in_three_formats(results, name):
    path = results / "figures" / name
    image = plt.imread(path.with_suffix(".png"))
    assert image.shape[1] >= 1000  # at least a column at 300 dots per inch
    assert image[..., :3].std() > 0.05
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    text = "".join(ET.parse(path.with_suffix(".svg")).getroot().itertext())
    steps = "optimizer steps" if name == "loss_by_optimizer" else "steps an epoch"
    for words in ("training loss", steps, "epoch", "256", "64"):
        assert words in text


def test_two_sizes_cannot_say_how_much_data_is_enough(results):
    curves, errors = (pd.read_csv(results / f"learning_curve{name}.csv") for name in ("", "_errors"))
    assert (curves["reasons"] == "2 sizes of training sets, at least 4 are needed").all()
    losses = pd.read_csv(results / "test_losses.csv").query("model == 'final'")
    found = errors[errors["metric"] == "test_loss"]
    np.testing.assert_allclose(np.sort(found["error"]), np.sort(losses["test_loss"]))
    answers = json.loads((results / "answer.json").read_text())["enough_data"]
    assert {answer["answer"] for answer in answers} == {"cannot say"}
    assert all("cannot be said: 2 sizes" in answer["sentence"] for answer in answers)


def test_every_job_has_a_log_and_a_benchmark(results):
    for name in RUNS:
        assert "epoch 60/60" in (results / "logs" / "train" / f"{name}.log").read_text()
        benchmark = pd.read_csv(results / "benchmarks" / "train" / f"{name}.tsv", sep="\t")
        assert benchmark["max_rss"].iat[0] > 100
    assert "320 spectra kept" in (results / "logs" / "prepare_spectra.log").read_text()


def test_ends_with_the_answer_the_main_numbers_and_where_the_figures_are(finished, results):
    output = (finished / "output.txt").read_text()
    words = " ".join(output.split())
    assert (results / "answer.md").read_text().split("\n\n")[1] in words
    places = [words.index(f"{question}?") for question in (
        "Why does the loss spike", "Does anything cure it", "Has each model converged", "How much data is enough",
    )]  # fmt: skip
    assert places == sorted(places)
    assert "Figures: results/smoke/figures" in output
    table = output.split("Figures:")[0].split("optimizer ")[-1].split("Spikes:")[0]
    assert table.count("amsgrad") == table.count("adam") == 2
    assert "256" in table


def test_says_how_far_it_is_while_it_runs(finished):
    """Plain lines where the output is no terminal."""
    lines = (finished / "output.txt").read_text().splitlines()
    assert lines[0].startswith("What this study cannot tell: ")
    assert "how runs differ, as there is one replicate; " in lines[0]
    assert re.match(r"Study smoke: all 4 trainings to do; \d+ other steps; about .* of memory; .* of disk\.$", lines[1])
    shown = [line for line in lines if re.match(r"\d\d:\d\d:\d\d ", line)]
    assert 4 < len(shown) < 40
    assert all(re.search(r"\w+ \d+ of \d+; (about .*|a few seconds) left$", line) for line in shown), shown
    assert "0:00:00" not in "".join(lines)
    assert not any("\x1b" in line or "\r" in line for line in lines)


def test_the_log_of_snakemake_is_read_as_it_is(results):
    """If another Snakemake writes another log, the terminal would be silent."""
    log = SnakemakeLog(results / "logs" / "snakemake.log")
    log.update()
    assert log.planned["train"] == 4
    assert len(log.jobs) == sum(log.planned.values()) + 1  # `all` is a job, too
    assert all(job.ended >= job.began for job in log.jobs.values())
    assert {job.run.name for job in log.begun("train")} == set(RUNS)
    assert {job.name for job in log.begun("plot_aligned")} == {"plot_aligned adam", "plot_aligned amsgrad"}


def test_no_log_has_the_lines_that_tensorflow_starts_with(results):
    for path in results.rglob("*.log"):
        assert "absl::InitializeLog" not in path.read_text(), path


def test_logs_of_figures_have_nothing_that_other_packages_say(results):
    logs = [path for path in (results / "logs").rglob("*.log") if "plot_" in str(path.relative_to(results))]
    assert len(logs) > 15
    assert {path.name: path.read_text() for path in logs if path.stat().st_size} == {}


def test_a_second_call_has_nothing_to_do(finished, snakemake, smoke_config):
    config = finished / "smoke.yaml"
    config.write_text(json.dumps(smoke_config))
    result = snakemake(finished, "-n", "--configfile", config)
    assert "Nothing to be done" in result.stdout, result.stdout


def test_calls_for_one_process_share_what_they_import(finished, snakemake, smoke_config, tmp_path, monkeypatch):
    folder = tmp_path / "again"
    shutil.copytree(finished, folder)
    (folder / "smoke.yaml").write_text(json.dumps(smoke_config))
    owner = subprocess.Popen(["sleep", "600"])
    monkeypatch.setenv("QUASARCURVES_FORK_SERVER", f"{socket.gethostname()}:{owner.pid}")
    seen = []
    for _ in range(2):
        options = ["--configfile", "smoke.yaml", "--cores", "1", "--forcerun", "collect_histories"]
        result = snakemake(folder, *options, "--", "results/smoke/runs.csv")
        assert "1 of 1 steps (100%) done" in result.stdout, result.stdout
        seen.append(servers_of(owner))
    owner.kill()
    owner.wait()
    assert len(seen[0]) == 1
    assert seen[0] == seen[1]


def servers_of(owner: subprocess.Popen) -> set[psutil.Process]:
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if f"{socket.gethostname()}:{owner.pid}" in process.cmdline():
                found.add(process)
    return found


@pytest.mark.parametrize(("file", "which"), [("model.keras", "final"), ("best.keras", "best")])
def test_models_name_their_run_and_their_lines(results, file, which):
    path = results / "runs" / RUNS[0] / file
    params = History.load(path.with_name("history.h5")).params
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read("quasarcurves.json"))
    network = params["network"]
    assert about == {"lines": network["lines"], "bal_lines": network["bal_lines"], "name": f"smoke/{RUNS[0]} {which}"}


def test_nothing_is_pickled(results):
    with h5py.File(results / "histories.h5") as file:
        json.loads(file[RUNS[0]].attrs["params"])
    assert not [path for path in results.rglob("*") if path.suffix in (".pkl", ".pickle", ".npy", ".npz")]


def test_page_shows_how_to_read_a_history(finished, monkeypatch):
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "files.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1].replace("quickstart", "smoke").replace("f0.4", "f0.8")
    monkeypatch.chdir(finished)
    scope = {}
    exec(code, scope)
    assert len(scope["history"].steps["loss"]) == 480


def test_page_names_every_file(results):
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "files.md").read_text()
    made = {path.name + "/" * path.is_dir() for path in results.iterdir()} - {"data/", "runs/"}
    assert len(made) > 20
    assert not {name for name in made if f"`{name}`" not in page}
    assert "`data/" in page
    assert "`runs/" in page
