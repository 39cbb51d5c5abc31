"""What the backends have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from quasarcurves.training.measures import Measure
from quasarcurves.training.plan import Learner, Plan
from quasarcurves.training.preconditioners import preconditioner_of
from quasarcurves.training.step import Step

VALIDATION_ROWS = 1024
"""Examples validated at a time."""


Validated = tuple[float, np.ndarray | None]
"""Mean loss over the validation examples, and the model's outputs for them, (n, ...), if they were asked for."""


@dataclass(frozen=True)
class Derivatives:
    """Compiled functions of some examples, the model's input and then the targets, where a training stands.

    Batch normalisation is as in training, arithmetic in float32, and the model is not changed.

    Parameters
    ----------
    gradient : callable
        examples -> (n_parameters,) gradient of their mean loss.
    product : callable
        examples, (n_parameters,) float32 vector -> (n_parameters,) product of the Hessian of their mean loss with it.
    outputs : callable
        examples -> the model's outputs.
    """

    gradient: Callable[[Sequence[Any]], Any]
    product: Callable[[Sequence[Any], Any], Any]
    outputs: Callable[[Sequence[Any]], Any]


class Training(Protocol):
    """What a program needs to know of a training; see `loop.Trainer`."""

    learner: Learner
    plan: Plan
    data: Sequence[np.ndarray]
    validation: Sequence[np.ndarray] | None
    measures: Sequence[Measure]


def update(
    learner: Learner, measures: Sequence[Measure], loss: Any, gradients: Sequence[Any], before: Any
) -> tuple[Any, Step]:
    """Let the optimizer take a step, and measure it.

    Parameters
    ----------
    learner : Learner
    measures : sequence of Measure
    loss : scalar tensor
        Before the step.
    gradients : sequence of tensors
        Of `learner.weights`.
    before : (n_parameters,) tensor
        All trainable weights.

    Returns
    -------
    values : (measures,) float32 tensor
    step : Step
    """
    optimizer, weights = learner.optimizer, learner.weights
    rate = ops.convert_to_tensor(optimizer.learning_rate)
    optimizer.apply(gradients, weights)
    step = Step(loss, gradients, learner.model, optimizer, weights, rate, before, preconditioner_of(optimizer))
    return ops.stack([ops.cast(measure(step), "float32") for measure in measures]), step


def validated(
    examples: Sequence[np.ndarray], outputs: Callable[[Any], Any], summed: Callable[..., Any], asked: bool
) -> Validated:
    """Pass the validation examples through a model, so many at a time that they fit into memory.

    Parameters
    ----------
    examples : sequence of (n, ...) arrays
        The model's input, then the targets.
    outputs : callable
        input -> the model's outputs, as in inference.
    summed : callable
        outputs, targets -> their summed loss.
    asked : bool
        Whether the outputs are asked for.
    """
    n, total, kept = len(examples[0]), 0.0, []
    for start in range(0, n, VALIDATION_ROWS):
        x, *targets = (array[start : start + VALIDATION_ROWS] for array in examples)
        found = outputs(x)
        total += float(summed(found, *targets))
        if asked:
            kept.append(np.asarray(found))
    return total / n, np.concatenate(kept) if asked else None


def copy_in_float32(model: keras.Model, class_of: Callable[[keras.Layer], type[keras.Layer]]) -> keras.Model:
    """Return a model that computes as another does, in float32: curvature is a small difference.

    A model that Keras cannot copy layer by layer, such as one that is a class, stands for itself if it is in float32.

    Parameters
    ----------
    model : keras.Model
    class_of : callable
        layer -> class of its copy.

    Raises
    ------
    ValueError
        If it can neither be copied nor stand for itself.
    """

    def copied(layer: keras.Layer) -> keras.Layer:
        return class_of(layer).from_config({**layer.get_config(), "dtype": "float32"})

    try:
        return keras.models.clone_model(model, clone_function=copied, recursive=True)
    except Exception as error:  # whatever the constructor of a layer of one's own raises
        computed = sorted({layer.compute_dtype for layer in model._flatten_layers()})
        if computed == ["float32"]:
            return model
        raise ValueError(
            f"curvature is measured in float32, and the model computes in {', '.join(computed)}; expected layers that "
            f"Keras can copy by their get_config(), or training.precision float32, found: {str(error)[:300]}"
        ) from error
