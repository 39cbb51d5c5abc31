"""Arms of replays: what is done differently from a fork on. A new arm is a class here.

An arm may change the state at the fork (`change`), the batches (`batches`), or what computes a step (`variant`). What
it leaves alone is the training's own. `unfit` says why a training cannot have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from quasarcurves.training import optimizer_specs, optimizers, replays
from quasarcurves.training.held_adam import HeldAdam
from quasarcurves.training.plan import Learner
from quasarcurves.training.run_settings import RunSettings

_LEFT_OUT = 10
"""Examples that arms leave out."""

_STATISTICS_SIZE = 256
"""Examples whose statistics batch normalisation takes."""

_MIXED = 8
"""Batches whose examples are dealt out anew among them."""

_PUSH_STEPS = 10
"""Length of a push, in median steps of the training."""


@dataclass(frozen=True)
class Setup:
    """What arms may build on.

    Parameters
    ----------
    run : RunSettings
    learner : Learner
        The training's own.
    places : (n,) int array
        Places of the training set among the examples.
    variants : mapping of str to callable
        Other ways in which the task computes its loss (`tasks.protocol.Task.variants`).
    """

    run: RunSettings
    learner: Learner
    places: np.ndarray
    variants: Mapping[str, Callable[[keras.Model], tuple[keras.Model, Callable[..., Any]]]]


@dataclass(frozen=True)
class Fork:
    """What arms may know of a fork.

    Parameters
    ----------
    step : int
        Steps done.
    losses : (n,) array
        Loss of each training example there, in the order of the training set's places.
    update_norm : float
        Median length of the training's steps before.
    own : callable
        number -> the examples of the training's own next batches, one batch after the other.
    """

    step: int
    losses: np.ndarray
    update_norm: float
    own: Callable[[int], np.ndarray]


class Arm:
    """As it is: other orders of the batches, and nothing else."""

    size_factor = 1.0
    """Examples per batch, in units of the training's own."""

    def unfit(self, setup: Setup) -> str:
        """Return why the training cannot have the arm; empty if it can."""
        return ""

    def variant(self, setup: Setup) -> Learner:
        """Return what computes a step."""
        return setup.learner

    def change(self, learner: Learner, fork: Fork, rng: np.random.Generator) -> None:
        """Change the state of `learner`, which is in that of the fork."""

    def batch_size(self, setup: Setup) -> int:
        """Return the examples per batch that the loss is taken of."""
        return max(1, round(self.size_factor * setup.run.training.batch_size))

    def batches(self, examples: np.ndarray, setup: Setup, fork: Fork, rng: np.random.Generator) -> np.ndarray:
        """Cut examples, in the order of a replay, into batches; (steps, batch) int array."""
        return replays.cut_batches(examples, self.batch_size(setup))


class Step(Arm):
    """The learning rate times a factor."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def unfit(self, setup: Setup) -> str:
        """Return why the learning rate is not the arm's to set."""
        spec = setup.run.optimizer_spec
        for key, why in {"schedule": "follows a schedule", "match": "is held to that of another run"}.items():
            if key in spec:
                return f"its learning rate {why}"
        return ""

    def change(self, learner: Learner, fork: Fork, rng: np.random.Generator) -> None:
        """Set the learning rate."""
        learner.optimizer.learning_rate = self.factor * float(learner.optimizer.learning_rate)


class _StateArm(Arm):
    """An arm that changes a running mean of the optimizer.

    Attributes
    ----------
    rows : tuple of str
        The optimizer's names for it; the last one is optional.
    what : str
    """

    rows: ClassVar[tuple[str, ...]]
    what: ClassVar[str]

    def unfit(self, setup: Setup) -> str:
        """Return what the optimizer does not keep."""
        return "" if self._variables(setup.learner) else f"{setup.run.optimizer_spec['class']} keeps no {self.what}"

    def _variables(self, learner: Learner) -> list[keras.Variable]:
        return [variable for name in self.rows for variable in getattr(learner.optimizer, name, None) or []]


class LargerV(_StateArm):
    """v times a factor, AMSGrad's maximum with it: a smaller step by other means, until v has forgotten."""

    rows, what = ("_velocities", "_velocity_hats"), "mean square of the gradient"

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def change(self, learner: Learner, fork: Fork, rng: np.random.Generator) -> None:
        """Scale v."""
        for variable in self._variables(learner):
            variable.assign(variable * self.factor)


class NoMomentum(_StateArm):
    """m = 0: the running mean of the gradient begins anew."""

    rows, what = ("_momentums", "momentums"), "mean of the gradient"

    def change(self, learner: Learner, fork: Fork, rng: np.random.Generator) -> None:
        """Forget m."""
        for variable in self._variables(learner):
            variable.assign(ops.zeros_like(variable))


class Restarted(_StateArm):
    """The optimizer's state begins anew: m = 0, v = 0, and their bias correction is that of a first step."""

    rows, what = ("_velocities", "_velocity_hats"), "mean square of the gradient"

    def change(self, learner: Learner, fork: Fork, rng: np.random.Generator) -> None:
        """Forget m, v and the number of steps."""
        for variable in (*self._variables(learner), *NoMomentum()._variables(learner)):
            variable.assign(ops.zeros_like(variable))
        learner.optimizer.iterations.assign(0)


class _OtherAdam(Arm):
    """Another rule of Adam's family goes on from Adam's state."""

    def unfit(self, setup: Setup) -> str:
        """Return why the rule cannot take over."""
        spec = setup.run.optimizer_spec
        if "match" in spec or spec["class"] != "Adam":
            return f"the optimizer is {'held to another run' if 'match' in spec else spec['class']}, not Adam"
        return ""

    def variant(self, setup: Setup) -> Learner:
        """Return the learner with the other rule."""
        return _with_optimizer(setup.learner, self.optimizer(setup.run.optimizer_spec))

    def optimizer(self, spec: Mapping[str, Any]) -> keras.optimizers.Optimizer:
        """Build the other rule."""
        raise NotImplementedError


class HeldV(_OtherAdam):
    """v stays what it is at the fork."""

    def unfit(self, setup: Setup) -> str:
        """Return why v cannot be held."""
        if setup.run.optimizer_spec.get("amsgrad"):
            return "AMSGrad divides by the maximum of v, not by v"
        return super().unfit(setup)

    def optimizer(self, spec: Mapping[str, Any]) -> keras.optimizers.Optimizer:
        """Build Adam with v held."""
        return HeldAdam(**optimizer_specs.class_arguments(spec))


class AmsgradFromHere(_OtherAdam):
    """AMSGrad's rule from here on; its maximum begins with v as it is."""

    def unfit(self, setup: Setup) -> str:
        """Return whether it is AMSGrad already."""
        return "it is AMSGrad already" if setup.run.optimizer_spec.get("amsgrad") else super().unfit(setup)

    def optimizer(self, spec: Mapping[str, Any]) -> keras.optimizers.Optimizer:
        """Build AMSGrad."""
        return optimizers.build({**spec, "amsgrad": True})

    def change(self, learner: Learner, fork: Fork, rng: np.random.Generator) -> None:
        """Let the maximum begin with v."""
        for highest, v in zip(learner.optimizer._velocity_hats, learner.optimizer._velocities, strict=True):
            highest.assign(np.array(v))  # a copy: JAX would take one buffer for both


class AdamFromHere(_OtherAdam):
    """Adam's rule from AMSGrad's state."""

    def unfit(self, setup: Setup) -> str:
        """Return whether it is Adam already."""
        return super().unfit(setup) if setup.run.optimizer_spec.get("amsgrad") else "it is Adam already"

    def optimizer(self, spec: Mapping[str, Any]) -> keras.optimizers.Optimizer:
        """Build Adam."""
        return optimizers.build({**spec, "amsgrad": False})


class Batch(Arm):
    """Batches of another size, at the same learning rate."""

    def __init__(self, factor: float) -> None:
        self.size_factor = factor

    def unfit(self, setup: Setup) -> str:
        """Return whether the training set is smaller."""
        size, n = self.batch_size(setup), len(setup.places)
        return f"the training set has {n} examples, fewer than {size}" if size > n else ""


class WholeBatch(Arm):
    """All training examples in each batch."""

    def batch_size(self, setup: Setup) -> int:
        """Return the size of the training set."""
        return len(setup.places)


class WiderNormalisation(Arm):
    """Batch normalisation takes its statistics of 256 examples; the loss is that of the batch alone."""

    def unfit(self, setup: Setup) -> str:
        """Return whether nothing is normalised so, or the training set is smaller."""
        layers, n = setup.learner.model._flatten_layers(), len(setup.places)
        if not any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers):
            return "the model has no BatchNormalization"
        return f"the training set has {n} examples, fewer than {_STATISTICS_SIZE}" if n < _STATISTICS_SIZE else ""

    def variant(self, setup: Setup) -> Learner:
        """Return the learner whose loss is that of the first examples of what it is given."""
        own, size = setup.learner.loss, self.batch_size(setup)
        learner = replace(setup.learner, loss=lambda outputs, *targets: own(outputs, *targets)[:size])
        return _with_optimizer(learner, _built_anew(setup))

    def batches(self, examples: np.ndarray, setup: Setup, fork: Fork, rng: np.random.Generator) -> np.ndarray:
        """Cut examples into batches, and add other examples to each."""
        own = super().batches(examples, setup, fork, rng)
        more = [
            rng.choice(np.setdiff1d(setup.places, batch), _STATISTICS_SIZE - batch.size, replace=False) for batch in own
        ]
        return np.concatenate([own, more], axis=1)


class _OtherComputation(Arm):
    """An arm whose task computes the same loss in another way.

    Attributes
    ----------
    name, what : str
        Of the way, in `Setup.variants` and in words.
    """

    name: ClassVar[str]
    what: ClassVar[str]

    def unfit(self, setup: Setup) -> str:
        """Return whether the task has no such way."""
        return "" if self.name in setup.variants else f"the task computes no loss {self.what}"

    def variant(self, setup: Setup) -> Learner:
        """Return the learner that computes so."""
        model, loss = setup.variants[self.name](setup.learner.model)
        return _with_optimizer(replace(setup.learner, model=model, loss=loss, clipped=None), _built_anew(setup))


class Logits(_OtherComputation):
    """The loss is computed from logits, without a clip: no box is so sure that it gets no gradient."""

    name, what = "logits", "from logits"


class Float64(_OtherComputation):
    """Network, loss and optimizer compute in float64; the clip of the loss stays."""

    name, what = "float64", "in float64"

    def unfit(self, setup: Setup) -> str:
        """Return why there are no weights in float64."""
        return "JAX computes in float32 here" if keras.backend.backend() == "jax" else super().unfit(setup)


class _LeftOut(Arm):
    """10 examples are left out."""

    def unfit(self, setup: Setup) -> str:
        """Return whether nothing would be left."""
        n = len(setup.places)
        return f"the training set has {n} examples, and {_LEFT_OUT} are left out" if n <= _LEFT_OUT else ""


class WorstOut(_LeftOut):
    """The 10 examples of largest loss at the fork are left out."""

    def batches(self, examples: np.ndarray, setup: Setup, fork: Fork, rng: np.random.Generator) -> np.ndarray:
        """Cut what is left of the examples into batches."""
        worst = setup.places[np.argsort(fork.losses)[-_LEFT_OUT:]]
        return super().batches(examples[~np.isin(examples, worst)], setup, fork, rng)


class RandomOut(_LeftOut):
    """10 examples at random are left out: what `WorstOut` is compared with."""

    def batches(self, examples: np.ndarray, setup: Setup, fork: Fork, rng: np.random.Generator) -> np.ndarray:
        """Cut what is left of the examples into batches."""
        some = rng.choice(setup.places, _LEFT_OUT, replace=False)
        return super().batches(examples[~np.isin(examples, some)], setup, fork, rng)


class Redealt(Arm):
    """The training's own examples in their own time, dealt out anew among 8 batches."""

    def batches(self, examples: np.ndarray, setup: Setup, fork: Fork, rng: np.random.Generator) -> np.ndarray:
        """Deal out anew what the training itself saw next."""
        size = self.batch_size(setup)
        own = fork.own(len(examples))
        mixed = _MIXED * size
        pieces = [rng.permutation(own[start : start + mixed]) for start in range(0, len(own), mixed)]
        return replays.cut_batches(np.concatenate(pieces), size)


class Pushed(Arm):
    """The weights are moved in a random direction, as far as 10 of the training's own steps are long in all."""

    def change(self, learner: Learner, fork: Fork, rng: np.random.Generator) -> None:
        """Push the weights."""
        variables = learner.model.trainable_variables
        pushes = [rng.normal(size=variable.shape) for variable in variables]
        scale = _PUSH_STEPS * fork.update_norm / np.sqrt(sum(np.sum(push**2) for push in pushes))
        for variable, push in zip(variables, pushes, strict=True):
            variable.assign_add(np.float32(scale * push))


AS_IT_IS = "as_it_is"

ARMS: Mapping[str, Arm] = {
    AS_IT_IS: Arm(),
    "step_x0.3": Step(0.3),
    "step_x0.5": Step(0.5),
    "step_x0.7": Step(0.7),
    "step_x1.4": Step(1.4),
    "v_x4": LargerV(4),
    "v_held": HeldV(),
    "v_restarted": Restarted(),
    "m_0": NoMomentum(),
    "amsgrad": AmsgradFromHere(),
    "adam": AdamFromHere(),
    "batch_x0.5": Batch(0.5),
    "batch_x2": Batch(2),
    "batch_x4": Batch(4),
    "batch_all": WholeBatch(),
    "norm_256": WiderNormalisation(),
    "logits": Logits(),
    "float64": Float64(),
    "worst_out": WorstOut(),
    "random_out": RandomOut(),
    "re_dealt": Redealt(),
    "pushed": Pushed(),
}
"""The arms by name."""


def _built_anew(setup: Setup) -> keras.optimizers.Optimizer:
    """Return another optimizer like that of the training; its state is carried over at each fork."""
    return setup.learner.optimizer.from_config(setup.learner.optimizer.get_config())


def _with_optimizer(learner: Learner, optimizer: keras.optimizers.Optimizer) -> Learner:
    changed = replace(learner, optimizer=optimizer)
    optimizer.build(changed.weights)
    return changed
