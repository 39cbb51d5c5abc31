"""One run of a study, from prepared spectra to its history and models: where spectra, network and training meet."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
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
from quasarcurves.training.loop import Lockstep, Trainer
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
    for how in ("backend", "precision", "pack"):
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


@dataclass(frozen=True)
class Job:
    """A run to be trained, with its files.

    Parameters
    ----------
    params : mapping
        `Study.run_params` of the run.
    key : str
        Stands for everything that the training depends on, apart from the number of epochs.
    subset : Path
        The rows to train and validate on.
    state : Path
        Folder of what is kept while the training is under way.
    history, model, best : Path
        Files written. Without validation `best` holds the final weights.
    matched : Path, optional
        History of the run whose effective step this one is held to, if its optimizer says so.
    snapshots : Path, optional
        Written as well, by `snapshots.save`, where `params` ask for snapshots.
    """

    params: Mapping[str, Any]
    key: str
    subset: Path
    state: Path
    history: Path
    model: Path
    best: Path
    matched: Path | None = None
    snapshots: Path | None = None


def train_runs(spectra: Path, jobs: Sequence[Job], settings: Mapping[str, Any], take_over: bool = False) -> None:
    """Train models and write of each its history, its final weights and those of its lowest validation loss.

    Goes on from states that an earlier call has left, if they fit: after a kill, or to extend a training. Several runs
    are trained at once, those together that are as far and have as many examples.

    Parameters
    ----------
    spectra : Path
        The prepared spectra.
    jobs : sequence of Job
        Several only with JAX; with the same network, training and validation set.
    settings : mapping
        `Study.state_settings`: what does not change the result.
    take_over : bool
        Have a process that trains a run already save its state and leave, instead of leaving the run to it.

    Raises
    ------
    Stopped
        If the process is told to end; the state has been saved.
    AlreadyTraining
        If another process trains one of the runs, and stays.
    TakenOver
        If another process has taken over; the state has been saved.
    """
    with ExitStack() as stack:
        owners = [stack.enter_context(sole_owner(job.state, take_over)) for job in jobs]
        stop = stack.enter_context(StopSignals())
        subsets = [Subset.load(job.subset) for job in jobs]
        trainers = build_trainers(spectra, subsets, [job.params for job in jobs], [job.matched for job in jobs])
        runs = [_Run(*parts) for parts in zip(jobs, trainers, subsets, owners, strict=True)]
        for together in _as_far(runs):
            lockstep = _lockstep(together)
            _train_with_checkpoints(lockstep, together, settings["checkpoint_every"], stop)
            lockstep.finish()
            for run in together:
                run.write(settings["keep_state"])


class _Run:
    """A run under way: between its training and its files."""

    def __init__(self, job: Job, trainer: Trainer, subset: Subset, owner: Owner) -> None:
        self.job, self.trainer, self.subset, self.owner = job, trainer, subset, owner
        self.reporter = Reporter(job.state, trainer.plan.epochs, f"{job.state.parent.name}/{job.state.name}")
        self._checkpoints = Checkpoints(job.state, job.key)
        self._resumed = self._resume()

    @property
    def place(self) -> tuple[int, int, int]:
        """Epochs done, steps done in the next one, and examples in each: runs with the same can be trained together."""
        progress = self.trainer.progress
        return progress.epoch, progress.step_in_epoch, len(self.subset.train)

    def _resume(self) -> list[int]:
        """Go on from the latest state that fits; give the epochs at which that was done."""
        state = self._checkpoints.load(self.trainer.plan.epochs)
        if state is None:
            return []
        restore(self.trainer, state)
        before = list(state.values["resumed"])
        if not self.trainer.goes_on:
            return before
        logger.info("going on from epoch %d, step %d", *state.place)
        return [*before, self.trainer.progress.epoch]

    def save(self) -> None:
        """Keep the state."""
        self._checkpoints.save(capture(self.trainer, self._resumed))

    def save_finished(self) -> None:
        """Keep the state at the end."""
        self._checkpoints.save_finished(capture(self.trainer, self._resumed))

    def report(self) -> None:
        """Report the last epoch."""
        progress = self.trainer.progress
        self.reporter.epoch(progress.epoch, progress.epochs["loss"][-1], progress.epochs["val_loss"][-1])

    def write(self, keep_state: bool) -> None:
        """Write the results, once the training is over."""
        self.owner.confirm()
        job, trainer, rows = self.job, self.trainer, self.subset
        outcome = _outcome(trainer, len(rows.train), len(rows.validation), self._resumed)
        record = trainer.progress.history()
        replace(record, params={**job.params, "outcome": outcome}).save(job.history)
        if job.snapshots and trainer.snapshots:
            snapshots.save(job.snapshots, trainer.snapshots.spikes)
        _save_models(trainer, job.model, job.best, job.params)
        size = self._checkpoints.tidy(keep_state)
        logger.info("training state kept: %.1f MB", size / 1e6)
        self.reporter.end(outcome["epochs"], float(record.epochs["loss"][-1]), outcome["diverged"])


def _as_far(runs: Sequence[_Run]) -> list[list[_Run]]:
    """Divide runs into those that can be trained together."""
    found: dict[tuple, list[_Run]] = {}
    for run in runs:
        found.setdefault(run.place, []).append(run)
    return list(found.values())


def _lockstep(runs: Sequence[_Run]) -> Lockstep:
    """Give what trains some runs; those with the same optimizer have to stand together."""
    if len(runs) == 1:
        return runs[0].trainer.alone
    groups = [[run.trainer for run in same] for _, same in groupby(runs, key=lambda run: run.job.params["optimizer"])]
    return Lockstep([trainer for group in groups for trainer in group], backends.pack(groups))


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
    """Build everything that a run of a study trains with: see `build_trainers`."""
    return build_trainers(spectra, [rows], [params], [matched])[0]


def build_trainers(
    spectra: Path, subsets: Sequence[Subset], params: Sequence[Mapping[str, Any]], matched: Sequence[Path | None]
) -> list[Trainer]:
    """Build everything that runs of a study train with; each spectrum is read once, whoever trains on it.

    Parameters
    ----------
    spectra : Path
        The prepared spectra.
    subsets : sequence of Subset
        Those to train and validate on, of each run; the validation set is that of the first.
    params : sequence of mappings
        `Study.run_params` of each run; they have the same network.
    matched : sequence of Path or None
        History of the run whose effective step a run is held to.
    """
    settings = params[0]["network"]
    rows = np.unique(np.concatenate([subset.train for subset in subsets]))
    data = load_examples(spectra, rows, settings)
    held_out = subsets[0].validation
    validation = load_examples(spectra, held_out, settings) if len(held_out) else None
    return [
        _build_trainer(one, data, validation, np.searchsorted(rows, subset.train).astype(np.int32), held_to)
        for one, subset, held_to in zip(params, subsets, matched, strict=True)
    ]


def _build_trainer(
    params: Mapping[str, Any],
    data: Sequence[np.ndarray],
    validation: Sequence[np.ndarray] | None,
    places: np.ndarray,
    matched: Path | None,
) -> Trainer:
    """Build what trains a run on the examples in some places of the data."""
    settings, plan = params["network"], build_plan(params, len(places))
    steps = plan.steps_per_epoch(len(places)) * plan.epochs
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
    order = plan.order
    plan = replace(plan, order=lambda epoch: places[order(epoch)])
    return Trainer(task, plan, data, validation, _curvature(task, data, places, params), _snapshots(task, params))


def _curvature(
    task: Task, data: Sequence[np.ndarray], places: np.ndarray, params: Mapping[str, Any]
) -> Curvature | None:
    """Give what measures the curvature, if the study asks for it; its probe depends on seed and replicate alone."""
    if "diagnosis" not in params:
        return None
    settings = params["diagnosis"]
    rng = np.random.default_rng([params["seed"], _PROBE, params["replicate"]])
    rows = np.sort(rng.choice(places, min(settings["probe_size"], len(places)), replace=False))
    return Curvature(task, [array[rows] for array in data], settings["curvature_every"])


def _snapshots(task: Task, params: Mapping[str, Any]) -> snapshots.Snapshots | None:
    """Give what takes snapshots, if the study asks for some."""
    if "snapshots" not in params:
        return None
    limits = dict(params["snapshots"])
    return snapshots.Snapshots(task.model, limits.pop("keep"), snapshots.Limits(**limits))


def _train_with_checkpoints(lockstep: Lockstep, runs: Sequence[_Run], every: int, stop: StopSignals) -> None:
    """Train to the end, and keep the state now and then."""
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        lockstep.put_back()
        for run in runs:
            run.save()
        saved = time.monotonic()

    def after_block() -> None:
        leaves = stop.received or any(run.owner.is_other() for run in runs)
        if leaves or time.monotonic() - saved > _SAVE_SECONDS:
            save()
        stop.raise_if_received()
        for run in runs:
            run.owner.confirm()

    def after_epoch() -> None:
        # those that have diverged are behind
        for run in runs:
            if run.place[0] == lockstep.epoch:
                run.report()
        if lockstep.epoch % every == 0:
            save()

    first = lockstep.epoch
    lockstep.train(after_block, after_epoch)
    logger.info("%d epochs computed", lockstep.epoch - first)
    lockstep.put_back()
    for run in runs:
        run.save_finished()


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
