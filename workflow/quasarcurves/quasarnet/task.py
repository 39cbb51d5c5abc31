"""QuasarNET as a task that is trained: the usual one (`tasks.protocol.Task` says what a task offers)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.bias_free_layers import BiasFreeDense
from quasarcurves.quasarnet.convolution import MatrixConv1D
from quasarcurves.quasarnet.examples import load_examples, load_varied
from quasarcurves.quasarnet.loss import clipped_share, dense_targets, unclipped_line_losses, weighted_line_losses
from quasarcurves.quasarnet.loss_formula import line_losses
from quasarcurves.quasarnet.metrics import crossing_of
from quasarcurves.quasarnet.model_files import about_run, save_keras
from quasarcurves.quasarnet.network import build_logits
from quasarcurves.quasarnet.objective import decode
from quasarcurves.quasarnet.settings import WARM_START, NetworkSettings
from quasarcurves.spectra.table import BAD, GALAXY, is_quasar, load_column
from quasarcurves.training.run_settings import RunSettings, TaskSettings
from quasarcurves.training.score import Score

FEW_QUASARS = 30
"""With fewer quasars in the validation set its crossing point moves in steps of 3 % and more."""

CROSSING = "crossing"

_FACTS = ("target_id", "label", "z", "snr")
"""Columns of the prepared spectra that are said of one besides its losses."""

logger = logging.getLogger(__name__)


class QuasarNet:
    """QuasarNET with the settings of a study's `network` block.

    Parameters
    ----------
    settings : NetworkSettings
    """

    loss = staticmethod(weighted_line_losses)
    clipped = staticmethod(clipped_share)

    def __init__(self, settings: NetworkSettings) -> None:
        self.settings = settings
        self.parts = [*settings.lines, *(f"BAL_{line}" for line in settings.bal_lines)]

    def load(self, examples: Path, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Read spectra with their targets: see `examples.load_examples`."""
        return load_examples(examples, rows, self.settings)

    @property
    def versions(self) -> int:
        """Number of versions of each training spectrum."""
        return 1 if self.settings.augment is None else self.settings.augment.copies

    def load_versions(self, examples: Path, rows: np.ndarray, seed: int) -> tuple[np.ndarray, ...]:
        """Read spectra with their targets in all their versions: see `examples.load_varied`."""
        return load_varied(examples, rows, self.settings, seed)

    def build(self, seed: int, precision: str = "float32") -> keras.Model:
        """Build the network, of layers that are fast.

        Initial weights are those of the file that the study starts from, or depend on the seed and the backend.
        """
        keras.utils.set_random_seed(seed)
        model = build_network(self.settings, precision=precision, **_fast_layers())
        if self.settings.start:
            # by its name: only for runs that do start from a file is it part of what the training depends on
            import_module(WARM_START).take_weights(model, self.settings)
        return model

    def build_plain(self) -> keras.Model:
        """Build the network with Keras's own layers in float32; none is frozen for those who train it further."""
        return build_network(replace(self.settings, frozen=0))

    def check(self, model: keras.Model, data: tuple[np.ndarray, ...]) -> None:
        """Refuse nothing: network and loss fit the spectra."""

    def validation_score(self, examples: Path, rows: np.ndarray, best: str) -> Score:
        """Return the crossing point of purity and completeness; see `crossing_score`."""
        if best == CROSSING:
            _check_validation(examples, rows)
        return Score(CROSSING, crossing_score(examples, rows, self.settings))

    def describe(self, examples: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return what is said of spectra besides their losses: object, class, redshift and S/N."""
        return {name: load_column(examples, name, rows) for name in _FACTS}

    def save(self, model: keras.Model, path: Path, run: RunSettings, which: str) -> None:
        """Write a model with what its outputs are."""
        save_keras(model, path, about_run(run, which))

    @property
    def variants(self) -> Mapping[str, Callable[[keras.Model], tuple[keras.Model, Callable[..., Any]]]]:
        """Other ways to compute the same loss, for arms of replays: of logits without a clip, and in float64."""
        return {
            "logits": lambda model: (build_logits(model), _loss_of_logits),
            "float64": lambda model: (build_plain_network(self.settings, "float64"), _loss_in_float64),
        }


def trained(task: TaskSettings | None, settings: Mapping[str, Any]) -> QuasarNet:
    """Return QuasarNET with the settings of a `network` block."""
    return QuasarNet(NetworkSettings.from_json(settings))


def build_network(settings: NetworkSettings, **computed: Any) -> keras.Model:
    """Build the network of a `network` block; `computed` are classes of layers in place of Keras's own."""
    return network.build(
        filters=settings.filters,
        layers=settings.layers,
        boxes=settings.boxes,
        n_lines=settings.n_lines,
        dropout=settings.dropout,
        bins=settings.wavelength_grid.n,
        frozen=settings.frozen,
        **computed,
    )


def build_plain_network(settings: NetworkSettings, precision: str) -> keras.Model:
    """Build the network of a `network` block with Keras's own layers, all of one precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return build_network(settings, precision=precision)
    finally:
        keras.config.set_dtype_policy(before)


def _fast_layers() -> dict[str, type[keras.Layer]]:
    """Return classes of layers to use where those of Keras are slow on its backend: see docs/speed.md."""
    if keras.backend.backend() == "jax":
        return {"convolution": MatrixConv1D, "dense": BiasFreeDense}
    from quasarcurves.quasarnet.fused_batch_norm import FusedBatchNormalization  # noqa: PLC0415  (needs TensorFlow)
    from quasarcurves.quasarnet.toom_cook import ToomCookConv1D  # noqa: PLC0415

    return {"convolution": ToomCookConv1D, "dense": BiasFreeDense, "normalisation": FusedBatchNormalization}


def crossing_score(spectra: Path, rows: np.ndarray, settings: NetworkSettings) -> Callable[[np.ndarray], float]:
    """Return what computes the crossing point of purity and completeness from the outputs for some spectra.

    Parameters
    ----------
    spectra : Path
        The prepared spectra.
    rows : (n,) int array
    settings : NetworkSettings

    Returns
    -------
    callable
        Outputs (n, L, 2B) -> `metrics.crossing_of` for spectra called quasars by one line; NaN for outputs that are
        not finite, of a model that has diverged.
    """
    z, label = (load_column(spectra, name, rows) for name in ("z", "label"))

    def crossing(outputs: np.ndarray) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        found = decode(outputs, settings.lines, settings.bal_lines, settings.wavelength_grid)
        confidence = found.confidence.max(axis=1)
        return crossing_of(confidence, found.z_best, is_quasar(label), label == GALAXY, label == BAD, z)

    return crossing


def _check_validation(spectra: Path, rows: np.ndarray) -> None:
    """Refuse to choose the best weights by the crossing point of nothing, and say where it is coarse."""
    quasars = int(is_quasar(load_column(spectra, "label", rows)).sum())
    if not quasars:
        raise ValueError(
            f"training.best is crossing, and the validation set has {len(rows)} spectra and no quasar: "
            "expected at least one quasar"
        )
    if quasars < FEW_QUASARS:
        logger.warning("best weights are chosen by a crossing point of %d quasars alone: it is coarse", quasars)


def _loss_of_logits(logits: Any, box: Any, offset: Any, weight: Any) -> Any:
    return weight * unclipped_line_losses(dense_targets(box, offset, logits.shape[-1] // 2), logits)


def _loss_in_float64(outputs: Any, box: Any, offset: Any, weight: Any) -> Any:
    targets = ops.cast(dense_targets(box, offset, outputs.shape[-1] // 2), "float64")
    return ops.cast(ops.cast(weight, "float64") * line_losses(targets, outputs, ops), "float32")
