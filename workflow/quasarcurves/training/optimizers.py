"""Optimizers by name from a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from quasarcurves.training import optimizer_specs
from quasarcurves.training.stable_adamw import StableAdamW

_OWN = {StableAdamW.__name__: StableAdamW}


def build(spec: Mapping[str, Any], total_steps: int | None = None) -> keras.optimizers.Optimizer:
    """Build the optimizer that a specification names.

    Parameters
    ----------
    spec : mapping
        `class`, its arguments, and optionally `schedule` (see `optimizer_specs`).
    total_steps : int, optional
        Steps of the training, for schedules that decay over all of it.

    Returns
    -------
    keras.optimizers.Optimizer

    Raises
    ------
    ValueError
        If the specification is not one that Keras could build.
    """
    optimizer_specs.check(spec, "optimizer")
    arguments = {key: value for key, value in spec.items() if key not in ("class", "schedule")}
    if "schedule" in spec:
        schedule = getattr(keras.optimizers.schedules, spec["schedule"]["class"])
        arguments["learning_rate"] = schedule(**optimizer_specs.schedule_arguments(spec, total_steps))
    kind = _OWN.get(spec["class"]) or getattr(keras.optimizers, spec["class"])
    return kind(**arguments)
