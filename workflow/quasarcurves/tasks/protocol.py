"""What a task offers to the steps of a study. QuasarNET (`quasarnet.task`) and task files (`own_task`) both do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.score import Score
from quasarcurves.training.snapshots import Snapshot

if TYPE_CHECKING:
    import keras


class Task(Protocol):
    """What is trained on prepared examples.

    Attributes
    ----------
    parts : sequence of str
        Names of the loss's parts.
    loss : callable
        (outputs, *targets) -> (n, parts) tensor: loss per example and part.
    clipped : callable or None
        As `training.plan.Learner` has it.
    variants : mapping of str to callable
        Other ways to compute the same loss, by name: model -> model and loss that compute so. The arms of replays of
        these names need them.
    """

    parts: Sequence[str]

    @property
    def versions(self) -> int:
        """Number of versions of each training example; each epoch draws one of them."""

    @property
    def loss(self) -> Callable[..., Any]:
        """See above."""

    @property
    def clipped(self) -> Callable[..., Any] | None:
        """See above."""

    @property
    def variants(self) -> Mapping[str, Callable[[keras.Model], tuple[keras.Model, Callable[..., Any]]]]:
        """See above."""

    def load(self, examples: Path, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Read examples as the training loop takes them: the model's input, then the targets of the loss."""

    def load_versions(self, examples: Path, rows: np.ndarray, seed: int) -> tuple[np.ndarray, ...]:
        """Read examples as `load` does: all n as they are, then all in each further version, which the seed sets."""

    def build(self, seed: int, precision: str = "float32") -> keras.Model:
        """Build the model that is trained; its initial weights depend on the seed and the backend."""

    def build_plain(self) -> keras.Model:
        """Build the model that is saved: of the same weights, in float32."""

    def check(self, model: keras.Model, data: tuple[np.ndarray, ...]) -> None:
        """Refuse a model or a loss that does not fit the examples, on a few of them."""

    def validation_score(self, examples: Path, rows: np.ndarray, best: str) -> Score | None:
        """Return what is measured on the validation examples besides the loss; None if nothing is.

        `best`: what the best weights are chosen by, "loss" or the name of the score.
        """

    def describe(self, examples: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return what is said of examples besides their losses: columns (n,), `target_id` among them."""

    def save(self, model: keras.Model, path: Path, run: RunSettings, which: str) -> None:
        """Write a model of a run, `final` or `best`, as a Keras file."""


class Evaluator(Protocol):
    """A trained model that is applied to examples.

    Attributes
    ----------
    calibrates : bool
        Whether what it says is to be calibrated on the validation set.
    """

    @property
    def calibrates(self) -> bool:
        """See above."""

    def with_snapshot(self, snapshot: Snapshot) -> Evaluator:
        """Return what applies the same model with the weights of a snapshot."""

    def predict(self, examples: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of the predictions for some examples by name, `loss` (n,) among them."""
