"""How a training is set up, as plain values: its length, its batches, and what is measured on the way.

A study makes these settings, a training is built from them. In between they cross a command line as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

LOSS = "loss"
"""What the best weights are chosen by, unless a study names a score of its task."""


def steps_per_epoch(n: int, batch_size: int, last_batch: str) -> int:
    """Return the number of optimizer steps in an epoch of n examples; 0 if all of them are dropped.

    Parameters
    ----------
    n, batch_size : int
    last_batch : {"keep", "drop"}
        What to do with an incomplete last batch.
    """
    full, rest = divmod(n, batch_size)
    return full + (1 if rest and last_batch == "keep" else 0)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How long and in what way a network is trained.

    Parameters
    ----------
    epochs, steps : int, optional
        Length of the training: one of them is given. Steps are rounded up to whole epochs.
    batch_size : int
        Examples per step.
    last_batch : {"keep", "drop"}
        What to do with an incomplete last batch.
    validate_every : int
        Epochs between computations of the validation loss.
    best : str
        What the weights kept as the best are chosen by: "loss", or a score of the task on the validation set.
    backend : {"tensorflow", "jax"}
        Backend of Keras.
    precision : {"float32", "mixed_bfloat16"}
        Of the network's arithmetic.
    pack : bool
        Whether the training shares a program with others.

    Raises
    ------
    ValueError
        If not exactly one of `epochs` and `steps` is given.
    """

    epochs: int | None = None
    steps: int | None = None
    batch_size: int
    last_batch: str = "keep"
    validate_every: int = 1
    best: str = "loss"
    backend: str = "tensorflow"
    precision: str = "float32"
    pack: bool = False

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"epochs {self.epochs} and steps {self.steps}: expected one of them")

    def steps_per_epoch(self, n_train: int) -> int:
        """Return the number of steps in an epoch of `n_train` examples."""
        return steps_per_epoch(n_train, self.batch_size, self.last_batch)

    def n_epochs(self, n_train: int) -> int:
        """Return the number of epochs of a training on `n_train` examples."""
        if self.steps is None:
            assert self.epochs is not None
            return self.epochs
        return math.ceil(self.steps / max(1, self.steps_per_epoch(n_train)))

    def n_steps(self, n_train: int) -> int:
        """Return the number of steps of a whole training on `n_train` examples."""
        return self.steps_per_epoch(n_train) * self.n_epochs(n_train)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them, without the length that is not given.

        The usual way to choose the best weights is left out too: training states from before there was another fit.
        """
        usual = {"best": "loss"}
        return {name: value for name, value in asdict(self).items() if value not in (None, usual.get(name))}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """Return the settings that `to_json` wrote."""
        return cls(**values)


@dataclass(frozen=True)
class CurvatureSettings:
    """How the curvature is measured.

    Parameters
    ----------
    curvature_every : int
        Steps between measurements.
    probe_size : int
        Training examples that it is measured on.
    batches : int
        Batches of the training's size that the batch sharpness is measured on.
    """

    curvature_every: int
    probe_size: int
    batches: int = 16


@dataclass(frozen=True)
class ReplaySettings:
    """Which replays of a training are made: see `steps.replay`.

    Parameters
    ----------
    every, after_epoch : int
        Forks on a grid: so many steps apart, after so many epochs; none if `every` is 0.
    before : tuple of int
        Forks so many steps before the onset of each sustained spike.
    quiet : bool
        Whether there is a fork at a quiet time for each sustained spike.
    arms : tuple of str
        Names of `steps.arms`.
    replays : int
        Of each arm at each fork.
    steps : int
        Length of a replay, in steps of the training's own batch size.
    """

    every: int
    after_epoch: int
    before: tuple[int, ...]
    quiet: bool
    arms: tuple[str, ...]
    replays: int
    steps: int

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        return {**asdict(self), "before": list(self.before), "arms": list(self.arms)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ReplaySettings:
        """Return the settings that `to_json` wrote."""
        return cls(**{**values, "before": tuple(values["before"]), "arms": tuple(values["arms"])})


@dataclass(frozen=True)
class Limits:
    """What counts as a spike of the epoch loss, in terms of its ratio to the median of the epochs before.

    Parameters
    ----------
    window : int
        Epochs of the median. A loss that stays high is no longer a spike once it fills half of the window.
    settled : int
        Epochs without spikes at the beginning, where the loss falls fast.
    course : float
        A spike lasts while the ratio is above.
    high : float
        A spike is kept if its peak is above.
    """

    window: int
    settled: int
    course: float
    high: float

    def ratio(self, losses: Sequence[float]) -> float:
        """Return the last of some losses over the median of those before; NaN if there are none."""
        before = np.array(losses[-1 - self.window : -1])
        return float(losses[-1] / np.median(before)) if len(before) else float("nan")


@dataclass(frozen=True)
class SnapshotSettings:
    """Which snapshots are taken.

    Parameters
    ----------
    keep : int
        Spikes at most.
    limits : Limits
        What counts as a spike.
    """

    keep: int
    limits: Limits

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them: in one mapping."""
        return {"keep": self.keep, **asdict(self.limits)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SnapshotSettings:
        """Return the settings that `to_json` wrote."""
        limits = dict(values)
        return cls(limits.pop("keep"), Limits(**limits))


@dataclass(frozen=True)
class StateSettings:
    """How the state of a training is kept; no result depends on it.

    Parameters
    ----------
    checkpoint_every : int
        Epochs between training states.
    keep_state : bool
        Whether to keep the state at the end, so that more epochs can go on from there.
    """

    checkpoint_every: int
    keep_state: bool
