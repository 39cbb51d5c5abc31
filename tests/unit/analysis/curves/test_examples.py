"""Files made by the libraries themselves (make_examples.py): each holds the same numbers, and is read without them."""

import json
import runpy
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from quasarcurves.analysis import curves
from quasarcurves.analysis.curves.formats import parquet
from quasarcurves.training.history import History

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"
TRUTH = runpy.run_path(str(HERE / "truth.py"))
LOSS, VAL_LOSS = TRUTH["LOSS"], TRUTH["VAL_LOSS"]

FILES = {
    "keras_csvlogger.csv": 0.0,
    "keras_history.json": 0.0,
    "keras_tensorboard": 1e-7,  # float32
    "tensorboard": 1e-7,
    "tensorboard/events.out.tfevents.0.example": 1e-7,
    "mlruns": 0.0,
    "mlruns/0/planted/metrics": 0.0,
    "offline.wandb": 0.0,
    "history.parquet": 0.0,
}


@pytest.mark.parametrize("name", FILES)
def test_each_format_holds_the_same_numbers(name):
    (curve,) = curves.read([EXAMPLES / name])
    np.testing.assert_allclose(curve.loss, LOSS, rtol=FILES[name])
    np.testing.assert_allclose(curve.val_loss, VAL_LOSS, rtol=FILES[name])
    assert (curve.per, curve.stride, curve.val_at.tolist()) == ("epoch", 1.0, list(range(60)))


def test_a_single_metric_of_mlflow_is_a_loss():
    (curve,) = curves.read([EXAMPLES / "mlruns/0/planted/metrics/loss"])
    np.testing.assert_array_equal(curve.loss, LOSS)


def test_examples_name_no_machine():
    for path in filter(Path.is_file, EXAMPLES.rglob("*")):
        assert not any(word in path.read_bytes() for word in (b"/root", b"/home", b"/tmp", b"/work")), path
        assert path.stat().st_size < 25_000


def test_our_own_histories_are_read_by_step_with_what_they_know(tmp_path):
    steps = np.linspace(2, 1, 60, dtype=np.float32)
    val = np.where(np.arange(6) % 2, 1.5, np.nan)
    epochs = {"loss": steps.reshape(6, 10).mean(axis=1), "val_loss": val, "step": np.arange(10, 61, 10)}
    params = {"outcome": {"n_train": 320, "steps_per_epoch": 10}, "training": {"batch_size": 32}}
    History(epochs, {"loss": steps}, params).save(tmp_path / "run" / "history.h5")
    for given in (tmp_path, tmp_path / "run" / "history.h5"):
        (curve,) = curves.read([given])
        np.testing.assert_array_equal(curve.loss, steps)
        assert (curve.per, curve.label, curve.first) == ("step", "run", 1.0)
        assert curve.known == {"examples": 320.0, "batch_size": 32.0, "steps_per_epoch": 10.0}
        assert curve.val_at.tolist() == [19, 39, 59]
        assert curve.single


def test_a_history_that_leads_to_another_file_is_refused(tmp_path):
    History({"loss": LOSS[:1]}, {"loss": LOSS}, {}).save(tmp_path / "history.h5")
    with h5py.File(tmp_path / "history.h5", "r+") as file:
        file["steps/more"] = h5py.ExternalLink("elsewhere.h5", "secret")
    with pytest.raises(ValueError, match=r"history\.h5: /steps/more is a link into elsewhere\.h5, to secret"):
        curves.read([tmp_path / "history.h5"])


def test_a_history_that_does_not_know_its_sizes_is_read(tmp_path):
    params = {"outcome": {"n_train": None, "steps_per_epoch": None}}
    History({"loss": LOSS[:1]}, {"loss": LOSS}, params).save(tmp_path / "history.h5")
    (curve,) = curves.read([tmp_path / "history.h5"])
    assert curve.known == {}
    np.testing.assert_array_equal(curve.loss, LOSS)


def test_parquet_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setattr(parquet, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r'history.parquet: Parquet needs Polars: pip install "quasarcurves\[curves\]"'
    ):
        curves.read([EXAMPLES / "history.parquet"])


def test_an_event_file_that_was_being_written_is_read_as_far_as_it_goes(tmp_path):
    whole = (EXAMPLES / "tensorboard/events.out.tfevents.0.example").read_bytes()
    cut = tmp_path / "events.out.tfevents.1"
    cut.write_bytes(whole[: len(whole) // 2])
    (curve,) = curves.read([cut])
    np.testing.assert_allclose(curve.loss, LOSS[: len(curve.loss)], rtol=1e-7)
    assert 20 < len(curve.loss) < 40
    assert "ends within record" in curve.notes[0]


@pytest.mark.parametrize("name", ["events.out.tfevents.1", "a.wandb", "history.h5"])
def test_a_file_that_is_none_of_its_name_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"something else, long enough to be a head of a file")
    with pytest.raises((ValueError, OSError), match=f"{name}: .*expected"):
        curves.read([tmp_path / name])


def test_a_damaged_event_is_named_by_its_record(tmp_path):
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"\x04" + bytes(11) + b"\x0f\x0f\x0f\x0f" + bytes(4))
    with pytest.raises(ValueError, match=r"tfevents.1: record 1: expected an event, found none"):
        curves.read([path])


def test_a_line_of_a_metric_that_is_none_is_named(tmp_path):
    (tmp_path / "loss").write_text("1795946617353 2.0 0\n1795946617353 x 1\n")
    with pytest.raises(ValueError, match="loss: row 2: expected 'timestamp value step', found '1795946617353 x 1'"):
        curves.read([tmp_path / "loss"])


def test_reading_imports_no_library_that_trains():
    assert not {"tensorboard", "wandb", "mlflow"} & set(sys.modules)
    assert json.loads((EXAMPLES / "keras_history.json").read_text())["loss"] == LOSS.tolist()
