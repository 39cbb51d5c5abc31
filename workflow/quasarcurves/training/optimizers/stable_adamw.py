"""StableAdamW: AdamW whose step is shortened wherever the gradient outgrows its running mean square.

Wortsman et al. (2023), arXiv:2304.13013, algorithm 2.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from quasarcurves.training.optimizer_traits import Traits
from quasarcurves.training.preconditioners import CorrectedPreconditioner
from quasarcurves.training.step import Step


@keras.saving.register_keras_serializable(package="quasarcurves")
class StableAdamW(keras.optimizers.AdamW):
    """AdamW with update clipping.

    For each tensor, with m and v bias-corrected (which is what the paper's time-dependent betas do):
    RMS_t = sqrt(mean(g^2 / max(v, epsilon^2))), eta = learning_rate / max(1, RMS_t), and
    w <- w - eta weight_decay w - eta m / (sqrt(v) + epsilon). Differs from AdamW of Keras also in that epsilon is
    added to the corrected sqrt(v), and that the decay is shortened together with the step, both as in the paper.

    Parameters
    ----------
    learning_rate, weight_decay, beta_1, beta_2, epsilon : float
        As of AdamW; the paper recommends a `beta_2` from 0.95 to 0.99.
    clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, name
        As of every optimizer of Keras.
    """

    traits = Traits(momentum="mean", preconditioner="StableAdamWPreconditioner", beta_2=0.99, step_cost=1.4)

    def __init__(
        self,
        learning_rate: float = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        epsilon: float = 1e-7,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        name: str | None = None,
        **others: object,
    ) -> None:
        # a saved configuration holds the arguments of AdamW that have no meaning here
        others.pop("amsgrad", None)
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            name=name,
            **others,
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update a variable and its moments."""
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        t = ops.cast(self.iterations + 1, variable.dtype)
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
        m_hat = m / (1 - ops.power(ops.cast(self.beta_1, variable.dtype), t))
        v_hat = v / (1 - ops.power(ops.cast(self.beta_2, variable.dtype), t))
        rms = ops.sqrt(ops.mean(ops.square(gradient) / ops.maximum(v_hat, self.epsilon**2)))
        eta = ops.cast(learning_rate, variable.dtype) / ops.maximum(rms, 1.0)
        update = m_hat / (ops.sqrt(v_hat) + self.epsilon)
        if self._use_weight_decay(variable):
            update += self.weight_decay * variable
        self.assign_sub(variable, eta * update)

    def _apply_weight_decay(self, variables: object) -> None:
        """Leave the decay to `update_step`, which knows by how much the step is shortened."""


class StableAdamWPreconditioner(CorrectedPreconditioner):
    """That of Adam with epsilon beside the corrected v; the step is divided by max(1, RMS_t) of the tensor."""

    def factor(self, step: Step) -> Any:
        """Return 1 / max(1, RMS_t) of each parameter's tensor; (n_parameters,)."""
        return step.spread(1 / ops.maximum(1.0, step.rms))
