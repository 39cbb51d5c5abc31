"""Adam held at the effective step of another run: do spikes come from the size of the step, or its making?"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from quasarcurves.training.flat import flat, quantiles
from quasarcurves.training.optimizer_traits import Traits
from quasarcurves.training.preconditioners import AdamPreconditioner
from quasarcurves.training.step import Step


class MatchedAdam(keras.optimizers.Adam):
    """Adam whose learning rate makes the median effective step that of a record, at every step.

    The median is over the sample of parameters that the step record uses. The mean would not do: parameters without a
    gradient (a bias before batch normalisation) have the multiplier learning_rate / epsilon, which dominates it.

    Parameters
    ----------
    effective_step : (steps,) array
        Median effective step to hold to; its last value after its end.
    **arguments
        Those of Adam; `learning_rate` is what the optimizer starts with, and replaced in its first step.
    """

    traits = Traits(
        by_element=True, momentum="mean", preconditioner="MatchedAdamPreconditioner", beta_2=0.999, named=False
    )

    def __init__(self, effective_step: np.ndarray, **arguments: object) -> None:
        super().__init__(**arguments)
        self._record = np.asarray(effective_step, np.float32)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Set the learning rate for these gradients, and apply them."""
        self.learning_rate = self._matching_rate(grads)
        super().apply(grads, trainable_variables)

    def _matching_rate(self, grads: Any) -> Any:
        place = ops.minimum(ops.convert_to_tensor(self.iterations), len(self._record) - 1)
        t = ops.cast(self.iterations + 1, "float32")
        v, gradient = flat(self._velocities), flat(self._clip_gradients(grads))
        v += (ops.square(gradient) - v) * (1 - self.beta_2)
        correction = ops.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        at_rate_one = quantiles(correction / (ops.sqrt(v) + self.epsilon), [50])[0]
        return ops.take(self._record, place) / at_rate_one


class MatchedAdamPreconditioner(AdamPreconditioner):
    """That of Adam; the learning rate is the one that the step itself has set."""

    def multiplier(self, step: Step) -> Any:
        """Return the multiplier of m in a step; (n_parameters,)."""
        return self.optimizer.learning_rate / self.correction(step.t) / self.denominator()
