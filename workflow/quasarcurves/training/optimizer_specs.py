"""What a study may say about optimizers, known without importing TensorFlow.

A specification is a mapping: `class` (of `keras.optimizers`, or of this library's `training.optimizers`), its
arguments, and optionally `schedule` (a class of `keras.optimizers.schedules` with its arguments) or `match` (the name
of an optimizer whose effective step this one is held to, see `optimizers.matched_adam`). Names and arguments are read
from the source of the installed Keras, so that a study is checked against the version it will run with, in
milliseconds.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from quasarcurves.training import optimizer_traits, optimizer_values
from quasarcurves.training.optimizer_values import REQUIRED
from quasarcurves.training.suggestions import nearest

_MATCHED = "MatchedAdam"
"""Class of the optimizers that `match` another one's effective step."""

_NOT_ARGUMENTS = ("class", "schedule", "match")
"""Keys of a specification that are no arguments of its class."""

_WRAPPERS = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap", "LearningRateSchedule"}
"""Classes that Keras exports beside the optimizers and schedules, but that need another object to work on."""

_UNSUPPORTED = {
    "name": "it has no effect",
    "loss_scale_factor": "a step would mean something else than in the step record",
    "gradient_accumulation_steps": "a step would mean something else than in the step record",
}
"""Arguments that are refused, and why."""


def check(spec: Mapping[str, Any], where: str) -> None:
    """Refuse a specification that Keras could not build.

    Parameters
    ----------
    spec : mapping
        The specification.
    where : str
        Its place in the study, for the message.

    Raises
    ------
    ValueError
        For an unknown class or argument, or a value of the wrong type or out of range.
    """
    if "class" not in spec:
        raise ValueError(f"{where}: 'class' is missing, expected one of {', '.join(sorted(optimizer_classes()))}")
    arguments = class_arguments(spec)
    _check_class(spec["class"], arguments, optimizer_classes(), "keras.optimizers", where)
    optimizer_values.check_together(where, arguments)
    if "schedule" in spec:
        _check_schedule(spec, f"{where}.schedule")
    if "match" in spec and (spec["class"] != "Adam" or spec.get("amsgrad") or "schedule" in spec):
        raise ValueError(f"{where}: match is for class Adam, without amsgrad and without a schedule")


def class_arguments(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a specification's class."""
    return {key: value for key, value in spec.items() if key not in _NOT_ARGUMENTS}


def class_name(spec: Mapping[str, Any]) -> str:
    """Name of the class that a specification is built with."""
    return _MATCHED if "match" in spec else spec["class"]


def own_class(spec: Mapping[str, Any]) -> optimizer_traits.OwnClass | None:
    """Class of this library that a specification is built with; None if it is one of Keras."""
    return optimizer_traits.own_classes().get(class_name(spec))


def check_match(specs: Mapping[str, Mapping[str, Any]], name: str) -> None:
    """Refuse an optimizer whose `match` names none that it could be held to.

    Parameters
    ----------
    specs : mapping of str to mapping
        All specifications by name.
    name : str
        Of the one to check.

    Raises
    ------
    ValueError
    """
    where, other = f"optimizers.{name}.match", specs[name]["match"]
    if other not in specs:
        raise ValueError(f"{where}: {other!r} is no optimizer of this study; {nearest(other, specs)}")
    if "match" in specs[other]:
        raise ValueError(f"{where}: {other!r} is itself held to another optimizer")
    if not has_effective_step(specs[other]["class"]):
        expected = ", ".join(sorted(filter(has_effective_step, optimizer_classes())))
        raise ValueError(f"{where}: {specs[other]['class']} has no effective step, expected one of {expected}")
    if specs[other].get("training") != specs[name].get("training"):
        raise ValueError(f"{where}: {other!r} is trained with other settings, expected the same `training`")


def has_effective_step(name: str) -> bool:
    """Whether a class scales each parameter's step by itself, so that there is an effective step to record."""
    return optimizer_traits.of_name(name).preconditioner is not None


def schedule_arguments(spec: Mapping[str, Any], total_steps: int | None) -> dict[str, Any]:
    """Arguments of a specification's schedule, completed.

    What the schedule needs and the study leaves out is taken from the run: `initial_learning_rate` is the optimizer's
    `learning_rate`, `decay_steps` the number of steps of the training.

    Raises
    ------
    ValueError
        If `decay_steps` is needed and `total_steps` unknown.
    """
    schedule = dict(spec["schedule"])
    needed = _signature(schedule_classes()[schedule.pop("class")], spec["schedule"]["class"])
    if "initial_learning_rate" in needed and "learning_rate" in spec:
        schedule.setdefault("initial_learning_rate", spec["learning_rate"])
    if depends_on_total_steps(spec):
        if total_steps is None:
            raise ValueError(f"schedule {spec['schedule']['class']}: decay_steps is not given, nor the number of steps")
        schedule["decay_steps"] = total_steps
    return schedule


def depends_on_total_steps(spec: Mapping[str, Any]) -> bool:
    """Whether the learning rate at a step depends on how many steps there will be."""
    schedule = spec.get("schedule")
    if schedule is None or "decay_steps" in schedule:
        return False
    return "decay_steps" in _signature(schedule_classes()[schedule["class"]], schedule["class"])


@cache
def optimizer_classes() -> dict[str, Path]:
    """Source file of each optimizer class, of the installed Keras and of this library, by name."""
    own = {name: kind.source for name, kind in optimizer_traits.own_classes().items() if kind.traits.named}
    return {**_exported_classes("optimizers/__init__.py"), **own}


@cache
def schedule_classes() -> dict[str, Path]:
    """Source file of each schedule class of the installed Keras, by name."""
    return _exported_classes("optimizers/schedules/__init__.py")


def _check_schedule(spec: Mapping[str, Any], where: str) -> None:
    schedule = spec["schedule"]
    if not isinstance(schedule, Mapping) or "class" not in schedule:
        raise ValueError(f"{where}: expected a mapping with 'class', one of {', '.join(sorted(schedule_classes()))}")
    arguments = {key: value for key, value in schedule.items() if key != "class"}
    _check_class(schedule["class"], arguments, schedule_classes(), "keras.optimizers.schedules", where)
    optimizer_values.check_together(where, arguments)
    complete = schedule_arguments(spec, total_steps=1)
    for name, default in _signature(schedule_classes()[schedule["class"]], schedule["class"]).items():
        if default is REQUIRED and name not in complete:
            raise ValueError(f"{where}: {schedule['class']} needs the argument {name!r}")


def _check_class(name: Any, arguments: Mapping[str, Any], classes: Mapping[str, Path], module: str, where: str) -> None:
    if name not in classes:
        raise ValueError(f"{where}: {name!r} is no class of {module}; {nearest(name, classes)}")
    signature = _signature(classes[name], name)
    for key, value in arguments.items():
        if key not in signature:
            if key in _UNSUPPORTED and key in _full_signature(classes[name], name):
                raise ValueError(f"{where}: {name}'s {key} is not supported: {_UNSUPPORTED[key]}")
            raise ValueError(f"{where}: {name} has no argument {key!r}; {nearest(key, signature)}")
        optimizer_values.check(f"{where}.{key}", key, value, signature[key])


def _exported_classes(face: str) -> dict[str, Path]:
    keras = find_spec("keras")
    if keras is None or keras.origin is None:
        raise ValueError("Keras is not installed where the study is read: its optimizers cannot be checked")
    root = Path(keras.origin).parent
    classes = {}
    for node in ast.parse((root / face).read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                source = root.parent / Path(*node.module.split(".")).with_suffix(".py")
                if alias.name[0].isupper() and alias.name not in _WRAPPERS and source.is_file():
                    classes[alias.name] = source
    return classes


def _signature(source: Path, name: str) -> dict[str, Any]:
    """Return the arguments of a class that a study may give, with their defaults."""
    return {key: value for key, value in _full_signature(source, name).items() if key not in _UNSUPPORTED}


@cache
def _full_signature(source: Path, name: str) -> dict[str, Any]:
    """Return the arguments of a class's constructor with their defaults, as written in its source."""
    tree = ast.parse(source.read_text())
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name).body
    init = next(node for node in body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    names = [argument.arg for argument in init.args.args[1:]]
    defaults = [_literal(node) for node in init.args.defaults]
    padded = [REQUIRED] * (len(names) - len(defaults)) + defaults
    return dict(zip(names, padded, strict=True))


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
