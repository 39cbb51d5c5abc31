"""Losses of steps and epochs, as tables, as TensorBoard's event files and as offline runs of W&B."""

import json
import math
import struct
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from quasarcurves import cli
from quasarcurves.study import Study
from quasarcurves.training.history import History

CONFIG = """
study: {name: planted}
data: {source: simulated, n_spectra: 100}
subsets: {fractions: [0.8]}
training: {epochs: 3, batch_size: 40}
optimizers: {adam: {class: Adam}, sgd: {class: SGD}}
"""

RUN = "f0.8_r0/adam"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of two trainings, of which one is over."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(CONFIG)
    study = Study.from_config(yaml.safe_load(CONFIG))
    epochs = {"loss": np.array([3.0, 2.0, 1.0]), "val_loss": np.array([math.nan, 4.0, math.nan]), "step": [2, 4, 6]}
    steps = {"loss": np.arange(6, 0, -1.0), "update_norm": np.full(6, 0.5)}
    History({name: np.asarray(values) for name, values in epochs.items()}, steps).save(
        study.results / "runs" / RUN / "history.h5"
    )
    return study


@pytest.mark.usefixtures("study")
def test_tables_have_a_row_per_epoch_and_per_step(capsys):
    assert cli.main(["export-logs", "config.yaml", "--csv", "out"]) == 0
    # the fixture's has no receipt: it is kept from an earlier study, or not whole
    assert capsys.readouterr().out == (
        "out: 1 trainings; 1 are not over; 1 of those written are not as the study asks for (quasarcurves status)\n"
    )
    epochs, steps = (pd.read_csv(f"out/{RUN}/{name}.csv") for name in ("epochs", "steps"))
    assert epochs["epoch"].tolist() == [1, 2, 3]
    assert epochs["step"].tolist() == [2, 4, 6]
    assert epochs["val_loss"].dropna().tolist() == [4.0]
    assert steps["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert steps["loss"].tolist() == [6, 5, 4, 3, 2, 1]
    assert "update_norm" in steps


@pytest.mark.usefixtures("study")
def test_event_files_are_what_tensorflow_reads():
    for _ in range(2):  # the second time does not draw everything twice
        assert cli.main(["export-logs", "--tensorboard", "out"]) == 0
    from tensorflow.compat.v1.train import summary_iterator

    (path,) = Path("out", RUN).iterdir()
    events = list(summary_iterator(str(path)))
    assert events[0].file_version == "brain.Event:2"
    found = {}
    for event in events[1:]:
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert found["steps/loss"] == [(1, 6), (2, 5), (3, 4), (4, 3), (5, 2), (6, 1)]
    assert found["epochs/loss"] == [(2, 3), (4, 2), (6, 1)]
    assert found["epochs/val_loss"] == [(4, 4)]


def test_before_any_training_is_over_there_is_nothing_to_write(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(CONFIG)
    assert cli.main(["export-logs", "--csv", "out"]) == 1
    assert "error: results/planted: no training of the study is over" in capsys.readouterr().err


@pytest.mark.usefixtures("study")
def test_without_tensorflow_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert cli.main(["export-logs", "--tensorboard", "out"]) == 1
    assert capsys.readouterr().err == 'error: this needs TensorFlow: pip install "quasarcurves[cpu]"\n'


@pytest.mark.usefixtures("study")
def test_without_weights_and_biases_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert cli.main(["export-logs", "--wandb-offline", "out"]) == 1
    assert capsys.readouterr().err == 'error: this needs Weights & Biases: pip install "quasarcurves[wandb]"\n'


def records(data):
    """Records of a file of W&B: a log in LevelDB's format, behind a head of 7 bytes."""
    block, at, parts = 32768, 7, b""
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts, at = parts + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


@pytest.mark.slow
@pytest.mark.usefixtures("study")
@pytest.mark.filterwarnings("default")  # of a library that is not ours
def test_offline_runs_are_what_weights_and_biases_reads(monkeypatch):
    wandb = pytest.importorskip("wandb", reason="NOT TESTED: --wandb-offline writes nothing without the extra wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "online")  # whatever is set here, nothing is sent
    for _ in range(2):  # the second time does not upload everything twice
        assert cli.main(["export-logs", "--wandb-offline", "out"]) == 0
    wandb.teardown()  # as at the end of a process: what writes for the library has written all then
    (path,) = Path("out", RUN).rglob("*.wandb")
    assert path.parent.name.startswith("offline-run-")
    rows, name = {}, ""
    for data in records(path.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        name = record.run.display_name or name
        if record.HasField("history"):
            items = record.history.item
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
            rows[row.pop("_step")] = {key: value for key, value in row.items() if not key.startswith("_")}
    assert name == RUN
    assert list(rows) == [1, 2, 3, 4, 5, 6]
    assert rows[1] == {"steps/loss": 6, "steps/update_norm": 0.5}
    assert rows[4] == {"steps/loss": 3, "steps/update_norm": 0.5, "epochs/loss": 2, "epochs/val_loss": 4,
                       "epochs/step": 4, "epoch": 2}  # fmt: skip
