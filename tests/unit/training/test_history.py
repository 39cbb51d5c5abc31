"""Histories: what is saved comes back, alone and in a collection, and nothing else passes for one."""

import h5py
import numpy as np
import pytest

from quasarcurves.training.history import History, collect, runs_of


def make(epochs=4, steps=12, **params):
    rng = np.random.default_rng(epochs)
    val_loss = rng.random(epochs).astype(np.float32)
    val_loss[::2] = np.nan
    return History(
        {
            "loss": rng.random(epochs).astype(np.float32),
            "val_loss": val_loss,
            "step": np.arange(1, epochs + 1) * 3,
            "seconds": rng.random(epochs),
        },
        {"loss": rng.random(steps).astype(np.float32), "gradient_norm": rng.random(steps).astype(np.float32)},
        {"fraction": 0.4, "outcome": {"diverged": False, "diverged_step": None}, **params},
    )


def assert_same(one, other):
    for group in ("epochs", "steps"):
        assert getattr(one, group).keys() == getattr(other, group).keys()
        for key, values in getattr(one, group).items():
            np.testing.assert_array_equal(getattr(other, group)[key], values, strict=True)
    assert one.params == other.params


@pytest.mark.parametrize(("epochs", "steps"), [(4, 12), (1, 1), (0, 0), (2, 70_000)])
def test_a_saved_history_comes_back(tmp_path, epochs, steps):
    history = make(epochs, steps)
    history.save(tmp_path / "run" / "history.h5")
    assert_same(history, History.load(tmp_path / "run" / "history.h5"))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["history.h5"]


def test_a_history_without_any_column_comes_back(tmp_path):
    History({}, {}).save(tmp_path / "history.h5")
    assert_same(History({}, {}), History.load(tmp_path / "history.h5"))


def test_a_constant_record_is_kept_small(tmp_path):
    History({}, {"loss": np.zeros(500_000, np.float32)}).save(tmp_path / "history.h5")
    assert (tmp_path / "history.h5").stat().st_size < 100_000


def test_collected_histories_are_found_by_name(tmp_path):
    names = ["f0.4_r0/adam", "f0.4_r0/amsgrad", "f0.05_r10/adam"]
    histories = {name: make(3 + i, 5, optimizer=name, replicate=i) for i, name in enumerate(names)}
    for i, history in enumerate(histories.values()):
        history.save(tmp_path / f"{i}.h5")
    collect(((name, tmp_path / f"{i}.h5") for i, name in enumerate(names)), tmp_path / "all.h5")
    assert dict(runs_of(tmp_path / "all.h5")) == {name: history.params for name, history in histories.items()}
    for name, history in histories.items():
        assert_same(history, History.load(tmp_path / "all.h5", name))


def test_columns_by_step_are_read_when_asked_for_and_not_kept(tmp_path):
    make(3, 9).save(tmp_path / "history.h5")
    history = History.load(tmp_path / "history.h5")
    with h5py.File(tmp_path / "history.h5", "a") as file:
        file["steps/loss"][:], file["epochs/loss"][:] = 7, 7
    assert history.steps["loss"].tolist() == [7] * 9
    assert history.epochs["loss"].tolist() != [7] * 3
    assert list(history.steps) == ["gradient_norm", "loss"]
    assert history.steps.get("sharpness") is None
    with pytest.raises(KeyError, match="sharpness"):
        history.steps["sharpness"]


def test_a_collection_is_of_the_compressed_bytes_and_the_same_every_time(tmp_path):
    make(4, 150_000).save(tmp_path / "0.h5")
    for name in ("all.h5", "again.h5"):
        collect([("f0.4_r0/adam", tmp_path / "0.h5")], tmp_path / name)
    assert (tmp_path / "all.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()
    with h5py.File(tmp_path / "0.h5") as one, h5py.File(tmp_path / "all.h5") as other:
        single, collected = one["steps/loss"], other["f0.4_r0/adam/steps/loss"]
        assert single.id.get_num_chunks() == collected.id.get_num_chunks() == 3
        for i in range(3):
            offset = (65536 * i,)
            assert single.id.read_direct_chunk(offset) == collected.id.read_direct_chunk(offset)


def test_what_is_no_history_is_not_collected(tmp_path):
    with h5py.File(tmp_path / "0.h5", "w") as file:
        file.create_group("steps")
    with pytest.raises(ValueError, match=r"0\.h5: no history at '/'"):
        collect([("a", tmp_path / "0.h5")], tmp_path / "all.h5")
    assert not (tmp_path / "all.h5").exists()


def test_a_collection_of_nothing_has_no_runs(tmp_path):
    collect([], tmp_path / "all.h5")
    assert list(runs_of(tmp_path / "all.h5")) == []


def test_a_collection_that_fails_leaves_nothing(tmp_path):
    make().save(tmp_path / "0.h5")
    with pytest.raises(FileNotFoundError, match=r"missing\.h5"):
        collect([("a", tmp_path / "0.h5"), ("b", tmp_path / "missing.h5")], tmp_path / "all.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["0.h5"]


def test_a_file_of_something_else_is_refused_by_name(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["flux"] = np.ones(3)
    with pytest.raises(ValueError, match=r"other\.h5: no history at '/', expected the groups epochs and steps"):
        History.load(path)


def test_a_run_that_is_not_in_a_collection_is_refused_by_name(tmp_path):
    make().save(tmp_path / "0.h5")
    collect([("f0.4_r0/adam", tmp_path / "0.h5")], tmp_path / "all.h5")
    for name in ("f0.4_r0/sgd", "f0.4_r0", "/"):
        with pytest.raises(ValueError, match=rf"all\.h5: no history at '{name}'"):
            History.load(tmp_path / "all.h5", name)


@pytest.mark.parametrize("content", [b"garbage", b"", b"\x89HDF\r\n\x1a\n cut off"])
def test_garbage_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.h5"
    path.write_bytes(content)
    for read in (History.load, lambda path: list(runs_of(path))):
        with pytest.raises((OSError, ValueError), match=r"broken\.h5"):
            read(path)


def test_a_history_from_before_there_was_a_curvature_is_read(tmp_path):
    whole = History({"loss": np.ones(2)}, {"loss": np.ones(4)}, {"seed": 1}, {"sharpness": np.ones(3)})
    whole.save(tmp_path / "history.h5")
    assert History.load(tmp_path / "history.h5").curvature["sharpness"].tolist() == [1, 1, 1]
    with h5py.File(tmp_path / "history.h5", "a") as file:
        del file["curvature"]
    old = History.load(tmp_path / "history.h5")
    assert not old.curvature
    assert old.steps["loss"].tolist() == [1, 1, 1, 1]
