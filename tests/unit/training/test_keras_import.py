"""Keras is imported without packages that it does not need, and these can be used afterwards."""

import gc
import json
import os
import subprocess
import sys
import weakref

import pytest

from quasarcurves.training import keras_import

PROGRAM = """
import json, sys
from quasarcurves.training import keras_import
keras_import.import_keras()
loaded = [name for name in ("tensorflow", "keras", "matplotlib", "pandas", "jax") if name in sys.modules]
import matplotlib.figure, pandas
print(json.dumps([loaded, pandas.DataFrame({"a": [1, 2]})["a"].sum().item(), matplotlib.figure.Figure().dpi]))
"""


@pytest.mark.slow
def test_keras_comes_alone_and_what_was_hidden_can_be_imported_later():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [["tensorflow", "keras"], 3, 100]


def test_hidden_packages_cannot_be_imported_and_come_back(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with keras_import.hidden_packages("colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_what_has_been_imported_before_stays():
    with keras_import.hidden_packages("json"):
        assert sys.modules["json"] is json
    assert sys.modules["json"] is json


def test_they_come_back_after_a_fault(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with pytest.raises(KeyError), keras_import.hidden_packages("colorsys"):
        raise KeyError
    assert "colorsys" not in sys.modules


def test_what_is_made_within_a_block_is_never_collected():
    class Node:
        pass

    with keras_import.kept_for_good():
        assert not gc.isenabled()
        node = Node()
        node.itself = node
        left = weakref.ref(node)
        del node
    assert gc.isenabled()
    gc.collect()
    assert left() is not None, "a later collection has looked at it"
    after = Node()
    after.itself = after
    left = weakref.ref(after)
    del after
    gc.collect()
    assert left() is None, "what comes later is collected as ever"


def test_collections_go_on_after_a_fault_and_stay_off_where_they_were():
    with pytest.raises(KeyError), keras_import.kept_for_good():
        raise KeyError
    assert gc.isenabled()
    gc.disable()
    try:
        with keras_import.kept_for_good():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


STEPS = 12

STEPS_PROGRAM = f"""
from quasarcurves.training import keras_import
keras_import.import_keras()
import tensorflow as tf
x, kernel = tf.ones((4, 1, 40, 16)), tf.Variable(tf.ones((1, 5, 16, 16)))
for _ in range({STEPS}):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.nn.conv2d(x, kernel, 2, "VALID") ** 2)
    kernel.assign_sub(1e-3 * tape.gradient(loss, kernel))
"""


@pytest.mark.slow
@pytest.mark.parametrize("said", [None, "true"])
def test_convolutions_backward_are_set_up_once_unless_the_user_says_otherwise(said):
    """By oneDNN's own report. Where TensorFlow sets them up at each step, this test has to see it."""
    name = "TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE"
    environment = {key: value for key, value in os.environ.items() if key != name} | {"ONEDNN_VERBOSE": "2"}
    environment |= {name: said} if said else {}
    result = subprocess.run(
        [sys.executable, "-c", STEPS_PROGRAM], capture_output=True, text=True, check=True, env=environment
    )
    backward = [line.split(",") for line in result.stdout.splitlines() if "backward_weights" in line]
    assert sum("exec" in words for words in backward) == STEPS
    made = sum(any(word.startswith("create") for word in words) for words in backward)
    assert made == (STEPS if said else 1)


@pytest.mark.slow
def test_a_keras_json_of_the_user_changes_nothing_and_none_is_written(tmp_path):
    kept = tmp_path / ".keras" / "keras.json"
    kept.parent.mkdir()
    text = '{"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first", "backend": "torch"}'
    kept.write_text(text)
    program = (
        "from quasarcurves.training import keras_import\nkeras_import.import_keras()\n"
        "from keras import config\nprint(config.floatx(), config.epsilon(), config.image_data_format())"
    )
    for home in (tmp_path, tmp_path / "empty"):
        environment = {**os.environ, "HOME": str(home), "KERAS_BACKEND": "numpy"}
        command = [sys.executable, "-c", program]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert result.stdout == "float32 1e-07 channels_last\n", result.stderr
    assert kept.read_text() == text
    assert not (tmp_path / "empty").exists()
