"""How Keras's optimizers scale a step, parameter by parameter: their preconditioner, in their own form of it.

An optimizer moves a parameter by -a m, where m is its running mean of the gradient (the gradient itself if it keeps no
mean) and a, the multiplier, is (factor of the tensor) x (learning rate) / P, with P the diagonal preconditioner. One
class per form of P, read from the optimizer's own variables; all follow the source of Keras to the place of epsilon.
Tensors over all parameters are flat, (n_parameters,), in the order of the optimizer's variables.
"""

from __future__ import annotations

import sys
from typing import Any

import keras
from keras import ops

from quasarcurves.training import optimizer_traits
from quasarcurves.training.flat import flat
from quasarcurves.training.step import Step


class Preconditioner:
    """No preconditioner, P = 1; also what the others have in common.

    One object serves one state of the optimizer: it reads each kind of variables once.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self.optimizer = optimizer
        self._rows: dict[str, Any] = {}

    def row(self, name: str) -> Any:
        """Return a kind of the optimizer's variables, such as `_velocities`, as of the first call; (n_parameters,)."""
        if name not in self._rows:
            # TensorFlow does not merge two reads of a variable: without this each measure would read all of them again
            self._rows[name] = flat(getattr(self.optimizer, name))
        return self._rows[name]

    def denominator(self) -> Any:
        """Return the diagonal of P without its bias correction; (n_parameters,) or scalar."""
        return ops.ones(())

    def correction(self, t: Any) -> Any:
        """Return the bias correction: running means start at zero; scalar.

        Parameters
        ----------
        t : scalar float32 tensor
            Steps done, the first included.
        """
        return 1.0

    def factor(self, step: Step) -> Any:
        """Return the further factor of the step; (n_parameters,) or scalar."""
        return 1.0

    def diagonal(self, t: Any) -> Any:
        """Return the diagonal of P after t steps; (n_parameters,) or scalar."""
        return self.correction(t) * self.denominator()

    def multiplier(self, step: Step) -> Any:
        """Return the multiplier of m in a step; (n_parameters,)."""
        return self.factor(step) * step.learning_rate / self.correction(step.t) / self.denominator()


class DiagonalPreconditioner(Preconditioner):
    """P that differs from parameter to parameter, so that each has an effective step of its own."""


class AdaptivePreconditioner(DiagonalPreconditioner):
    """P from running means of the gradient's square."""

    def mean_square(self) -> Any:
        """Return the mean square v that P is made of, as the optimizer keeps it; (n_parameters,)."""
        raise NotImplementedError

    def v_correction(self, t: Any) -> Any:
        """Return the bias correction of v, which is divided by it; 1 if the optimizer does not correct v."""
        return 1.0

    @property
    def floor(self) -> float:
        """The corrected v below which epsilon takes over in RMS_t: epsilon^2."""
        return self.optimizer.epsilon**2


class AdamPreconditioner(AdaptivePreconditioner):
    """Adam and AdamW, with AMSGrad or not: lr sqrt(1 - b2^t) / (1 - b1^t) / (sqrt(v) + e).

    Epsilon stands beside the uncorrected v (Kingma & Ba 2015, arXiv:1412.6980, end of section 2), and AMSGrad's maximum
    is that of the uncorrected v, so that its multiplier too grows with the correction.
    """

    def mean_square(self) -> Any:
        """Return v; with AMSGrad its maximum takes its place."""
        amsgrad = getattr(self.optimizer, "amsgrad", False)
        return self.row("_velocity_hats" if amsgrad else "_velocities")

    def v_correction(self, t: Any) -> Any:
        """Return 1 - b2^t."""
        return 1 - self.optimizer.beta_2**t

    def denominator(self) -> Any:
        """Return sqrt(v) + e."""
        return ops.sqrt(self.mean_square()) + self.optimizer.epsilon

    def correction(self, t: Any) -> Any:
        """Return (1 - b1^t) / sqrt(1 - b2^t)."""
        return (1 - self.optimizer.beta_1**t) / ops.sqrt(self.v_correction(t))


class CorrectedPreconditioner(AdamPreconditioner):
    """Adam with epsilon beside the corrected v: P = (1 - b1^t) (sqrt(v / (1 - b2^t)) + e)."""

    def denominator(self) -> Any:
        """Return sqrt(v / (1 - b2^t)) + e."""
        t = ops.cast(self.optimizer.iterations, "float32")
        return ops.sqrt(self.mean_square() / self.v_correction(t)) + self.optimizer.epsilon

    def correction(self, t: Any) -> Any:
        """Return 1 - b1^t."""
        return 1 - self.optimizer.beta_1**t


class LambPreconditioner(CorrectedPreconditioner):
    """Lamb: times the trust ratio |w| / |m/P| of the tensor."""

    def factor(self, step: Step) -> Any:
        """Return the trust ratio of each parameter's tensor; 1 where a norm is 0."""
        update = self.row("_momentums") / self.diagonal(step.t)
        weights, updates = (ops.sqrt(step.tensor_sums(ops.square(row))) for row in (step.decayed, update))
        return step.spread(ops.where((weights > 0) & (updates > 0), weights / updates, 1.0))


class NadamPreconditioner(CorrectedPreconditioner):
    """Nadam: P = sqrt(v / (1 - b2^t)) + e, times what Nesterov's look ahead gives to m.

    The step is lr / P x (u' m / (1 - U') + (1 - u) g / (1 - U)), with u the decaying momentum of the step, u' that of
    the next and U, U' their products; the multiplier is that of m.
    """

    correction = Preconditioner.correction

    def factor(self, step: Step) -> Any:
        """Return u' / (1 - U')."""
        ahead = self.optimizer.beta_1 * (1 - 0.5 * 0.96 ** (step.t + 1))
        return ahead / (1 - self.optimizer._u_product * ahead)


class ScheduleFreePreconditioner(CorrectedPreconditioner):
    """ScheduleFreeAdamW: the multiplier of the gradient in the base sequence z, warm-up included."""

    correction = Preconditioner.correction

    def factor(self, step: Step) -> Any:
        """Return the share of the warm-up done."""
        warmup = self.optimizer.warmup_steps
        return ops.minimum(step.t / warmup, 1.0) if warmup else 1.0


class AdamaxPreconditioner(DiagonalPreconditioner):
    """Adamax: P = (1 - b1^t) (u + e), with u the decaying largest |g|; there is no mean square."""

    def denominator(self) -> Any:
        """Return u + e."""
        return self.row("_u") + self.optimizer.epsilon

    correction = CorrectedPreconditioner.correction


class AdagradPreconditioner(DiagonalPreconditioner):
    """Adagrad: P = sqrt(sum of g^2 + e); a sum, no mean square that a gradient could be compared with."""

    def denominator(self) -> Any:
        """Return the diagonal of P."""
        return ops.sqrt(self.row("_accumulators") + self.optimizer.epsilon)


class RmspropPreconditioner(AdaptivePreconditioner):
    """RMSprop: P = sqrt(v + e), or sqrt(v - mean^2 + e) if centred; v is not corrected for its start."""

    def mean_square(self) -> Any:
        """Return v."""
        return self.row("_velocities")

    def denominator(self) -> Any:
        """Return the diagonal of P."""
        v = self.mean_square()
        if self.optimizer.centered:
            v -= ops.square(self.row("_average_gradients"))
        return ops.sqrt(v + self.optimizer.epsilon)


class AdadeltaPreconditioner(AdaptivePreconditioner):
    """Adadelta: P = sqrt(v + e) / sqrt(d + e), with d the mean square of the steps before this one."""

    def mean_square(self) -> Any:
        """Return v."""
        return self.row("_accumulated_grads")

    def denominator(self) -> Any:
        """Return the diagonal of P, with the d of now: that of the next step."""
        return self._ratio(self.mean_square(), self.row("_accumulated_delta_vars"))

    def multiplier(self, step: Step) -> Any:
        """Return the multiplier of the gradient, with the d from before the step.

        The step made d' = rho d + (1 - rho) (d + e) g^2 / (v + e) of it, which is solved for d.
        """
        v, rho, epsilon = self.mean_square(), self.optimizer.rho, self.optimizer.epsilon
        share = (1 - rho) * ops.square(step.gradient) / (v + epsilon)
        before = (self.row("_accumulated_delta_vars") - epsilon * share) / (rho + share)
        return step.learning_rate / self._ratio(v, ops.maximum(before, 0.0))

    def _ratio(self, v: Any, d: Any) -> Any:
        return ops.sqrt((v + self.optimizer.epsilon) / (d + self.optimizer.epsilon))


class AdafactorPreconditioner(AdaptivePreconditioner):
    """Adafactor: P = sqrt(v), v factored over rows and columns, with a step relative to the tensor and clipped."""

    @property
    def floor(self) -> float:
        """Its first epsilon, which is a square already."""
        return self.optimizer.epsilon_1

    def mean_square(self) -> Any:
        """Return v."""
        return self.row("_v")

    def denominator(self) -> Any:
        """Return sqrt(v)."""
        return ops.sqrt(self.mean_square())

    def factor(self, step: Step) -> Any:
        """Return max(e2, rms(w)) min(1, 1 / (lr sqrt(t))) / max(1, rms(g/P) / threshold) of each parameter's tensor."""
        optimizer = self.optimizer
        weights = ops.sqrt(step.tensor_means(ops.square(step.decayed)))
        updates = ops.sqrt(step.tensor_means(ops.square(step.gradient) / self.mean_square()))
        relative = ops.minimum(1.0, 1 / (step.learning_rate * ops.sqrt(step.t)))
        clipping = ops.maximum(1.0, updates / optimizer.clip_threshold)
        return step.spread(ops.maximum(optimizer.epsilon_2, weights) * relative / clipping)


def preconditioner_of(optimizer: keras.optimizers.Optimizer) -> Preconditioner:
    """Return the preconditioner of an optimizer in its present state, as its traits name it."""
    kind = type(optimizer)
    name = optimizer_traits.of_class(kind).preconditioner
    if name is None:
        return Preconditioner(optimizer)
    # the preconditioner of an optimizer of this library stands beside it
    home = kind.__module__ if hasattr(kind, "traits") else __name__
    return getattr(sys.modules[home], name)(optimizer)
