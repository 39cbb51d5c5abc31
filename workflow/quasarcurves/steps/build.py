"""Build what a run trains with from its settings: network, order of batches, optimizer, examples."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.bias_free_layers import BiasFreeConv1D, BiasFreeDense
from quasarcurves.quasarnet.convolution import MatrixConv1D
from quasarcurves.quasarnet.loss import clipped_share, weighted_line_losses
from quasarcurves.quasarnet.metrics import crossing_of
from quasarcurves.quasarnet.objective import decode
from quasarcurves.quasarnet.settings import NetworkSettings, RunSettings
from quasarcurves.spectra.subsets import Subset
from quasarcurves.spectra.table import BAD, GALAXY, is_quasar, load_column
from quasarcurves.steps.examples import load_examples
from quasarcurves.training import optimizers
from quasarcurves.training.curvature import Curvature, drawn_batches
from quasarcurves.training.history import History
from quasarcurves.training.loop import Trainer
from quasarcurves.training.plan import Plan, Task
from quasarcurves.training.settings import CurvatureSettings
from quasarcurves.training.snapshots import Snapshots

_WEIGHTS, _ORDER, _PROBE, _BATCHES = 1, 2, 3, 4
"""Tags that keep the random streams of initial weights, batch order, and the curvature's probe and batches apart."""

FEW_QUASARS = 30
"""With fewer quasars in the validation set its crossing point moves in steps of 3 % and more."""

logger = logging.getLogger(__name__)


def build_model(settings: NetworkSettings, seed: int, replicate: int, precision: str = "float32") -> keras.Model:
    """Build the network of a study's `network` block; initial weights depend on seed, replicate and backend."""
    keras.utils.set_random_seed(int(np.random.SeedSequence([seed, _WEIGHTS, replicate]).generate_state(1)[0]))
    return build_network(settings, precision=precision, **_fast_layers())


def _fast_layers() -> dict[str, type[keras.Layer]]:
    """Return classes of layers to use where those of Keras are slow on its backend: see docs/speed.md."""
    if keras.backend.backend() == "jax":
        return {"convolution": MatrixConv1D, "dense": BiasFreeDense}
    from quasarcurves.quasarnet.fused_batch_norm import FusedBatchNormalization  # noqa: PLC0415  (needs TensorFlow)

    return {"convolution": BiasFreeConv1D, "dense": BiasFreeDense, "normalisation": FusedBatchNormalization}


def build_network(settings: NetworkSettings, **computed: Any) -> keras.Model:
    """Build the network of a `network` block; `computed` are classes of layers in place of Keras's own."""
    return network.build(
        filters=settings.filters,
        layers=settings.layers,
        boxes=settings.boxes,
        n_lines=settings.n_lines,
        dropout=settings.dropout,
        bins=settings.wavelength_grid.n,
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


def build_plan(run: RunSettings, n_train: int) -> Plan:
    """Build the plan of a run; the order of its batches depends on seed, replicate and epoch alone.

    Raises
    ------
    ValueError
        If there would be no step.
    """
    settings = run.training
    if not settings.steps_per_epoch(n_train):
        raise ValueError(
            f"{n_train} training spectra are fewer than training.batch_size {settings.batch_size}, "
            "and training.last_batch is drop: there would be no step"
        )

    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([run.seed, _ORDER, run.replicate, epoch]).permutation(n_train)

    return Plan(
        epochs=settings.n_epochs(n_train),
        batch_size=settings.batch_size,
        order=order,
        last_batch=settings.last_batch,
        validate_every=settings.validate_every,
        best=settings.best,
    )


def build_trainer(spectra: Path, rows: Subset, run: RunSettings, matched: Path | None = None) -> Trainer:
    """Build everything that a run of a study trains with: see `build_trainers`."""
    return build_trainers(spectra, [rows], [run], [matched])[0]


def build_trainers(
    spectra: Path, subsets: Sequence[Subset], runs: Sequence[RunSettings], matched: Sequence[Path | None]
) -> list[Trainer]:
    """Build everything that runs of a study train with; a spectrum is read once, however many runs train on it.

    Parameters
    ----------
    spectra : Path
        The prepared spectra.
    subsets : sequence of Subset
        Those to train and validate on, of each run; the validation set is that of the first.
    runs : sequence of RunSettings
        They have the same network.
    matched : sequence of Path or None
        History of the run whose effective step a run is held to.

    Raises
    ------
    ValueError
        If the best weights are to be chosen by a crossing point, and there is no validation set.
    """
    settings = runs[0].network
    rows = np.unique(np.concatenate([subset.train for subset in subsets]))
    data = load_examples(spectra, rows, settings)
    held_out = subsets[0].validation
    validation = load_examples(spectra, held_out, settings) if len(held_out) else None
    crossing = crossing_score(spectra, held_out, settings) if len(held_out) else None
    if any(run.training.best == "crossing" for run in runs):
        _check_validation(spectra, held_out)
    return [
        _build_trainer(one, data, validation, crossing, np.searchsorted(rows, subset.train).astype(np.int32), held_to)
        for one, subset, held_to in zip(runs, subsets, matched, strict=True)
    ]


def _build_trainer(
    run: RunSettings,
    data: Sequence[np.ndarray],
    validation: Sequence[np.ndarray] | None,
    crossing: Callable[[np.ndarray], float] | None,
    places: np.ndarray,
    matched: Path | None,
) -> Trainer:
    """Build what trains a run on the examples in some places of the data."""
    network_settings, plan = run.network, build_plan(run, len(places))
    effective_step = History.load(matched).steps["effective_step_q50"] if matched else None
    task = Task(
        model=build_model(network_settings, run.seed, run.replicate, run.training.precision),
        optimizer=optimizers.build(run.optimizer_spec, run.training.n_steps(len(places)), effective_step),
        loss=weighted_line_losses,
        parts=[*network_settings.lines, *(f"BAL_{line}" for line in network_settings.bal_lines)],
        clipped=clipped_share,
    )
    task.optimizer.build(task.weights)
    order = plan.order
    plan = replace(plan, order=lambda epoch: places[order(epoch)])
    curvature = None if run.diagnosis is None else build_curvature(task, data, places, run, run.diagnosis)
    return Trainer(task, plan, data, validation, curvature, _snapshots(task, run), crossing)


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


def build_curvature(
    task: Task, data: Sequence[np.ndarray], places: np.ndarray, run: RunSettings, settings: CurvatureSettings
) -> Curvature:
    """Build what measures the curvature; examples depend on seed and replicate alone.

    Parameters
    ----------
    task : Task
    data : sequence of (n, ...) arrays
        The model's input, then the targets that `task.loss` takes.
    places : (n_train,) int array
        Places of the training set in `data`.
    run : RunSettings
    settings : CurvatureSettings
    """
    rng = np.random.default_rng([run.seed, _PROBE, run.replicate])
    rows = np.sort(rng.choice(places, min(settings.probe_size, len(places)), replace=False))
    rng = np.random.default_rng([run.seed, _BATCHES, run.replicate])
    batches = places[drawn_batches(len(places), run.training.batch_size, settings.batches, rng)]
    return Curvature(
        task,
        [array[rows] for array in data],
        settings.curvature_every,
        [[array[batch] for array in data] for batch in batches],
    )


def _snapshots(task: Task, run: RunSettings) -> Snapshots | None:
    """Build what takes snapshots, if the study asks for some."""
    return None if run.snapshots is None else Snapshots(task.model, run.snapshots.keep, run.snapshots.limits)
