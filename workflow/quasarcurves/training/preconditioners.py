"""How Keras's optimizers scale a step, parameter by parameter: their preconditioner, in their own form of it.

An optimizer moves a parameter by -a m, where m is its running mean of the gradient (the gradient itself if it keeps no
mean) and a, the multiplier, is (factor of the tensor) x (learning rate) / P, with P the diagonal preconditioner. One
class per form of P, read from the optimizer's own variables; all follow the source of Keras to the place of epsilon.
Tensors over all parameters are flat, (n_parameters,), in the order of the optimizer's variables.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from quasarcurves.training.flat import flat
from quasarcurves.training.matched_adam import MatchedAdam
from quasarcurves.training.stable_adamw import StableAdamW
from quasarcurves.training.step import Step


class Scaling:
    """Scaling of an optimizer that has none of its own: P = 1; also what the others have in common.

    One object serves one state of the optimizer: what it has read it reads no more.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self.optimizer = optimizer
        self._rows: dict[str, Any] = {}

    def row(self, name: str) -> Any:
        """Give a kind of the optimizer's variables, such as `_velocities`, as of the first call; (n_parameters,)."""
        if name not in self._rows:
            # reading variables is no pure operation to TensorFlow, which would do it again each time
            self._rows[name] = flat(getattr(self.optimizer, name))
        return self._rows[name]

    def denominator(self) -> Any:
        """Give the diagonal of P but for its correction; (n_parameters,) or scalar."""
        return ops.ones(())

    def correction(self, t: Any) -> Any:
        """Give what makes good for the start of running means at zero; scalar.

        Parameters
        ----------
        t : scalar float32 tensor
            Steps done, the first included.
        """
        return 1.0

    def factor(self, step: Step) -> Any:
        """Give what else the step is multiplied by; (n_parameters,) or scalar."""
        return 1.0

    def preconditioner(self, t: Any) -> Any:
        """Give the diagonal of P after t steps; (n_parameters,) or scalar."""
        return self.correction(t) * self.denominator()

    def multiplier(self, step: Step) -> Any:
        """Give the multiplier of m in a step; (n_parameters,)."""
        return self.factor(step) * step.learning_rate / self.correction(step.t) / self.denominator()


class AdaptiveScaling(Scaling):
    """P from running means of the gradient's square."""

    def mean_square(self) -> Any:
        """Give the mean square v that P is made of, as the optimizer keeps it; (n_parameters,)."""
        raise NotImplementedError

    def start(self, t: Any) -> Any:
        """Give the share that v holds of a lasting mean square after t steps; 1 if the optimizer takes it so."""
        return 1.0

    @property
    def floor(self) -> float:
        """The corrected v below which epsilon takes over in RMS_t: epsilon^2."""
        return self.optimizer.epsilon**2


class AdamScaling(AdaptiveScaling):
    """Adam and AdamW, with AMSGrad or not: lr sqrt(1 - b2^t) / (1 - b1^t) / (sqrt(v) + e).

    Epsilon stands beside the uncorrected v (Kingma & Ba 2015, arXiv:1412.6980, end of section 2), and AMSGrad's maximum
    is that of the uncorrected v, so that its multiplier too grows with the correction.
    """

    def mean_square(self) -> Any:
        """Give v; with AMSGrad its maximum takes its place."""
        amsgrad = getattr(self.optimizer, "amsgrad", False)
        return self.row("_velocity_hats" if amsgrad else "_velocities")

    def start(self, t: Any) -> Any:
        """Give 1 - b2^t."""
        return 1 - self.optimizer.beta_2**t

    def denominator(self) -> Any:
        """Give sqrt(v) + e."""
        return ops.sqrt(self.mean_square()) + self.optimizer.epsilon

    def correction(self, t: Any) -> Any:
        """Give (1 - b1^t) / sqrt(1 - b2^t)."""
        return (1 - self.optimizer.beta_1**t) / ops.sqrt(self.start(t))


class MatchedAdamScaling(AdamScaling):
    """MatchedAdam: Adam, with the learning rate that the step itself has set."""

    def multiplier(self, step: Step) -> Any:
        """Give the multiplier of m in a step; (n_parameters,)."""
        return self.optimizer.learning_rate / self.correction(step.t) / self.denominator()


class CorrectedScaling(AdamScaling):
    """Adam with epsilon beside the corrected v: P = (1 - b1^t) (sqrt(v / (1 - b2^t)) + e)."""

    def denominator(self) -> Any:
        """Give sqrt(v / (1 - b2^t)) + e."""
        t = ops.cast(self.optimizer.iterations, "float32")
        return ops.sqrt(self.mean_square() / self.start(t)) + self.optimizer.epsilon

    def correction(self, t: Any) -> Any:
        """Give 1 - b1^t."""
        return 1 - self.optimizer.beta_1**t


class LambScaling(CorrectedScaling):
    """Lamb: times the trust ratio |w| / |m/P| of the tensor."""

    def factor(self, step: Step) -> Any:
        """Give the trust ratio of each parameter's tensor; 1 where a norm is 0."""
        update = self.row("_momentums") / self.preconditioner(step.t)
        weights, updates = (ops.sqrt(step.tensor_sums(ops.square(row))) for row in (step.decayed, update))
        return step.spread(ops.where((weights > 0) & (updates > 0), weights / updates, 1.0))


class StableAdamWScaling(CorrectedScaling):
    """StableAdamW: divided by max(1, RMS_t) of the tensor."""

    def factor(self, step: Step) -> Any:
        """Give 1 / max(1, RMS_t) of each parameter's tensor."""
        return step.spread(1 / ops.maximum(1.0, step.rms))


class NadamScaling(CorrectedScaling):
    """Nadam: P = sqrt(v / (1 - b2^t)) + e, times what Nesterov's look ahead gives to m.

    The step is lr / P x (u' m / (1 - U') + (1 - u) g / (1 - U)), with u the decaying momentum of the step, u' that of
    the next and U, U' their products; the multiplier is that of m.
    """

    correction = Scaling.correction

    def factor(self, step: Step) -> Any:
        """Give u' / (1 - U')."""
        ahead = self.optimizer.beta_1 * (1 - 0.5 * 0.96 ** (step.t + 1))
        return ahead / (1 - self.optimizer._u_product * ahead)


class ScheduleFreeScaling(CorrectedScaling):
    """ScheduleFreeAdamW: the multiplier of the gradient in the base sequence z, warm-up included."""

    correction = Scaling.correction

    def factor(self, step: Step) -> Any:
        """Give the share of the warm-up done."""
        warmup = self.optimizer.warmup_steps
        return ops.minimum(step.t / warmup, 1.0) if warmup else 1.0


class AdamaxScaling(Scaling):
    """Adamax: P = (1 - b1^t) (u + e), with u the decaying largest |g|; there is no mean square."""

    def denominator(self) -> Any:
        """Give u + e."""
        return self.row("_u") + self.optimizer.epsilon

    correction = CorrectedScaling.correction


class AdagradScaling(Scaling):
    """Adagrad: P = sqrt(sum of g^2 + e); a sum, no mean square that a gradient could be compared with."""

    def denominator(self) -> Any:
        """Give the diagonal of P."""
        return ops.sqrt(self.row("_accumulators") + self.optimizer.epsilon)


class RmspropScaling(AdaptiveScaling):
    """RMSprop: P = sqrt(v + e), or sqrt(v - mean^2 + e) if centred; v is not corrected for its start."""

    def mean_square(self) -> Any:
        """Give v."""
        return self.row("_velocities")

    def denominator(self) -> Any:
        """Give the diagonal of P."""
        v = self.mean_square()
        if self.optimizer.centered:
            v -= ops.square(self.row("_average_gradients"))
        return ops.sqrt(v + self.optimizer.epsilon)


class AdadeltaScaling(AdaptiveScaling):
    """Adadelta: P = sqrt(v + e) / sqrt(d + e), with d the mean square of the steps before this one."""

    def mean_square(self) -> Any:
        """Give v."""
        return self.row("_accumulated_grads")

    def denominator(self) -> Any:
        """Give the diagonal of P, with the d of now: that of the next step."""
        return self._ratio(self.mean_square(), self.row("_accumulated_delta_vars"))

    def multiplier(self, step: Step) -> Any:
        """Give the multiplier of the gradient, with the d from before the step.

        The step made d' = rho d + (1 - rho) (d + e) g^2 / (v + e) of it, which is solved for d.
        """
        v, rho, epsilon = self.mean_square(), self.optimizer.rho, self.optimizer.epsilon
        share = (1 - rho) * ops.square(step.gradient) / (v + epsilon)
        before = (self.row("_accumulated_delta_vars") - epsilon * share) / (rho + share)
        return step.learning_rate / self._ratio(v, ops.maximum(before, 0.0))

    def _ratio(self, v: Any, d: Any) -> Any:
        return ops.sqrt((v + self.optimizer.epsilon) / (d + self.optimizer.epsilon))


class AdafactorScaling(AdaptiveScaling):
    """Adafactor: P = sqrt(v), v factored over rows and columns, with a step relative to the tensor and clipped."""

    @property
    def floor(self) -> float:
        """Its first epsilon, which is a square already."""
        return self.optimizer.epsilon_1

    def mean_square(self) -> Any:
        """Give v."""
        return self.row("_v")

    def denominator(self) -> Any:
        """Give sqrt(v)."""
        return ops.sqrt(self.mean_square())

    def factor(self, step: Step) -> Any:
        """Give max(e2, rms(w)) min(1, 1 / (lr sqrt(t))) / max(1, rms(g/P) / threshold) of each parameter's tensor."""
        optimizer = self.optimizer
        weights = ops.sqrt(step.tensor_means(ops.square(step.decayed)))
        updates = ops.sqrt(step.tensor_means(ops.square(step.gradient) / self.mean_square()))
        relative = ops.minimum(1.0, 1 / (step.learning_rate * ops.sqrt(step.t)))
        clipping = ops.maximum(1.0, updates / optimizer.clip_threshold)
        return step.spread(ops.maximum(optimizer.epsilon_2, weights) * relative / clipping)


_SCALINGS = {
    "Adam": AdamScaling,
    "AdamW": AdamScaling,
    MatchedAdam.__name__: MatchedAdamScaling,
    "Lamb": LambScaling,
    StableAdamW.__name__: StableAdamWScaling,
    "Nadam": NadamScaling,
    "ScheduleFreeAdamW": ScheduleFreeScaling,
    "Adamax": AdamaxScaling,
    "Adagrad": AdagradScaling,
    "RMSprop": RmspropScaling,
    "Adadelta": AdadeltaScaling,
    "Adafactor": AdafactorScaling,
}
"""By class. SGD and Lion scale all parameters alike, Muon mixes those of a matrix, Ftrl solves for the weights."""


def scaling(optimizer: keras.optimizers.Optimizer) -> Scaling:
    """Give the scaling of an optimizer; a plain `Scaling` if it has no multiplier of its own for each parameter."""
    return _SCALINGS.get(type(optimizer).__name__, Scaling)(optimizer)
