"""Optimizers by name from a study; those of this library are a module each, imported when one is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import keras
import numpy as np

from quasarcurves.training import optimizer_specs, optimizer_traits
from quasarcurves.training.optimizer_values import as_keras_wants


def works_by_element(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether an optimizer's step is the same, but for rounding, however parameters are cut into tensors."""
    # averaged weights are given back tensor by tensor
    return (
        optimizer_traits.of_class(type(optimizer)).by_element and optimizer.clipnorm is None and not optimizer.use_ema
    )


def build(
    spec: Mapping[str, Any], total_steps: int | None = None, effective_step: np.ndarray | None = None
) -> keras.optimizers.Optimizer:
    """Build the optimizer that a specification names.

    Parameters
    ----------
    spec : mapping
        `class`, its arguments, and optionally `schedule` or `match` (see `optimizer_specs`).
    total_steps : int, optional
        Steps of the training, for schedules that decay over all of it.
    effective_step : (steps,) array, optional
        Median effective step of the run that this one is held to, if it is.

    Returns
    -------
    keras.optimizers.Optimizer

    Raises
    ------
    ValueError
        If the specification is not one that Keras could build, or the effective step is missing.
    """
    optimizer_specs.check(spec, "optimizer")
    arguments = as_keras_wants(optimizer_specs.class_arguments(spec))
    if "match" in spec:
        if effective_step is None:
            raise ValueError(f"optimizer: the effective step of {spec['match']!r}, which it is held to, is not given")
        arguments["effective_step"] = effective_step
    if "schedule" in spec:
        schedule = getattr(keras.optimizers.schedules, spec["schedule"]["class"])
        arguments["learning_rate"] = schedule(**as_keras_wants(optimizer_specs.schedule_arguments(spec, total_steps)))
    own = optimizer_specs.own_class(spec)
    module = import_module(own.module) if own else keras.optimizers
    return getattr(module, optimizer_specs.class_name(spec))(**arguments)
