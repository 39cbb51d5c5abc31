"""One run of a study, from prepared spectra to its history and models: where spectra, network and training meet."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from quasarcurves.fingerprint import digest
from quasarcurves.model_files import BEST, FINAL, about_run, save_keras
from quasarcurves.progress import Reporter
from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.convolution import MatrixConv1D
from quasarcurves.quasarnet.loss import weighted_line_losses
from quasarcurves.quasarnet.normalisation import FusedBatchNormalization
from quasarcurves.quasarnet.objective import line_targets
from quasarcurves.quasarnet.unbiased import UnbiasedConv1D, UnbiasedDense
from quasarcurves.spectra.subsets import Subset
from quasarcurves.spectra.table import UNKNOWN, is_quasar, load_column
from quasarcurves.training import backends, optimizer_specs, optimizers, snapshots
from quasarcurves.training.checkpoint import Checkpoints
from quasarcurves.training.curvature import Curvature
from quasarcurves.training.history import History
from quasarcurves.training.loop import Trainer
from quasarcurves.training.ownership import Owner, sole_owner
from quasarcurves.training.plan import Plan, Task
from quasarcurves.training.resume import capture, restore
from quasarcurves.training.signals import StopSignals

_WEIGHTS, _ORDER, _PROBE = 1, 2, 3
"""Tags that keep the random streams of initial weights, batch order and the curvature's probe apart."""

_SAVE_SECONDS = 600
"""The state is saved at least this often, whatever `checkpoint_every` says."""

_LAYERS = {
    "tensorflow": {"convolution": UnbiasedConv1D, "dense": UnbiasedDense, "normalisation": FusedBatchNormalization},
    "jax": {"convolution": MatrixConv1D, "dense": UnbiasedDense},
}
"""How layers are computed where Keras's own are slow on a backend: see docs/speed.md."""

logger = logging.getLogger(__name__)


def use_threads(threads: int) -> None:
    """Make the backend of Keras use exactly this many threads; to be called before its first operation."""
    backends.active().set_up(threads)


def load_examples(spectra: Path, rows: np.ndarray, settings: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
    """Read spectra with their targets, as the training loop takes them.

    Parameters
    ----------
    spectra : Path
        The prepared spectra.
    rows : (n,) int array
    settings : mapping
        The study's `network` block.

    Returns
    -------
    tuple of arrays
        Flux (n, 443, 1) float32, aligned so that the training loop need not copy it; box, offset and weight (n, L) of
        `objective.line_targets`.

    Raises
    ------
    ValueError
        If a spectrum has no truth.
    """
    z, label, bal = (load_column(spectra, name, rows) for name in ("z", "label", "bal"))
    unknown = int((label == UNKNOWN).sum())
    if unknown:
        raise ValueError(f"{spectra}: {unknown} of {len(label)} spectra have no truth, they cannot be trained on")
    targets = line_targets(z, is_quasar(label), bal, settings["lines"], settings["bal_lines"], settings["boxes"])
    # last: what making targets takes for a while is free again by then
    return load_column(spectra, "flux", rows)[..., None], *targets


def build_model(settings: Mapping[str, Any], seed: int, replicate: int, precision: str = "float32") -> keras.Model:
    """Build the network of a study's `network` block; initial weights depend on seed, replicate and backend."""
    keras.utils.set_random_seed(int(np.random.SeedSequence([seed, _WEIGHTS, replicate]).generate_state(1)[0]))
    return _build_network(settings, precision=precision, **_LAYERS[keras.backend.backend()])


def _build_network(settings: Mapping[str, Any], **computed: Any) -> keras.Model:
    return network.build(
        filters=settings["filters"],
        layers=settings["layers"],
        boxes=settings["boxes"],
        n_lines=len(settings["lines"]) + len(settings["bal_lines"]),
        dropout=settings["dropout"],
        **computed,
    )


def build_plan(params: Mapping[str, Any], n_train: int) -> Plan:
    """Build the plan of a run; the order of its batches depends on seed, replicate and epoch alone."""
    seed, replicate = params["seed"], params["replicate"]
    settings = dict(params["training"])
    steps = settings.pop("steps", None)
    for how in ("backend", "precision"):
        settings.pop(how, None)

    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, _ORDER, replicate, epoch]).permutation(n_train)

    plan = Plan(order=order, **{"epochs": 1, **settings})
    if not plan.steps_per_epoch(n_train):
        raise ValueError(
            f"{n_train} training spectra are fewer than training.batch_size {plan.batch_size}, "
            "and training.last_batch is drop: there would be no step"
        )
    return replace(plan, epochs=math.ceil(steps / plan.steps_per_epoch(n_train))) if steps else plan


def train_run(
    *,
    spectra: Path,
    subset: Path,
    params: Mapping[str, Any],
    key: str,
    settings: Mapping[str, Any],
    state: Path,
    history: Path,
    model: Path,
    best: Path,
    matched: Path | None = None,
    snapshots_file: Path | None = None,
    take_over: bool = False,
) -> None:
    """Train one model and write its history, its final weights and those of its lowest validation loss.

    Goes on from a state that an earlier call has left, if one fits: after a kill, or to extend a training.

    Parameters
    ----------
    spectra, subset : Path
        The prepared spectra and the rows to train and validate on.
    params : mapping
        `Study.run_params` of the run.
    key : str
        Stands for everything that the training depends on, apart from the number of epochs.
    settings : mapping
        `Study.state_settings`: what does not change the result.
    state : Path
        Folder of what is kept while the training is under way.
    history, model, best : Path
        Files written. Without validation `best` holds the final weights.
    matched : Path, optional
        History of the run whose effective step this one is held to, if its optimizer says so.
    snapshots_file : Path, optional
        Written as well, by `snapshots.save`, where `params` ask for snapshots.
    take_over : bool
        Have a process that trains the run already save its state and leave, instead of leaving the run to it.

    Raises
    ------
    Stopped
        If the process is told to end; the state has been saved.
    AlreadyTraining
        If another process trains the run, and stays.
    TakenOver
        If another process has taken over; the state has been saved.
    """
    rows = Subset.load(subset)
    with sole_owner(state, take_over) as owner, StopSignals() as stop:
        trainer = build_trainer(spectra, rows, params, matched)
        reporter = Reporter(state, trainer.plan.epochs)
        checkpoints = Checkpoints(state, key)
        resumed = _train_with_checkpoints(trainer, checkpoints, settings["checkpoint_every"], reporter, stop, owner)
        trainer.finish()
        owner.confirm()
        outcome = _outcome(trainer, len(rows.train), len(rows.validation), resumed)
        record = trainer.progress.history()
        replace(record, params={**params, "outcome": outcome}).save(history)
        if snapshots_file and trainer.snapshots:
            snapshots.save(snapshots_file, trainer.snapshots.spikes)
        _save_models(trainer, model, best, params)
        size = checkpoints.tidy(settings["keep_state"])
        logger.info("training state kept: %.1f MB", size / 1e6)
        reporter.end(outcome["epochs"], float(record.epochs["loss"][-1]), outcome["diverged"])


def state_key(params: Mapping[str, Any], data: Iterable[str], code: str) -> str:
    """Give the key of a run's training states: they fit each other if all but the number of epochs is the same.

    Parameters
    ----------
    params : mapping
        `Study.run_params` of the run.
    data : iterable of str
        Hashes of the files it is trained on.
    code : str
        Fingerprint of the code that trains.
    """
    training = dict(params["training"])
    if not optimizer_specs.depends_on_total_steps(params["optimizer_spec"]):
        training = {name: value for name, value in training.items() if name not in ("epochs", "steps")}
    names = ("study", "fraction", "optimizer")
    others = {name: value for name, value in params.items() if name not in names}
    return digest([{**others, "training": training}, sorted(data), code])


def build_trainer(spectra: Path, rows: Subset, params: Mapping[str, Any], matched: Path | None = None) -> Trainer:
    """Build everything that a run of a study trains with.

    Parameters
    ----------
    spectra : Path
        The prepared spectra.
    rows : Subset
        Those to train and validate on.
    params : mapping
        `Study.run_params` of the run.
    matched : Path, optional
        History of the run whose effective step this one is held to.
    """
    settings = params["network"]
    plan = build_plan(params, len(rows.train))
    steps = plan.steps_per_epoch(len(rows.train)) * plan.epochs
    effective_step = History.load(matched).steps["effective_step_q50"] if matched else None
    task = Task(
        model=build_model(
            settings, params["seed"], params["replicate"], params["training"].get("precision", "float32")
        ),
        optimizer=optimizers.build(params["optimizer_spec"], steps, effective_step),
        loss=weighted_line_losses,
        parts=[*settings["lines"], *(f"BAL_{line}" for line in settings["bal_lines"])],
    )
    task.optimizer.build(task.weights)
    data = load_examples(spectra, rows.train, settings)
    validation = load_examples(spectra, rows.validation, settings) if len(rows.validation) else None
    return Trainer(task, plan, data, validation, _curvature(task, data, params), _snapshots(task, params))


def _curvature(task: Task, data: Sequence[np.ndarray], params: Mapping[str, Any]) -> Curvature | None:
    """Give what measures the curvature, if the study asks for it; its probe depends on seed and replicate alone."""
    if "diagnosis" not in params:
        return None
    n_train, settings = len(data[0]), params["diagnosis"]
    rng = np.random.default_rng([params["seed"], _PROBE, params["replicate"]])
    rows = np.sort(rng.choice(n_train, min(settings["probe_size"], n_train), replace=False))
    return Curvature(task, [array[rows] for array in data], settings["curvature_every"])


def _snapshots(task: Task, params: Mapping[str, Any]) -> snapshots.Snapshots | None:
    """Give what takes snapshots, if the study asks for some."""
    if "snapshots" not in params:
        return None
    limits = dict(params["snapshots"])
    return snapshots.Snapshots(task.model, limits.pop("keep"), snapshots.Limits(**limits))


def _train_with_checkpoints(
    trainer: Trainer, checkpoints: Checkpoints, every: int, reporter: Reporter, stop: StopSignals, owner: Owner
) -> list[int]:
    """Train from the latest state that fits to the end; give the epochs at which it was gone on with."""
    resumed = _resume(trainer, checkpoints)
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        checkpoints.save(capture(trainer, resumed))
        saved = time.monotonic()

    def after_block() -> None:
        if stop.received or owner.is_other() or time.monotonic() - saved > _SAVE_SECONDS:
            save()
        stop.raise_if_received()
        owner.confirm()

    def after_epoch() -> None:
        progress = trainer.progress
        reporter.epoch(progress.epoch, progress.epochs["loss"][-1], progress.epochs["val_loss"][-1])
        if progress.epoch % every == 0:
            save()

    first = trainer.progress.epoch
    trainer.train(after_block, after_epoch)
    logger.info("%d epochs computed", trainer.progress.epoch - first)
    checkpoints.save_finished(capture(trainer, resumed))
    return resumed


def _resume(trainer: Trainer, checkpoints: Checkpoints) -> list[int]:
    state = checkpoints.load(trainer.plan.epochs)
    if state is None:
        return []
    restore(trainer, state)
    logger.info("going on from epoch %d, step %d", *state.place)
    return [*state.values["resumed"], trainer.progress.epoch]


def _outcome(trainer: Trainer, n_train: int, n_validation: int, resumed: list[int]) -> dict[str, Any]:
    """What is known of a run once it is over, as JSON can hold it."""
    progress = trainer.progress
    if progress.diverged_step is not None:
        logger.warning("diverged: the loss of step %d is not finite", progress.diverged_step)
    return {
        "n_train": n_train,
        "n_validation": n_validation,
        "steps_per_epoch": trainer.plan.steps_per_epoch(n_train),
        "epochs": progress.epoch,
        "diverged": progress.diverged_step is not None,
        "diverged_step": progress.diverged_step,
        "resumed_at_epochs": resumed,
        "threads": backends.active().threads(),
    }


def _save_models(trainer: Trainer, model: Path, best: Path, params: Mapping[str, Any]) -> None:
    # of plain layers in float32, whatever they were computed with
    network_model = _build_network(params["network"])
    network_model.set_weights(trainer.task.model.get_weights())
    save_keras(network_model, model, about_run(params, FINAL))
    if trainer.progress.best_weights:
        network_model.set_weights(trainer.progress.best_weights)
    save_keras(network_model, best, about_run(params, BEST))
