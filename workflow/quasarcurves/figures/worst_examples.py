"""The test examples of the largest loss, drawn by the task's own function.

Caption
-------
The examples of the test set on which the final models of {optimizer} have the largest loss, at its largest size, the
worst first. Below what the task's function `draw` says stands the loss, a mean over the replicates, and in how many of
these the example is among the 5 % of the test set that are worst. Where it is among them in all, it is hard or its
target may be wrong; where in one, that model has not learnt it. Outputs are those of the replicate with the highest
loss. The table is ``worst_examples.csv``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.description import Description
from quasarcurves.figures import style
from quasarcurves.tasks import own_examples
from quasarcurves.tasks.own_file import TaskFile

_COLUMNS = 4
_SIDE = 1.75
"""Inches that a frame has."""


def draw(
    file: TaskFile, table: pd.DataFrame, inputs: np.ndarray, targets: list[np.ndarray], outputs: np.ndarray, title: str
) -> Figure:
    """Draw examples, a frame each.

    Parameters
    ----------
    file : TaskFile
        With the function `draw(axes, inputs, target, output)`.
    table : DataFrame
        Of `analysis.metrics.worst`: the (n,) examples of one optimizer.
    inputs, outputs : (n, ...) arrays
    targets : list of (n, ...) arrays
    title : str

    Raises
    ------
    TaskError
        If the function fails.
    """
    rows = -(-len(table) // _COLUMNS)
    figure = style.new_figure(style.PAGE_WIDTH, 0.4 + _SIDE * rows)
    with style.house_style():
        frames = figure.subplots(rows, _COLUMNS, squeeze=False).flat
        # examples first: of the frames none may be taken in vain
        for i, (example, axes) in enumerate(zip(table.itertuples(), frames, strict=False)):
            target = tuple(each[i] for each in targets)
            file.call("draw", axes, inputs[i], target if len(target) > 1 else target[0], outputs[i])
            _finish(axes, example)
        for axes in frames:
            axes.set_axis_off()
        figure.suptitle(title)
    return figure


def _finish(axes: Axes, example: Any) -> None:
    axes.tick_params(labelsize=7)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_fontsize(7)
    seen = f"; worst in {example.worst_in} of {example.replicates}" if example.replicates > 1 else ""
    said = f"{axes.get_title()}\n" if axes.get_title() else ""
    axes.set_title(f"{said}loss {example.loss:.3g}{seen}", fontsize=7)


def plot(worst_examples: Path, worst_arrays: Path, task: dict, described: Description, optimizer: str) -> Figure:
    """Return the figure of one optimizer from the files of `analysis.metrics.worst`."""
    table = tables.read(worst_examples)
    table = table[table["optimizer"] == optimizer]
    if table.empty:
        return style.say_only(f"{optimizer}: no final model has finite losses on the test set")
    with h5py.File(worst_arrays, "r") as file:
        inputs, *targets = (file[optimizer][name][:] for name in own_examples.names(file[optimizer]))
        outputs = file[optimizer]["outputs"][:]
    title = f"{optimizer}: the {len(table)} {described.examples} of the test set with the largest loss"
    return draw(TaskFile(task["name"]), table, inputs, targets, outputs, title)
