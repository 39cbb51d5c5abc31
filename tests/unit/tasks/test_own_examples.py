"""Examples of a task file: written and read back, and refused with the function and what was found."""

import h5py
import numpy as np
import pytest

from quasarcurves import tasks
from quasarcurves.spectra.subsets import draw, load_target_ids
from quasarcurves.tasks import own_examples
from quasarcurves.training.run_settings import TaskSettings

HEAD = "import numpy as np\nx, y = np.arange(12.0).reshape(6, 2), np.arange(6)\n"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Prepare examples by the body of a function; return the file."""
    monkeypatch.chdir(tmp_path)

    def prepare(body, **data):
        (tmp_path / "mine.py").write_text(f"{HEAD}\ndef examples({', '.join(data)}):\n    {body}\n")
        tasks.prepare(TaskSettings("mine.py", "code"), data, tmp_path / "examples.h5")
        return tmp_path / "examples.h5"

    return prepare


def test_arrays_come_back_row_by_row(made):
    path = made('return {"inputs": scale * x, "targets": y}', scale=2)
    inputs, targets = own_examples.load(path, np.array([4, 1]))
    np.testing.assert_array_equal(inputs, [[16, 18], [4, 6]])
    np.testing.assert_array_equal(targets, [4, 1])
    assert (inputs.dtype, targets.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(load_target_ids(path), np.arange(6))


def test_chunks_tuples_and_names_of_groups(made):
    path = made('yield from [{"inputs": x, "targets": (y, y > 2), "groups": list("aabbcc")}] * 2')
    with h5py.File(path) as file:
        assert set(file) == {"inputs", "targets_0", "targets_1", "target_id"}
        np.testing.assert_array_equal(file["target_id"], [0, 0, 1, 1, 2, 2] * 2)
    assert [len(part) for part in own_examples.load(path, np.arange(12))] == [12] * 3
    subset = draw(load_target_ids(path), 0.4, test_fraction=0.4, validation_fraction=0.0)
    groups = load_target_ids(path)
    assert not set(groups[subset.train]) & set(groups[subset.test])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return x, y", "returned a tuple of 2, expected a dict with inputs and targets, or a generator"),
        ('return {"inputs": x}', "returned no 'targets', expected inputs and targets; found inputs"),
        ('return {"inputs": x, "target": y}', "returned the key 'target'; did you mean 'targets'?"),
        ('return {"inputs": x, "targets": y[1:]}', "returned 6 inputs, 5 targets, expected as many of each"),
        ('return {"inputs": x, "targets": y, "groups": y[:2]}', "returned 6 inputs, 6 targets, 2 groups"),
        ('return {"inputs": x, "targets": y, "groups": x}', "groups are an array of shape (6, 2) and type float64"),
        ('return {"inputs": x[:0], "targets": y[:0]}', "returned no example"),
        (
            'return {"inputs": np.where(x == 3, np.nan, x), "targets": y}',
            "inputs: 1 of 6 examples are not finite in float32, first row 1",
        ),
        ('return {"inputs": x.astype(str), "targets": y}', "inputs: expected an array of numbers"),
        ('return {"inputs": 3, "targets": y}', "inputs: expected an array of numbers (n, ...), found int"),
        ('return {"inputs": x, "targets": y + 2**40}', "targets: integers from 1099511627776 to"),
        (
            'yield from [{"inputs": x, "targets": y}, {"inputs": x[:, 1:], "targets": y}]',
            "a chunk has inputs of shape (n, 1) and type float32, expected (n, 2) and float32",
        ),
        ("raise KeyError('no column')", "failed in line 5 of mine.py (`raise KeyError('no column')`): KeyError"),
        ("yield 1 / 0", "failed in line 5 of mine.py (`yield 1 / 0`): ZeroDivisionError"),
        ("import sklearnn", "No module named 'sklearnn'"),
    ],
)
def test_what_is_wrong_is_said(made, tmp_path, body, expected):
    with pytest.raises(ValueError) as error:
        made(body)
    assert str(error.value).startswith("mine.py: examples()")
    assert expected in str(error.value)
    assert not (tmp_path / "examples.h5").exists()


def test_a_library_that_an_extra_brings_is_named(made, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(ValueError, match=r'scikit-learn: pip install "quasarcurves\[digits\]"'):
        made("import sklearn")
