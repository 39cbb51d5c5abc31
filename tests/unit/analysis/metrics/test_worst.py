"""The examples of the largest loss: the right ones, with what models said, and told from one run's failures."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis.metrics import worst

ROWS = np.array([30, 4, 17, 8, 99, 50, 61, 72, 83, 2, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21])
"""The test set: rows of 100 prepared examples."""


@pytest.fixture
def examples(tmp_path):
    """Prepared examples whose inputs and targets name their row."""
    path = tmp_path / "examples.h5"
    with h5py.File(path, "w") as file:
        file["inputs"] = np.arange(200, dtype=np.float32).reshape(100, 2)
        file["targets_0"], file["targets_1"] = np.arange(100) * 10, np.arange(100) * 100
        file["target_id"] = np.arange(100) + 1000
    return path


def predicted(folder, losses, fraction=0.4, replicate=0, optimizer="adam", rows=ROWS):
    """Write what evaluation writes of a run, outputs of which name run and row."""
    path = folder / f"f{fraction}_r{replicate}_{optimizer}.h5"
    with h5py.File(path, "w") as file:
        file.attrs["run"] = json.dumps({"fraction": fraction, "replicate": replicate, "optimizer": optimizer})
        file["row"] = rows
        for name in ("final", "best"):
            group = file.create_group(name)
            group["loss"] = np.float32(losses if name == "final" else np.zeros(len(rows)))
            group["outputs"] = np.float32([[replicate, row] for row in rows])
    return path


def chosen(folder, examples, runs):
    worst.write(runs, examples, folder / "worst.csv", folder / "worst.h5")
    return pd.read_csv(folder / "worst.csv")


def test_they_are_those_of_the_largest_mean_loss_at_the_largest_size(tmp_path, examples):
    hard, odd = np.linspace(0, 1, 20), np.linspace(0, 1, 20)
    hard[3] = odd[3] = 7.0  # row 8: every model fails
    odd[5] = 9.0  # row 50: one does
    runs = [
        predicted(tmp_path, hard),
        predicted(tmp_path, odd, replicate=1),
        predicted(tmp_path, np.full(20, 50.0), fraction=0.2),
    ]
    table = chosen(tmp_path, examples, runs)
    assert len(table) == worst.WORST and (table["fraction"] == 0.4).all()
    assert table["rank"].tolist() == list(range(1, 13))
    assert table["row"].tolist()[:2] == [8, 50] and table["target_id"].tolist()[:2] == [1008, 1050]
    # of 20 examples the worst 5 % are one
    assert table["worst_in"].tolist()[:3] == [1, 1, 0]
    assert table.loc[0, "loss"] == pytest.approx(7.0) and table.loc[1, "loss"] == pytest.approx((9 + 5 / 19) / 2)
    assert table.loc[1, ["loss_highest", "replicate", "replicates"]].tolist() == [9.0, 1, 2]
    assert (np.diff(table["loss"]) <= 0).all()


def test_arrays_are_of_the_same_examples_and_outputs_of_the_model_that_is_named(tmp_path, examples):
    rng = np.random.default_rng(0)
    runs = [predicted(tmp_path, rng.random(20), replicate=each) for each in range(3)]
    table = chosen(tmp_path, examples, runs)
    assert table["replicate"].nunique() > 1
    with h5py.File(tmp_path / "worst.h5") as file:
        np.testing.assert_array_equal(file["adam/inputs"][:, 0], 2 * table["row"])
        np.testing.assert_array_equal(file["adam/targets_0"], 10 * table["row"])
        np.testing.assert_array_equal(file["adam/targets_1"], 100 * table["row"])
        np.testing.assert_array_equal(file["adam/outputs"], table[["replicate", "row"]])


def test_models_that_failed_are_left_out_and_small_test_sets_are_taken_whole(tmp_path, examples):
    few = {"rows": ROWS[:3]}
    runs = [
        predicted(tmp_path, [1, np.nan, 2], **few),
        predicted(tmp_path, [3, 2, 1], replicate=1, **few),
        predicted(tmp_path, [np.inf, 0, 0], optimizer="sgd", **few),
    ]
    table = chosen(tmp_path, examples, runs)
    assert table["optimizer"].unique().tolist() == ["adam"]
    assert table["row"].tolist() == ROWS[:3].tolist() and (table["replicates"] == 1).all()
    assert chosen(tmp_path, examples, runs[2:]).empty


@pytest.mark.parametrize("largest_first", [True, False])
def test_where_all_of_the_largest_size_failed_no_smaller_one_takes_its_place(tmp_path, examples, largest_first):
    runs = [predicted(tmp_path, np.full(20, np.nan)), predicted(tmp_path, np.ones(20), fraction=0.2)]
    assert chosen(tmp_path, examples, runs if largest_first else runs[::-1]).empty
