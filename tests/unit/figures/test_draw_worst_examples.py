"""The worst examples of a task file: drawn by its own function, legible, and its errors named."""

import h5py
import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis.metrics import worst
from quasarcurves.analysis.metrics.description import Description
from quasarcurves.figures import worst_examples
from quasarcurves.tasks.own_file import TaskError

FILE = """
def draw(axes, inputs, target, output):
    axes.plot(inputs)
    axes.set_title(f"{target:.1f}, not {output[0]:.1f}")
"""
WORDS = Description(example="curve", examples="curves")


@pytest.fixture
def paths(tmp_path):
    """The files of a study of one optimizer that has models and one that has none."""
    rng, n = np.random.default_rng(0), 10
    rows = {name: np.arange(n) for name in worst.COLUMNS}
    rows |= {"optimizer": "adam", "loss": np.linspace(9, 1, n), "worst_in": 2, "replicates": 3}
    pd.DataFrame(rows).to_csv(tmp_path / "worst.csv", index=False)
    with h5py.File(tmp_path / "worst.h5", "w") as file:
        file["adam/inputs"], file["adam/targets"] = rng.random((n, 30)), rng.random(n)
        file["adam/outputs"] = rng.random((n, 1))
    return tmp_path / "worst.csv", tmp_path / "worst.h5"


def plotted(paths, folder, text=FILE, optimizer="adam"):
    path = folder / "mine.py"
    path.write_text(text)
    return worst_examples.plot(*paths, {"name": str(path)}, WORDS, optimizer)


def test_every_example_has_a_frame_with_its_loss(paths, tmp_path, legible):
    figure = plotted(paths, tmp_path)
    words = legible(figure)
    assert "adam: the 10 curves of the test set with the largest loss" in words
    assert "loss 9; worst in 2 of 3" in words and words.count(", not ") == 10
    assert sum(axes.axison for axes in figure.axes) == 10


def test_several_targets_come_as_a_tuple(paths, tmp_path):
    with h5py.File(paths[1], "a") as file:
        file.move("adam/targets", "adam/targets_0")
        file["adam/targets_1"] = file["adam/targets_0"][:] + 5
    text = FILE.replace("{target:.1f}", "{target[1] - target[0]:.1f}")
    titles = [axes.get_title() for axes in plotted(paths, tmp_path, text).axes if axes.axison]
    assert all(title.startswith("5.0, not") for title in titles)


def test_no_models_are_said(paths, tmp_path, legible):
    assert "sgd: no final model has finite losses" in legible(plotted(paths, tmp_path, optimizer="sgd"))


def test_an_error_of_the_function_is_named(paths, tmp_path):
    with pytest.raises(TaskError, match=r"draw\(\) failed in line 3 of mine.py.*ZeroDivisionError"):
        plotted(paths, tmp_path, FILE.replace("axes.plot(inputs)", "1 / 0"))
