"""What is recorded of every optimizer step: one class per quantity, so that a new one is one class.

All work on the flat row of all parameters rather than tensor by tensor: a network has few parameters and many small
tensors, and it is the number of operations that costs time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from quasarcurves.training.rows import flat, quantiles
from quasarcurves.training.scaling import AdaptiveScaling, Scaling, scaling

PERCENTS = (1, 50, 99)
"""Quantiles of the effective step that are recorded."""


@dataclass(frozen=True)
class Step:
    """One optimizer step, as the compiled loop sees it: symbolic tensors, after the weights were updated.

    Parameters
    ----------
    loss : scalar tensor
        Mean loss of the batch, before the update.
    gradients : sequence of tensors
        In the order of `model.trainable_variables`, as computed: before any clipping.
    model, optimizer
        Those being trained.
    learning_rate : scalar tensor
        That of this step.
    before : (n_parameters,) tensor
        All trainable weights before the update.
    """

    loss: Any
    gradients: Sequence[Any]
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    learning_rate: Any
    before: Any

    @cached_property
    def after(self) -> tf.Tensor:
        """All trainable weights after the update; (n_parameters,)."""
        return flat(self.model.trainable_variables)

    @cached_property
    def t(self) -> tf.Tensor:
        """Number of the step, from 1."""
        return tf.cast(self.optimizer.iterations, tf.float32)

    @cached_property
    def raw_gradient(self) -> tf.Tensor:
        """All gradients before any clipping; (n_parameters,)."""
        return flat(self.gradients)

    @cached_property
    def gradient(self) -> tf.Tensor:
        """All gradients as they enter the moments: clipped if the optimizer clips; (n_parameters,)."""
        clipped = self.optimizer._clip_gradients(self.gradients)
        return self.raw_gradient if clipped is self.gradients else flat(clipped)

    @cached_property
    def decayed(self) -> tf.Tensor:
        """All trainable weights before the update but after the weight decay that goes before it."""
        decay = self.optimizer.weight_decay
        return self.before if decay is None else self.before * (1 - decay * self.learning_rate)

    @cached_property
    def scaling(self) -> Scaling:
        """How the optimizer scales the step."""
        return scaling(self.optimizer)

    @cached_property
    def multiplier(self) -> tf.Tensor:
        """Multiplier of m; (n_parameters,)."""
        return self.scaling.multiplier(self)

    @cached_property
    def multiplier_quantiles(self) -> tf.Tensor:
        """Quantiles of the multiplier over a fixed random sample of the parameters; (PERCENTS,)."""
        return quantiles(self.multiplier, PERCENTS)

    @cached_property
    def rms(self) -> tf.Tensor:
        """RMS_t of each tensor; (tensors,)."""
        # v / c for the corrected v, with c taken out of the mean
        c, v = self.scaling.start(self.t), self.scaling.mean_square()
        ratio = tf.square(self.gradient) / tf.maximum(v, c * self.scaling.floor)
        return tf.sqrt(c * self.tensor_means(ratio))

    def tensor_sums(self, row: tf.Tensor) -> tf.Tensor:
        """Add up a row over each tensor of the model; (tensors,)."""
        return tf.stack([tf.reduce_sum(part) for part in tf.split(row, self._sizes)])

    def tensor_means(self, row: tf.Tensor) -> tf.Tensor:
        """Average a row over each tensor of the model; (tensors,)."""
        return self.tensor_sums(row) / np.array(self._sizes, np.float32)

    def spread(self, values: tf.Tensor) -> tf.Tensor:
        """Give every parameter the value of its tensor; (n_parameters,)."""
        return tf.repeat(values, self._sizes)

    @cached_property
    def _sizes(self) -> list[int]:
        return [gradient.shape.num_elements() for gradient in self.gradients]


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


class GradientNorm:
    """Euclidean norm of the gradient of all parameters together, before any clipping."""

    name = "gradient_norm"

    def __call__(self, step: Step) -> Any:
        """Give the norm."""
        return _norm(step.raw_gradient)


class UpdateNorm:
    """Euclidean norm of what the weights really moved by: decay, clipping, constraints and rounding included."""

    name = "update_norm"

    def __call__(self, step: Step) -> Any:
        """Give the norm."""
        return _norm(step.after - step.before)


class EffectiveStep:
    """Mean over all parameters of the multiplier that Keras really applied to m (`scaling`)."""

    name = "effective_step_mean"

    def __call__(self, step: Step) -> Any:
        """Give the mean."""
        return tf.reduce_mean(step.multiplier)


class EffectiveStepQuantile:
    """A quantile of the effective step over a fixed random sample of 512 parameters (all, if there are fewer).

    Parameters
    ----------
    percent : int
        One of PERCENTS.
    """

    def __init__(self, percent: int) -> None:
        self.name, self._place = f"effective_step_q{percent:02d}", PERCENTS.index(percent)

    def __call__(self, step: Step) -> Any:
        """Give the quantile, linear between the two nearest."""
        return step.multiplier_quantiles[self._place]


class RmsWorst:
    """Largest over the model's tensors of RMS_t = sqrt(mean(g^2 / max(v, epsilon^2))), the present gradient in v.

    Wortsman et al. (2023), arXiv:2304.13013, section 3.4: above 1 the gradient has outgrown what its running mean
    square knows of it. v is corrected for its start at zero where the optimizer does so.
    """

    name = "rms_worst"

    def __call__(self, step: Step) -> Any:
        """Give the largest."""
        return tf.reduce_max(step.rms)


class RmsMean:
    """Mean over the model's tensors of RMS_t (see `RmsWorst`)."""

    name = "rms_mean"

    def __call__(self, step: Step) -> Any:
        """Give the mean."""
        return tf.reduce_mean(step.rms)


class LastLayerNorm:
    """Euclidean norm of the trainable weights of the model's last layer, after the update.

    Its cyclic growth is the sign of the slingshot effect; Thilak et al. (2022), arXiv:2206.04817.
    """

    name = "last_layer_norm"

    def __call__(self, step: Step) -> Any:
        """Give the norm."""
        last = next(layer for layer in reversed(step.model.layers) if layer.trainable_variables)
        return _norm(flat(last.trainable_variables))


def step_record(optimizer: keras.optimizers.Optimizer) -> tuple[Measure, ...]:
    """Give the measures that every run with an optimizer records; those that it does not have are left out."""
    measures: list[Measure] = [Loss(), GradientNorm(), UpdateNorm(), LastLayerNorm()]
    kind = scaling(optimizer)
    if type(kind) is not Scaling:
        measures += [EffectiveStep(), *(EffectiveStepQuantile(percent) for percent in PERCENTS)]
    if isinstance(kind, AdaptiveScaling):
        measures += [RmsWorst(), RmsMean()]
    return tuple(measures)


def _norm(row: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(2 * tf.nn.l2_loss(row))
