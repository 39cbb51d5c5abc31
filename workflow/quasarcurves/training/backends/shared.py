"""What the backends have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from keras import ops

from quasarcurves.training.measures import Measure
from quasarcurves.training.plan import Learner, Plan
from quasarcurves.training.preconditioners import preconditioner_of
from quasarcurves.training.step import Step

VALIDATION_ROWS = 1024
"""Examples validated at a time."""


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
