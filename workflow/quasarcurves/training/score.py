"""What is measured on the validation set besides the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Score:
    """What is measured on the validation set besides the loss.

    Parameters
    ----------
    name : str
        The record has it as `val_<name>`.
    measure : callable
        The model's outputs for all validation examples -> the score; NaN where it cannot be told.
    better : {"higher", "lower"}
    """

    name: str
    measure: Callable[[np.ndarray], float]
    better: str = "higher"

    @property
    def sign(self) -> int:
        """Return what makes the better score the higher number."""
        return 1 if self.better == "higher" else -1
