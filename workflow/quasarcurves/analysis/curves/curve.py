"""A loss curve: the losses of a training by epoch or by step, and what is known of the training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quasarcurves.analysis.curves.tables import EPOCH, STEP

__all__ = ["EPOCH", "STEP", "Curve", "Told"]


@dataclass(frozen=True)
class Told:
    """What the user says of the curves; what is None or empty is looked for in the file.

    Parameters
    ----------
    loss, val_loss : tuple of str
        Columns.
    per : str
        `epoch` or `step`: what a value is of.
    examples, batch_size, steps_per_epoch : tuple of float
        Of the training, one for all curves or one each.
    goes_on : bool
        Whether epochs or steps that begin anew go on from those before, where they would replace them otherwise.
    lowest : float
        The lowest value that the loss can take; it is taken off.
    """

    loss: tuple[str, ...] = ()
    val_loss: tuple[str, ...] = ()
    per: str = ""
    examples: tuple[float, ...] = ()
    batch_size: tuple[float, ...] = ()
    steps_per_epoch: tuple[float, ...] = ()
    goes_on: bool = False
    lowest: float = 0.0


@dataclass(frozen=True)
class Curve:
    """A loss curve.

    Parameters
    ----------
    label : str
    loss : (t,) float64 array
        Training losses, evenly spaced; NaN where none is known.
    per : str
        `epoch` or `step`.
    first, stride : float
        Epoch or step of the first value, and from one value to the next.
    val_loss, val_at : (k,) float64 and int arrays
        Validation losses, and the values of `loss` beside which they stand.
    examples, batch_size, steps_per_epoch : float
        Of the training; NaN where not known.
    single : bool
        Whether the losses are known to be those of single steps, as trained.
    notes : tuple of str
        What was taken for granted, and what was done to the numbers.
    """

    label: str
    loss: np.ndarray
    per: str
    first: float = 0.0
    stride: float = 1.0
    val_loss: np.ndarray = field(default_factory=lambda: np.empty(0))
    val_at: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    examples: float = np.nan
    batch_size: float = np.nan
    steps_per_epoch: float = np.nan
    single: bool = False
    notes: tuple[str, ...] = ()

    def place(self, index: float) -> float:
        """Return the epoch or step, as the file counts them, of a value."""
        return self.first + self.stride * index

    def places(self, indices: np.ndarray) -> np.ndarray:
        """Return the epochs or steps (n,) of values (n,)."""
        return self.first + self.stride * np.asarray(indices, float)

    @property
    def known(self) -> dict[str, Any]:
        """What is known of the training."""
        facts = {name: getattr(self, name) for name in ("examples", "batch_size", "steps_per_epoch")}
        return {name: value for name, value in facts.items() if np.isfinite(value)}
