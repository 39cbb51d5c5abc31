"""The benchmark against peers: what it refuses, and what it makes of turns. Nothing is timed."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import peers
from peers_worker import FIRST, Inputs


def worker(losses, peer=peers.PEERS[0]):
    return SimpleNamespace(peer=peer, first_losses=losses)


def test_a_peer_that_trains_something_else_is_named():
    ours = worker([9.0, 8.0])
    peers.check(worker([9.0, 8.0004]), ours)
    for losses in ([9.0, 8.01], [9.0, np.nan]):
        with pytest.raises(SystemExit, match=r"PyTorch \(eager\) trains something else: at step 1"):
            peers.check(worker(losses), ours)


def test_ratios_are_to_ours_of_the_same_round():
    rows = [("trainer", "ours", 0, 2.0), ("JAX", "scan", 0, 4.0), ("trainer", "ours", 1, 4.0), ("JAX", "scan", 1, 8.0)]
    turns = pd.DataFrame(rows, columns=["program", "form", "round", "cpu_ms"]).assign(cores=1.0)
    table = peers.summarise(turns).set_index("program")
    assert table.loc["JAX", ["ratio_low", "ratio", "ratio_high", "cpu_ms"]].tolist() == [2, 2, 2, 6]


def test_a_point_measured_again_replaces_its_rows(tmp_path):
    path = tmp_path / "peers.csv"
    for filters, ratio in ((100, 1.0), (16, 2.0), (100, 3.0)):
        peers.write(pd.DataFrame({"filters": [filters], "batch": [32], "ratio": [ratio]}), path)
    assert pd.read_csv(path).to_numpy().tolist() == [[16, 32, 2], [100, 32, 3]]


def test_inputs_are_read_as_they_are_written(tmp_path):
    peers.write_inputs(tmp_path / "inputs.npz", 4, 8, FIRST)
    inputs = Inputs(tmp_path / "inputs.npz")
    assert (inputs.filters, inputs.boxes, inputs.batches.shape) == (4, 13, (FIRST, 8))
    assert inputs.kernels["conv_2"].shape == (10, 4, 4)
