"""A study that keeps snapshots, for real: from the training to the figure of what spikes cost."""

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from quasarcurves.training.history import History

pytestmark = pytest.mark.slow

STUDY = """
study: {name: spiky, seed: 1, replicates: 2}
data: {source: simulated, n_spectra: 160}
subsets: {test_fraction: 0.15, validation_fraction: 0.05, fractions: [0.8], scheme: nested}
network: {filters: 8, lines: [LYA, CIV(1548)], bal_lines: []}
training: {epochs: 200, batch_size: 32}
diagnosis: {snapshots: 2}
optimizers: {adam: {class: Adam, learning_rate: 3.0e-2}}
"""
"""A learning rate at which so small a network spikes within seconds."""

WANTED = ("figures/spike_cost.png", "convergence.csv")


@pytest.fixture(scope="module")
def results(tmp_path_factory, snakemake):
    folder = tmp_path_factory.mktemp("spiky")
    (folder / "study.yaml").write_text(STUDY)
    wanted = [f"results/spiky/{name}" for name in WANTED]
    result = snakemake(folder, *wanted, "--cores", 2, "--configfile", "study.yaml")
    assert result.returncode == 0, result.stdout
    return folder / "results" / "spiky"


def test_a_row_per_spike_that_fits_the_history_and_the_predictions(results):
    costs = pd.read_csv(results / "spike_cost.csv")
    assert len(costs)
    assert (costs.groupby("replicate").size() <= 2).all()
    for row in costs.to_dict("records"):
        run = results / "runs" / f"f0.8_r{row['replicate']}" / "adam"
        loss = History.load(run / "history.h5").epochs["loss"].astype(float)
        before, peak = row["epoch_before"], row["epoch_peak"]
        assert row["train_loss_peak"] == pytest.approx(loss[peak - 1], rel=1e-6)
        assert row["height"] == pytest.approx(loss[peak - 1] / np.median(loss[max(peak - 52, 0) : peak - 1]), rel=1e-5)
        assert row["height"] > 3
        # it is above its course from the epoch after `before` on
        courses = [loss[i] / np.median(loss[max(i - 51, 0) : i]) for i in range(before - 1, peak)]
        assert courses[0] <= 1.1 < min(courses[1:])
        with h5py.File(run / "predictions.h5") as file:
            for moment in ("before", "peak"):
                tested = file[f"snapshots/{row['spike']}_{moment}/loss"][:].astype(float)
                assert row[f"test_loss_{moment}"] == pytest.approx(tested.mean(), rel=1e-6)
            assert row["test_loss_end"] == pytest.approx(file["final/loss"][:].astype(float).mean(), rel=1e-6)


def test_one_number_with_an_interval_and_a_sentence(results):
    costs, summary = pd.read_csv(results / "spike_cost.csv"), pd.read_csv(results / "spike_cost_summary.csv")
    row = summary.iloc[0]
    assert (row["optimizer"], row["moment"], row["measure"]) == ("adam", "peak", "test_loss")
    ratios = np.log(costs["test_loss_peak"] / costs["test_loss_before"])
    assert row["value"] == pytest.approx(np.exp(np.median(ratios)), rel=1e-6)
    assert row["low"] <= row["value"] <= row["high"]
    assert f"median of {len(costs)} spikes" in row["sentence"]


def test_the_figure_and_what_else_reads_the_predictions(results):
    for end in ("svg", "pdf", "png"):
        assert (results / "figures" / f"spike_cost.{end}").stat().st_size > 1000
    assert set(pd.read_csv(results / "test_losses.csv")["model"]) == {"final", "best"}
    assert pd.read_csv(results / "convergence.csv")["test_loss_final"].notna().all()


def test_all_of_the_study_asks_for_them_and_one_without_snapshots_does_not(results, snakemake):
    folder = results.parents[1]
    planned = snakemake(folder, "-n", "--configfile", "study.yaml").stdout
    assert "results/spiky/report/spike_cost_summary.csv.html" in planned
    assert "rule measure_spike_cost" not in planned  # it is done
    assert "rule train" not in planned
    config = yaml.safe_load(STUDY)
    config["diagnosis"] = {}
    config["study"]["name"] = "calm"
    (folder / "calm.yaml").write_text(yaml.safe_dump(config))
    planned = snakemake(folder, "-n", "--configfile", "calm.yaml").stdout
    assert "rule train" in planned
    assert "spike_cost" not in planned
    assert "snapshots.h5" not in planned
