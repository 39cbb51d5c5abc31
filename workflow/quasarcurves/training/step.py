"""One optimizer step, with the quantities that several measures share, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from quasarcurves.training.flat import cut, flat, quantiles, size

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
        Of `weights`, as computed: before any clipping.
    model, optimizer
        Those being trained.
    weights : sequence of variables
        What the optimizer updates: the model's trainable variables, or one row of them all.
    learning_rate : scalar tensor
        That of this step.
    before : (n_parameters,) tensor
        All trainable weights before the update.
    preconditioner : preconditioners.Preconditioner
        That of the optimizer; made for this step.
    """

    loss: Any
    gradients: Sequence[Any]
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    weights: Sequence[keras.Variable]
    learning_rate: Any
    before: Any
    preconditioner: Any

    @cached_property
    def after(self) -> Any:
        """All trainable weights after the update; (n_parameters,)."""
        return flat(self.weights)

    @cached_property
    def t(self) -> Any:
        """Number of the step, from 1."""
        return ops.cast(self.optimizer.iterations, "float32")

    @cached_property
    def raw_gradient(self) -> Any:
        """All gradients before any clipping; (n_parameters,)."""
        return flat(self.gradients)

    @cached_property
    def gradient(self) -> Any:
        """All gradients as the running means get them: clipped if the optimizer clips; (n_parameters,)."""
        clipped = self.optimizer._clip_gradients(self.gradients)
        return self.raw_gradient if clipped is self.gradients else flat(clipped)

    @cached_property
    def decayed(self) -> Any:
        """All trainable weights after the weight decay, which comes before the update; (n_parameters,)."""
        decay = self.optimizer.weight_decay
        return self.before if decay is None else self.before * (1 - decay * self.learning_rate)

    @cached_property
    def multiplier(self) -> Any:
        """Multiplier of m; (n_parameters,)."""
        return self.preconditioner.multiplier(self)

    @cached_property
    def multiplier_quantiles(self) -> Any:
        """Quantiles of the multiplier over a fixed random sample of the parameters; (PERCENTS,)."""
        return quantiles(self.multiplier, PERCENTS)

    @cached_property
    def rms(self) -> Any:
        """RMS_t of each tensor; (tensors,)."""
        # the corrected v is v / c; c is taken out of the mean
        c, v = self.preconditioner.v_correction(self.t), self.preconditioner.mean_square()
        ratio = ops.square(self.gradient) / ops.maximum(v, c * self.preconditioner.floor)
        return ops.sqrt(c * self.tensor_means(ratio))

    def tensor_sums(self, row: Any) -> Any:
        """Add up a row over each tensor of the model; (tensors,)."""
        return ops.stack([ops.sum(part) for part in cut(row, self._sizes)])

    def tensor_means(self, row: Any) -> Any:
        """Average a row over each tensor of the model; (tensors,)."""
        return self.tensor_sums(row) / np.array(self._sizes, np.float32)

    def spread(self, values: Any) -> Any:
        """Repeat the value of each tensor, (tensors,), for all its parameters; (n_parameters,)."""
        return ops.repeat(values, np.array(self._sizes))

    @cached_property
    def _sizes(self) -> list[int]:
        return [size(variable) for variable in self.model.trainable_variables]
