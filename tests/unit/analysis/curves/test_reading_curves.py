"""Loss curves as people write them: separators, headers, resumed runs, gaps, and mistakes that are named."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.analysis import curves
from quasarcurves.analysis.curves import Told
from quasarcurves.analysis.curves.series import Series, in_order, on_grid

EPOCHS = np.arange(100)
LOSS = np.round(2 / (1 + EPOCHS / 6), 5)
VAL = np.round(1.1 * LOSS, 5)


def table(separator=",", header="epoch,loss,val_loss", rows=EPOCHS):
    lines = [header.replace(",", separator)] if header else []
    return "\n".join([*lines, *(separator.join((str(i), str(LOSS[i]), str(VAL[i]))) for i in rows)]) + "\n"


def read(path, text, **told):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (curve,) = curves.read([path], Told(**told))
    return curve


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", table()),
        ("a.tsv", table("\t")),
        ("a.csv", table(";").replace(".", ",")),
        ("a.csv", table(";", "Epoch,Train Loss,Validation Loss")),
        ("a.txt", table(" ", "epoch,trainLoss,valLoss")),
        ("a.txt", "# made by hand\n# epoch loss val_loss\n" + table(" ", "")),
        ("a.csv", table().replace("\n", "\r\n")),
        ("a.csv", ("\ufeff" + table()).encode()),
        ("a.csv", table().encode("utf-16")),
        ("a.csv", table(header='"epoch","loss","val_loss"')),
        ("a.csv", table(header="n\xe4me,loss,val_loss").encode("latin-1")),
        ("a.json", json.dumps({"loss": LOSS.tolist(), "val_loss": VAL.tolist(), "accuracy": LOSS.tolist()})),
        ("a.json", json.dumps({"loss": dict(zip(map(str, EPOCHS.tolist()), LOSS.tolist(), strict=True)),
                               "val_loss": dict(zip(map(str, EPOCHS.tolist()), VAL.tolist(), strict=True))})),
        ("a.jsonl", "".join(json.dumps({"epoch": i, "loss": LOSS[i], "val_loss": VAL[i]}) + "\n" for i in range(100))),
    ],
)  # fmt: skip
def test_however_it_is_written_the_numbers_are_the_same(tmp_path, name, text):
    curve = read(tmp_path / name, text)
    np.testing.assert_array_equal(curve.loss, LOSS)
    np.testing.assert_array_equal(curve.val_loss, VAL)
    assert curve.per == "epoch"


@pytest.mark.parametrize("decimal", [".", ","])
def test_numbers_alone_are_a_loss(tmp_path, decimal):
    curve = read(tmp_path / "a.txt", "".join(f"{value}\n" for value in LOSS).replace(".", decimal))
    np.testing.assert_array_equal(curve.loss, LOSS)
    assert "each is taken as one epoch's" in curve.notes[-1]


def test_without_a_word_many_values_are_those_of_steps(tmp_path):
    curve = read(tmp_path / "a.csv", "loss\n" + "1.0\n" * 2001)
    assert curve.per == "step"
    assert "2,001 values, so each is taken as one step's; if it is one epoch's, say so by --per epoch" in curve.notes[0]
    assert read(tmp_path / "b.csv", "loss\n" + "1.0\n" * 2001, per="epoch").notes == ()


def test_a_resumed_run_the_later_epochs_win(tmp_path):
    old = table(rows=range(40))
    text = old.replace(str(LOSS[35]), "9.0") + table(header="", rows=range(30, 100))
    curve = read(tmp_path / "a.csv", text)
    np.testing.assert_array_equal(curve.loss, LOSS)
    np.testing.assert_array_equal(curve.val_loss, VAL)
    assert "the later ones count, the earlier are left out (10 values, of epochs 30 to 39)" in curve.notes[0]


def test_epochs_that_begin_anew_replace_those_before_unless_told(tmp_path):
    text = table(rows=range(40)) + table(header="", rows=range(50))
    curve = read(tmp_path / "a.csv", text)
    assert len(curve.loss) == 50
    assert "if the training went on, say so by --goes-on" in curve.notes[0]
    curve = read(tmp_path / "a.csv", text, goes_on=True)
    np.testing.assert_array_equal(curve.loss, np.concatenate([LOSS[:40], LOSS[:50]]))
    assert curve.val_at.tolist() == list(range(90))


def test_a_header_that_comes_again_is_skipped(tmp_path):
    curve = read(tmp_path / "a.csv", table(rows=range(40)) + table(rows=range(40, 100)))
    np.testing.assert_array_equal(curve.loss, LOSS)
    assert "the header comes again in row 42" in curve.notes[0]


def test_gaps_are_gaps(tmp_path):
    curve = read(tmp_path / "a.csv", table(rows=[i for i in range(100) if i not in (12, 13, 50)]))
    assert np.flatnonzero(np.isnan(curve.loss)).tolist() == [12, 13, 50]
    np.testing.assert_array_equal(np.delete(curve.loss, [12, 13, 50]), np.delete(LOSS, [12, 13, 50]))
    assert curve.notes == ("3 epochs are missing, the first after 11",)


def test_a_loss_that_is_no_number_to_the_end_is_kept(tmp_path):
    text = "epoch,loss\n" + "".join(f"{i},{LOSS[i] if i < 10 else 'nan'}\n" for i in range(100))
    curve = read(tmp_path / "a.csv", text)
    assert np.isnan(curve.loss).sum() == 90


def test_a_loss_that_is_written_now_and_then_has_no_such_end(tmp_path):
    text = "global_step,loss,lr\n" + "".join(f"{i},{LOSS[i // 10] if i % 10 == 0 else ''},1\n" for i in range(996))
    curve = read(tmp_path / "a.csv", text)
    np.testing.assert_array_equal(curve.loss, LOSS)
    assert (curve.per, curve.stride, curve.place(3)) == ("step", 10.0, 30.0)


def test_epoch_and_batch_tell_steps_per_epoch(tmp_path):
    rows = [(epoch, batch) for epoch in range(5) for batch in range(20)]
    lines = "".join(f"{epoch},{batch},{LOSS[20 * epoch + batch]}\n" for epoch, batch in rows)
    curve = read(tmp_path / "a.csv", "epoch,batch,loss\n" + lines)
    np.testing.assert_array_equal(curve.loss, LOSS)
    assert (curve.per, curve.known) == ("step", {"steps_per_epoch": 20.0})
    curve = read(tmp_path / "b.csv", "epoch,loss\n" + re.sub(r"^(\d+),\d+", r"\1", lines, flags=re.MULTILINE))
    np.testing.assert_array_equal(curve.loss, LOSS)
    assert (curve.per, curve.known) == ("step", {"steps_per_epoch": 20.0})


def test_validation_losses_of_every_few_epochs_stand_beside_theirs(tmp_path):
    curve = read(tmp_path / "a.json", json.dumps({"loss": LOSS.tolist(), "val_loss": VAL[4::5].tolist()}))
    np.testing.assert_array_equal(curve.val_loss, VAL[4::5])
    assert curve.val_at.tolist() == list(range(4, 100, 5))


def test_a_trainer_state_has_losses_every_few_steps(tmp_path):
    log = []
    for i in range(100):
        log.append({"loss": LOSS[i], "epoch": (i + 1) / 10, "step": 50 * (i + 1)})
        log += [{"eval_loss": VAL[i], "epoch": (i + 1) / 10, "step": 50 * (i + 1)}] if i % 10 == 9 else []
    curve = read(tmp_path / "a.json", json.dumps({"log_history": log}))
    np.testing.assert_array_equal(curve.loss, LOSS)
    assert (curve.stride, curve.first, curve.val_at.tolist()) == (50.0, 50.0, list(range(9, 100, 10)))
    assert curve.known == {"steps_per_epoch": 500.0}


def test_exports_of_wandb_and_mlflow_have_a_curve_per_run(tmp_path):
    head = "Step," + ",".join(f"{run} - loss,{run} - loss__MIN,{run} - loss__MAX" for run in ("a-1", "b - 2"))
    (tmp_path / "w.csv").write_text(f"{head}\n" + "".join(f"{i},{LOSS[i]},0,9,{VAL[i]},0,9\n" for i in range(100)))
    long = [(run, metric, values[i], i) for run in "xy" for metric, values in (("loss", LOSS), ("val_loss", VAL))
            for i in range(100)]  # fmt: skip
    pd.DataFrame(long, columns=["run_id", "key", "value", "step"]).to_csv(tmp_path / "m.csv", index=False)
    found = curves.read([tmp_path / "w.csv", tmp_path / "m.csv"])
    assert [curve.label for curve in found] == ["a-1", "b - 2", "x", "y"]
    np.testing.assert_array_equal(found[1].loss, VAL)
    np.testing.assert_array_equal(found[3].val_loss, VAL)


def test_runs_of_a_tidy_table_and_several_losses_are_curves_of_their_own(tmp_path):
    rows = [(name, n, i, LOSS[i]) for name, n in (("adam", 64), ("amsgrad", 128)) for i in range(100)]
    pd.DataFrame(rows, columns=["optimizer", "n_train", "epoch", "loss"]).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "two.csv").write_text(table(header="epoch,adam_loss,amsgrad_loss"))
    found = curves.read([tmp_path / "t.csv"])
    assert [(curve.label, curve.examples) for curve in found] == [("adam", 64), ("amsgrad", 128)]
    assert [curve.label for curve in curves.read([tmp_path / "two.csv"])] == ["adam_loss", "amsgrad_loss"]
    (told,) = curves.read([tmp_path / "two.csv"], Told(loss=("adam_loss",), val_loss=("amsgrad_loss",)))
    np.testing.assert_array_equal(told.val_loss, VAL)


def test_names_of_files_and_flags_say_sizes(tmp_path):
    names = ["run_n1024_bs32.csv", "run_n=512-batch=32.csv"]
    for name in names:
        (tmp_path / name).write_text(table())
    first, second = curves.read([tmp_path / name for name in names])
    assert first.known == {"examples": 1024.0, "batch_size": 32.0, "steps_per_epoch": 32.0}
    assert second.known == {"examples": 512.0, "batch_size": 32.0, "steps_per_epoch": 16.0}
    assert first.notes == ("1,024 examples in batches of 32: 32 steps per epoch",)
    told = Told(examples=(100.0, 200.0), batch_size=(10.0,))
    found = curves.read([tmp_path / name for name in names], told)
    assert [curve.steps_per_epoch for curve in found] == [10.0, 20.0]


def test_a_folder_of_tables_is_read_as_a_whole(tmp_path):
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_text(table())
    (tmp_path / "notes.md").write_text("none")
    assert [curve.label for curve in curves.read([tmp_path])] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "a.csv: expected losses, found an empty file"),
        ("a.csv", "epoch,loss\n", "a.csv: column 'loss': expected numbers, found none"),
        ("a.csv", "epoch,loss\n0,1\n1,abc\n", "a.csv: row 3, column 'loss': expected a number, found 'abc'"),
        ("a.csv", "epoch,loss\n0,1\n1,2,3,4\n", "a.csv: row 3: expected 2 cells, found 4"),
        (
            "a.csv",
            "epoch,f1,acc\n0,1,2\n",
            "a.csv: expected a column whose name has 'loss', found 'epoch', 'f1', 'acc'",
        ),
        ("a.csv", "epoch,accuracy\n0,1\n", "a.csv: expected a column whose name has 'loss'"),
        ("a.csv", b"loss\n\0\1\2", "a.csv: expected text, found bytes that are none"),
        ("a.json", "{'loss': [1.0]}", "a.json: row 1: expected JSON, .*; save it by json.dump"),
        ("a.json", '{"loss": [1.0,', "a.json: row 1: expected JSON, found something else"),
        ("a.json", '{"loss": [1.0, "x"]}', "a.json: row 2, column 'loss': expected a number, found 'x'"),
        (
            "a.json",
            '{"loss": [1,2,3,4,5,6,7], "val_loss": [1,2,3,4,5]}',
            "a.json: 'val_loss': expected 7 values .*found 5",
        ),
        ("a.json", '"hello"', "a.json: expected lists of numbers by name"),
        ("a.jsonl", '{"loss": 1}\n{"loss": }\n{"loss": 2}\n', "a.jsonl: row 2: expected JSON"),
        ("a.pkl", "anything", r"a.pkl: a pickle is not read, .* json.dump\(pickle.load"),
        ("a.bin", b"\x80\x04abc", "a.bin: a pickle is not read"),
        ("a.xyz", "hello", "a.xyz: expected losses in a format known here .* found a file that ends in '.xyz'"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path / name, text)
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


def test_files_and_columns_that_are_missing_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing.csv: there is no such file or folder"):
        curves.read([tmp_path / "nothing.csv"])
    with pytest.raises(ValueError, match="there is no column 'los': did you mean 'loss'"):
        read(tmp_path / "a.csv", table(), loss=("los",))
    with pytest.raises(ValueError, match="--examples: expected one number, or one for each of 1 curves, found 2"):
        read(tmp_path / "a.csv", table(), examples=(1.0, 2.0))
    with pytest.raises(ValueError, match=r"--batch-size: expected whole numbers of 1 or more, found 0.5"):
        read(tmp_path / "a.csv", table(), batch_size=(0.5,))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.md").write_text("none")
    with pytest.raises(ValueError, match="found a folder without them"):
        curves.read([tmp_path / "folder"])


numbers = st.one_of(st.floats(allow_nan=True, allow_infinity=True, width=32), st.just(0.0))


@settings(max_examples=40, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=60).filter(lambda each: np.isfinite(each).any()))
def test_any_numbers_come_back_from_a_table_but_for_rows_that_are_missing(values):
    frame = pd.DataFrame({"epoch": np.arange(len(values)), "loss": values})
    (curve,) = curves.from_object(frame, None, Told())
    known = np.isfinite(curve.loss)
    kept = curve.place(np.arange(len(curve.loss))[known]).round().astype(int) if len(curve.loss) > 1 else np.array([0])
    if len(curve.loss) > 1:
        np.testing.assert_array_equal(curve.loss[known], np.asarray(values)[kept])
    assert known.sum() == np.isfinite(values).sum()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.booleans())
def test_places_in_order_rise_and_the_last_record_of_each_counts(places, goes_on):
    at = np.array(places, float)
    found = in_order(at, np.arange(len(at), dtype=float), "epoch", goes_on)
    assert (np.diff(found.at) > 0).all()
    assert found.values[-1] == len(at) - 1
    if goes_on:
        assert len(found.values) == len(at)
    else:
        # kept is what no later record is before
        assert found.values.astype(int).tolist() == [
            i for i in range(len(at)) if all(at[i] < later for later in at[i + 1 :])
        ]


@pytest.mark.parametrize(
    ("at", "length", "stride"),
    [([0, 1, 2, 3], 4, 1), ([10, 20, 40, 50], 5, 10), ([7], 1, 1), ([0, 1, 1000], 3, 500), ([0, 0.3, 1], 3, 0.5)],
)
def test_places_become_a_grid_where_they_are_nearly_one(at, length, stride):
    loss, first, found, _ = on_grid(Series(np.array(at, float), np.ones(len(at))), "step")
    assert (len(loss), first, found) == (length, at[0], stride)


def test_what_a_program_holds():
    class Fitted:
        history = {"loss": LOSS.tolist(), "val_loss": VAL.tolist()}  # noqa: RUF012

    for given_ in (Fitted(), Fitted.history, pd.DataFrame(Fitted.history), {"loss": LOSS, "val_loss": VAL}):
        (curve,) = curves.from_object(given_, None, Told())
        np.testing.assert_array_equal(curve.loss, LOSS)
        np.testing.assert_array_equal(curve.val_loss, VAL)
    (curve,) = curves.from_object(LOSS, VAL, Told())
    np.testing.assert_array_equal(curve.val_loss, VAL)
    assert [each.label for each in curves.from_object({"a": LOSS, "b": VAL[:50]}, None, Told())] == ["a", "b"]
    with pytest.raises(ValueError, match=r"expected numbers of shape \(t,\), found \(10, 10\)"):
        curves.from_object(LOSS.reshape(10, 10), None, Told())
    with pytest.raises(ValueError, match="loss: expected numbers, found"):
        curves.from_object(["a.csv", 3], None, Told())


def test_the_lowest_value_is_taken_off(tmp_path):
    curve = read(tmp_path / "a.csv", table(), lowest=-1.0)
    np.testing.assert_allclose(curve.loss, LOSS + 1)
    np.testing.assert_allclose(curve.val_loss, VAL + 1)
