"""What is recorded of every optimizer step: one class per quantity, so that a new one is one class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras


@dataclass(frozen=True)
class Step:
    """One optimizer step, as the compiled loop sees it: symbolic tensors, after the weights were updated.

    Parameters
    ----------
    loss : scalar tensor
        Mean loss of the batch, before the update.
    gradients : sequence of tensors
        In the order of `model.trainable_variables`.
    model, optimizer
        Those being trained.
    """

    loss: Any
    gradients: Sequence[Any]
    model: keras.Model
    optimizer: keras.optimizers.Optimizer


class Measure(Protocol):
    """A number recorded per step.

    Attributes
    ----------
    name : str
        Name of its column in the step record.
    """

    name: str

    def __call__(self, step: Step) -> Any:
        """Give the measure's value for a step; scalar float32 tensor."""


class Loss:
    """Mean loss of the batch, before the update."""

    name = "loss"

    def __call__(self, step: Step) -> Any:
        """Give the loss."""
        return step.loss


STEP_RECORD: tuple[Measure, ...] = (Loss(),)
"""The measures that every run records."""
