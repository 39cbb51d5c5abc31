"""Record: all that a training has recorded so far, and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from quasarcurves.training.history import History

_WIDE = {"step": np.int64, "seconds": np.float64}
"""Columns of the epochs that float32 is too narrow for."""


@dataclass
class Record:
    """A training under way.

    Parameters
    ----------
    epoch : int
        Epochs done.
    epochs : dict of str to list
        The record of these: a number per epoch.
    steps : dict of str to list of arrays
        The record of all steps, block by block.
    epoch_parts : list of (steps, parts) arrays
        Losses by part of the steps done in the present epoch.
    epoch_sizes : list of (steps,) arrays
        Their batch sizes.
    epoch_seconds : float
        Time they took.
    curvature : dict of str to list
        The record of the curvature: a number per measurement.
    best_loss, best_score : float
        Validation loss, and score (the higher the better), of the best weights so far.
    best_weights : list of arrays
        The model's weights there; empty before the first validation.
    diverged_step : int or None
        First step (from 0) whose loss was not finite.
    score : str
        Name of what is measured on the validation set besides the loss; empty if nothing is.
    """

    epoch: int = 0
    epochs: dict[str, list[float]] = field(default_factory=dict)
    steps: dict[str, list[np.ndarray]] = field(default_factory=dict)
    epoch_parts: list[np.ndarray] = field(default_factory=list)
    epoch_sizes: list[np.ndarray] = field(default_factory=list)
    epoch_seconds: float = 0.0
    curvature: dict[str, list[float]] = field(default_factory=dict)
    best_loss: float = np.inf
    best_score: float = -np.inf
    best_weights: list[np.ndarray] = field(default_factory=list)
    diverged_step: int | None = None
    score: str = ""

    @property
    def step_in_epoch(self) -> int:
        """Steps done in the present epoch."""
        return sum(map(len, self.epoch_parts))

    @property
    def step(self) -> int:
        """Steps done in all."""
        return (int(self.epochs["step"][-1]) if self.epochs else 0) + self.step_in_epoch

    def add_block(self, parts: np.ndarray, columns: Mapping[str, np.ndarray], batch: int, seconds: float) -> None:
        """Add a block of steps, up to its first loss that is not finite.

        Parameters
        ----------
        parts : (steps, parts) array
            Losses by part.
        columns : mapping of str to (steps,) array
            The measures.
        batch : int
            Examples per step.
        seconds : float
            Time the block took.
        """
        bad = np.flatnonzero(~np.isfinite(parts).all(axis=1))
        if bad.size:
            self.diverged_step = self.step + int(bad[0])
        n_steps = bad[0] + 1 if bad.size else len(parts)
        self.epoch_parts.append(parts[:n_steps])
        self.epoch_sizes.append(np.full(n_steps, batch))
        self.epoch_seconds += seconds
        for name, values in columns.items():
            self.steps.setdefault(name, []).append(values[:n_steps])

    def add_curvature(self, values: Mapping[str, float]) -> None:
        """Add a measurement of the curvature."""
        for name, value in values.items():
            self.curvature.setdefault(name, []).append(value)

    def close_epoch(self, parts: Sequence[str], learning_rate: float) -> None:
        """End the present epoch: its losses are means over the examples it trained on.

        Parameters
        ----------
        parts : sequence of str
            Names of the loss's parts.
        learning_rate : float
        """
        losses, sizes = np.concatenate(self.epoch_parts).astype(np.float64), np.concatenate(self.epoch_sizes)
        means = np.average(losses, axis=0, weights=sizes)
        row = {
            "loss": means.sum(),
            **{f"loss_{name}": mean for name, mean in zip(parts, means, strict=True)},
            "val_loss": np.nan,
            **({f"val_{self.score}": np.nan} if self.score else {}),
            "learning_rate": learning_rate,
            "step": self.step,
            "seconds": self.epoch_seconds,
        }
        for name, value in row.items():
            self.epochs.setdefault(name, []).append(float(value))
        self.epoch += 1
        self.epoch_parts, self.epoch_sizes, self.epoch_seconds = [], [], 0.0

    def validate(self, loss: float, score: float) -> None:
        """Record what the validation set says of the last epoch."""
        self.epochs["val_loss"][-1] = loss
        if self.score:
            self.epochs[f"val_{self.score}"][-1] = score

    def keep_if_best(self, score: float | None, weights: Callable[[], list[np.ndarray]]) -> None:
        """Keep the weights after the last epoch, if they are the best so far.

        Parameters
        ----------
        score : float or None
            The higher the better; of equal ones the lower validation loss decides, and any is better than one that
            could not be told. None if the validation loss alone decides.
        weights : callable
            Returns them.
        """
        loss = self.epochs["val_loss"][-1]
        rank = 0.0 if score is None else -np.inf if np.isnan(score) else score
        before = 0.0 if score is None else self.best_score
        if (rank, -loss) > (before, -self.best_loss):
            self.best_loss, self.best_score = loss, rank
            self.best_weights = weights()

    def history(self) -> History:
        """Return the record as arrays: float32 but for the step number and the seconds."""
        steps = {name: np.concatenate(parts) for name, parts in self.steps.items()}
        return History(_columns(self.epochs), steps, curvature=_columns(self.curvature))


def _columns(lists: Mapping[str, list[float]]) -> dict[str, np.ndarray]:
    return {name: np.array(values, _WIDE.get(name, np.float32)) for name, values in lists.items()}
