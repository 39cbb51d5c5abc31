"""Adam whose mean square of the gradient is held: what a replay of a training goes on with."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from quasarcurves.training.optimizer_traits import Traits


class HeldAdam(keras.optimizers.Adam):
    """Adam that never updates v; its bias correction goes on.

    It starts from the state of another training: with v = 0, as after it is built, a step would be endless.
    """

    # nothing but the loss is recorded of its steps, so that nobody asks for its preconditioner
    traits = Traits(by_element=True, momentum="mean", beta_2=0.999, named=False)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take Adam's step (Kingma & Ba 2015, arXiv:1412.6980, end of section 2) without the update of v."""
        place = self._get_variable_index(variable)
        m, v = self._momentums[place], self._velocities[place]
        t = ops.cast(self.iterations + 1, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype) * ops.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        m.assign(m + (ops.cast(gradient, variable.dtype) - m) * (1 - self.beta_1))
        variable.assign(variable - rate * m / (ops.sqrt(v) + self.epsilon))
