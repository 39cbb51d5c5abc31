"""One run of a study, from prepared spectra to its history and models: where spectra, network and training meet."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from quasarcurves.files import whole_file
from quasarcurves.progress import Reporter
from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.loss import weighted_line_losses
from quasarcurves.quasarnet.objective import line_targets
from quasarcurves.spectra import Spectra
from quasarcurves.spectra.subsets import Subset
from quasarcurves.spectra.table import UNKNOWN
from quasarcurves.training import optimizers
from quasarcurves.training.history import History
from quasarcurves.training.loop import Plan, Progress, Task, train

_WEIGHTS, _ORDER = 1, 2
"""Tags that keep the random streams of initial weights and batch order apart."""

logger = logging.getLogger(__name__)


def use_threads(threads: int) -> None:
    """Make TensorFlow use exactly this many threads; to be called before its first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if threads > 1:
        # one thread adds up in one order anyway; several need to be told, at some cost in speed
        tf.config.experimental.enable_op_determinism()


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
        Flux (n, 443, 1) float32; box, offset and weight (n, L) of `objective.line_targets`.

    Raises
    ------
    ValueError
        If a spectrum has no truth.
    """
    table = Spectra.load(spectra, rows)
    unknown = int((table.label == UNKNOWN).sum())
    if unknown:
        raise ValueError(f"{spectra}: {unknown} of {len(table)} spectra have no truth, they cannot be trained on")
    targets = line_targets(
        table.z, table.is_quasar, table.bal, settings["lines"], settings["bal_lines"], settings["boxes"]
    )
    return table.flux[..., None], *targets


def build_model(settings: Mapping[str, Any], seed: int, replicate: int) -> keras.Model:
    """Build the network of a study's `network` block; its initial weights depend on seed and replicate alone."""
    keras.utils.set_random_seed(int(np.random.SeedSequence([seed, _WEIGHTS, replicate]).generate_state(1)[0]))
    return network.build(
        filters=settings["filters"],
        layers=settings["layers"],
        boxes=settings["boxes"],
        n_lines=len(settings["lines"]) + len(settings["bal_lines"]),
        dropout=settings["dropout"],
    )


def build_plan(params: Mapping[str, Any], n_train: int) -> Plan:
    """Build the plan of a run; the order of its batches depends on seed, replicate and epoch alone."""
    seed, replicate = params["seed"], params["replicate"]

    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, _ORDER, replicate, epoch]).permutation(n_train)

    plan = Plan(order=order, **params["training"])
    if not plan.steps_per_epoch(n_train):
        raise ValueError(
            f"{n_train} training spectra are fewer than training.batch_size {plan.batch_size}, "
            "and training.last_batch is drop: there would be no step"
        )
    return plan


def train_run(
    spectra: Path,
    subset: Path,
    params: Mapping[str, Any],
    history: Path,
    model: Path,
    best: Path,
    state: Path,
) -> None:
    """Train one model and write its history, its final weights and those of its lowest validation loss.

    Parameters
    ----------
    spectra, subset : Path
        The prepared spectra and the rows to train and validate on.
    params : mapping
        `Study.run_params` of the run.
    history, model, best : Path
        Files written. Without validation `best` holds the final weights.
    state : Path
        Folder of what is kept while the training is under way.
    """
    rows = Subset.load(subset)
    settings = params["network"]
    data = load_examples(spectra, rows.train, settings)
    validation = load_examples(spectra, rows.validation, settings) if len(rows.validation) else None
    plan = build_plan(params, len(rows.train))
    steps_per_epoch = plan.steps_per_epoch(len(rows.train))
    network_model = build_model(settings, params["seed"], params["replicate"])
    task = Task(
        model=network_model,
        optimizer=optimizers.build(params["optimizer_spec"], total_steps=steps_per_epoch * plan.epochs),
        loss=weighted_line_losses,
        parts=[*settings["lines"], *(f"BAL_{line}" for line in settings["bal_lines"])],
    )
    reporter = Reporter(state, plan.epochs)
    progress = train(
        task,
        data,
        plan,
        validation,
        lambda p: reporter.epoch(p.epoch, p.epochs["loss"][-1], p.epochs["val_loss"][-1]),
    )
    outcome = _outcome(progress, len(rows.train), len(rows.validation), steps_per_epoch)
    record = progress.history()
    History(record.epochs, record.steps, {**params, "outcome": outcome}).save(history)
    _save_model(network_model, model)
    if progress.best_weights:
        network_model.set_weights(progress.best_weights)
    _save_model(network_model, best)
    reporter.end(progress.epoch, progress.epochs["loss"][-1], outcome["diverged"])
    if outcome["diverged"]:
        logger.warning("diverged: the loss of step %d is not finite", progress.diverged_step)


def _outcome(progress: Progress, n_train: int, n_validation: int, steps_per_epoch: int) -> dict[str, Any]:
    """What is known of a run once it is over, as JSON can hold it."""
    return {
        "n_train": n_train,
        "n_validation": n_validation,
        "steps_per_epoch": steps_per_epoch,
        "epochs": progress.epoch,
        "diverged": progress.diverged_step is not None,
        "diverged_step": progress.diverged_step,
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "host_cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("keras", "numpy", "h5py")} | {"tensorflow": tf.__version__},
    }


def _save_model(model: keras.Model, path: Path) -> None:
    with whole_file(path) as temporary:
        model.save(temporary)
