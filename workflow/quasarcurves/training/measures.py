"""What is recorded of every optimizer step: one class per quantity, and the table of all at the end.

A new measure is a class, in a module of its own or here, and a line in `MEASURES`.

All work on the flat row of all parameters rather than tensor by tensor: a network has few parameters and many small
tensors, and it is the number of operations that costs time.
"""

from __future__ import annotations

from typing import Any, Protocol

import keras
from keras import ops

from quasarcurves.training.flat import size
from quasarcurves.training.preconditioners import (
    AdamPreconditioner,
    AdaptivePreconditioner,
    DiagonalPreconditioner,
    Preconditioner,
    preconditioner_of,
)
from quasarcurves.training.step import PERCENTS, Step

_LEAST_PAST = 1e-6
"""Smallest share of a mean square that float32 can tell to come from before the step."""


class Measure(Protocol):
    """A number recorded per step.

    Attributes
    ----------
    name : str
        Name of its column in the step record.
    needs : type
        Kind of preconditioner that an optimizer must have for the measure to exist.
    """

    @property
    def name(self) -> str:
        """Name of its column."""

    @property
    def needs(self) -> type[Preconditioner]:
        """Kind of preconditioner."""

    def __call__(self, step: Step) -> Any:
        """Return the measure's value for a step; scalar float32 tensor."""


class Loss:
    """Mean loss of the batch, before the update."""

    name, needs = "loss", Preconditioner

    def __call__(self, step: Step) -> Any:
        """Return the loss."""
        return step.loss


class GradientNorm:
    """Euclidean norm of the gradient of all parameters together, before any clipping."""

    name, needs = "gradient_norm", Preconditioner

    def __call__(self, step: Step) -> Any:
        """Return the norm."""
        return _norm(step.raw_gradient)


class UpdateNorm:
    """Euclidean norm of what the weights really moved by: decay, clipping, constraints and rounding included."""

    name, needs = "update_norm", Preconditioner

    def __call__(self, step: Step) -> Any:
        """Return the norm."""
        return _norm(step.after - step.before)


class EffectiveStep:
    """Mean over all parameters of the multiplier that Keras really applied to m (`preconditioners`)."""

    name, needs = "effective_step_mean", DiagonalPreconditioner

    def __call__(self, step: Step) -> Any:
        """Return the mean."""
        return ops.mean(step.multiplier)


class EffectiveStepQuantile:
    """A quantile of the effective step over a fixed random sample of 512 parameters (all, if there are fewer).

    Parameters
    ----------
    percent : int
        One of PERCENTS.
    """

    needs = DiagonalPreconditioner

    def __init__(self, percent: int) -> None:
        self.name, self._place = f"effective_step_q{percent:02d}", PERCENTS.index(percent)

    def __call__(self, step: Step) -> Any:
        """Return the quantile, linear between the two nearest."""
        return step.multiplier_quantiles[self._place]


class RmsWorst:
    """Largest over the model's tensors of RMS_t = sqrt(mean(g^2 / max(v, epsilon^2))), the present gradient in v.

    Wortsman et al. (2023), arXiv:2304.13013, section 3.4: above 1 the gradient has outgrown what its running mean
    square knows of it. v is bias-corrected where the optimizer corrects it.
    """

    name, needs = "rms_worst", AdaptivePreconditioner

    def __call__(self, step: Step) -> Any:
        """Return the largest."""
        return ops.max(step.rms)


class RmsMean:
    """Mean over the model's tensors of RMS_t (see `RmsWorst`); one without gradient counts with 0."""

    name, needs = "rms_mean", AdaptivePreconditioner

    def __call__(self, step: Step) -> Any:
        """Return the mean."""
        return ops.mean(step.rms)


class SquareOverPast:
    """Largest over the weights of g^2 / v, with v its running mean square before the step, bias-corrected.

    Huang et al. (2025), arXiv:2501.06842 (SPAM), equation 1: a spike of a single gradient is 5000 or more. With the
    gradient already in v it could not exceed 1 / (1 - b2). AMSGrad's maximum is not asked: it is no mean of the past. A
    v below epsilon^2 is rounding and counts as that.
    """

    name, needs = "square_over_past", AdamPreconditioner

    def __call__(self, step: Step) -> Any:
        """Return the largest; 0 at the first step, which has no past."""
        preconditioner, b2 = step.preconditioner, step.optimizer.beta_2
        floor = preconditioner.v_correction(step.t) * preconditioner.floor
        newest = ops.max(ops.square(step.gradient) / ops.maximum(preconditioner.row("_velocities"), floor))
        # v after the step is b2 times v before it and 1 - b2 times g^2: g^2 / v of before grows with that of after
        past = ops.maximum(1 - (1 - b2) * newest, _LEAST_PAST)
        return preconditioner.v_correction(step.t - 1) * b2 * newest / past


class LastLayerNorm:
    """Euclidean norm of the trainable weights of the model's last layer, after the update.

    Its cyclic growth is the sign of the slingshot effect; Thilak et al. (2022), arXiv:2206.04817.
    """

    name, needs = "last_layer_norm", Preconditioner

    def __call__(self, step: Step) -> Any:
        """Return the norm."""
        last = next(layer for layer in reversed(step.model.layers) if layer.trainable_variables)
        return _norm(step.after[-sum(map(size, last.trainable_variables)) :])


MEASURES: tuple[Measure, ...] = (
    Loss(),
    GradientNorm(),
    UpdateNorm(),
    LastLayerNorm(),
    EffectiveStep(),
    *(EffectiveStepQuantile(percent) for percent in PERCENTS),
    RmsWorst(),
    RmsMean(),
    SquareOverPast(),
)
"""All measures, in the order in which they are computed."""


def step_record(optimizer: keras.optimizers.Optimizer) -> tuple[Measure, ...]:
    """Return the measures that every run with an optimizer records; those that it does not have are left out."""
    preconditioner = preconditioner_of(optimizer)
    return tuple(measure for measure in MEASURES if isinstance(preconditioner, measure.needs))


def _norm(row: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(row)))
