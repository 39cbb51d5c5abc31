"""Tasks: what a study trains on what. QuasarNET is the usual one; a file of plain functions is any other.

A step asks here for the part of a task that it uses, and each part is a module of its own that is imported by name, so
that preparing examples needs no Keras and a change of one part reruns no step that uses another.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from quasarcurves.tasks.protocol import Evaluator, Task
from quasarcurves.training.run_settings import TaskSettings

USUAL = "quasarnet"
"""The task of a study that names none."""

_MODULES = {
    "prepare": ("quasarcurves.spectra.prepare", "quasarcurves.tasks.own_examples"),
    "train": ("quasarcurves.quasarnet.task", "quasarcurves.tasks.own_task"),
    "evaluate": ("quasarcurves.quasarnet.evaluation", "quasarcurves.tasks.own_evaluation"),
}
"""Modules of each part: of the usual task, and of task files."""


def module_of(part: str, task: TaskSettings | None) -> str:
    """Return the name of the module that is a part of a task: `prepare`, `train` or `evaluate`."""
    return _MODULES[part][task is not None]


def prepare(task: TaskSettings | None, data: Mapping[str, Any], path: Path) -> None:
    """Write the examples of a study's `data` block to an HDF5 file, which has `target_id` besides what the task needs.

    Raises
    ------
    ValueError
        If there is no usable example, or the task's own functions do not do what they should.
    """
    import_module(module_of("prepare", task)).prepare(*(() if task is None else (task,)), data, path)


def trained(task: TaskSettings | None, network: Mapping[str, Any]) -> Task:
    """Return what is trained, with the settings of a study's `network` block; needs Keras."""
    return import_module(module_of("train", task)).trained(task, network)


def evaluator(task: TaskSettings | None, network: Mapping[str, Any], model: Path, threads: int) -> Evaluator:
    """Return what applies a model file to examples."""
    return import_module(module_of("evaluate", task)).evaluator(task, network, model, threads)
