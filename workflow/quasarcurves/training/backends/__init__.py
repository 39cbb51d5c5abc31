"""The compiled parts of a training: one module for each backend of Keras. All else is written with `keras.ops`.

Each has the same functions:

set_up(threads)
    Before the first operation: use exactly so many threads, and no more of a GPU's memory than is needed.
threads()
    How many there are.
compile_steps(learner, data, measures, most)
    A block of at most `most` steps on `data`: the model's input, then the targets that `learner.loss` takes, each a
    (n, ...) array. Returns a function of (steps, batch) int32 indices, which returns losses by part (steps, parts) and
    measures (steps, measures).
compile_validation(learner, validation)
    Returns a function of whether outputs are asked for. It returns the mean loss over examples, batch normalisation as
    in inference, and the model's outputs for them, (n, ...), or None. A program of its own computes the loss from the
    outputs, so that its bits do not depend on what is asked for.
compile_derivatives(learner)
    Returns three functions (`Derivatives`) of some examples, with batch normalisation as in training: the gradient of
    their loss, its Hessian's product with a vector, (n_parameters,) each, and the model's outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import keras

NAMES = ("tensorflow", "jax")


def active() -> ModuleType:
    """Return the module of the backend that Keras was started with (environment variable KERAS_BACKEND).

    Raises
    ------
    RuntimeError
        If there is none for it.
    """
    name = keras.backend.backend()
    if name not in NAMES:
        raise RuntimeError(f"Keras runs on {name!r}, expected one of {', '.join(NAMES)}")
    return import_module(f"{__name__}.{name}")


def pack(groups: Sequence[Sequence[Any]]) -> Any:
    """Compile trainings into one program, by JAX only; trainings with the same optimizer stand together.

    Parameters
    ----------
    groups : sequence of sequences of loop.Trainer

    Returns
    -------
    packed.Packed
    """
    return import_module(f"{__name__}.packed").Packed(groups)
