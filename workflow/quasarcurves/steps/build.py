"""Build what a run trains with from its settings: network, order of batches, optimizer, examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from quasarcurves import tasks
from quasarcurves.spectra.subsets import Subset
from quasarcurves.tasks.protocol import Task
from quasarcurves.training import optimizers
from quasarcurves.training.curvature import Curvature, drawn_batches
from quasarcurves.training.history import History
from quasarcurves.training.loop import Trainer
from quasarcurves.training.plan import Learner, Plan
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.score import Score
from quasarcurves.training.settings import CurvatureSettings
from quasarcurves.training.snapshots import Snapshots

_WEIGHTS, _ORDER, _PROBE, _BATCHES, _VERSIONS = 1, 2, 3, 4, 5
"""Tags that keep the random streams of initial weights, batch order, the curvature's probe and batches, and the drawing
of versions apart."""


def build_model(task: Task, seed: int, replicate: int, precision: str = "float32") -> keras.Model:
    """Build the model of a task; initial weights depend on seed, replicate and backend."""
    return task.build(int(np.random.SeedSequence([seed, _WEIGHTS, replicate]).generate_state(1)[0]), precision)


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
            f"{n_train} training examples are fewer than training.batch_size {settings.batch_size}, "
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
    """Build everything that runs of a study train with; an example is read once, however many runs train on it.

    Parameters
    ----------
    spectra : Path
        The prepared examples.
    subsets : sequence of Subset
        Those to train and validate on, of each run; the validation set is that of the first.
    runs : sequence of RunSettings
        They have the same task and network.
    matched : sequence of Path or None
        History of the run whose effective step a run is held to.

    Raises
    ------
    ValueError
        If the task cannot do what the runs ask for.
    """
    task = tasks.trained(runs[0].task, runs[0].network)
    rows = np.unique(np.concatenate([subset.train for subset in subsets]))
    data, held_out = task.load_versions(spectra, rows, runs[0].seed), subsets[0].validation
    validation, scores = None, {}
    if len(held_out):
        validation = task.load(spectra, held_out)
        scores = {best: task.validation_score(spectra, held_out, best) for best in {run.training.best for run in runs}}
    return [
        _build_trainer(
            task, one, data, validation, scores.get(one.training.best),
            np.searchsorted(rows, subset.train).astype(np.int32), held_to,
        )
        for one, subset, held_to in zip(runs, subsets, matched, strict=True)
    ]  # fmt: skip


def _build_trainer(
    task: Task,
    run: RunSettings,
    data: tuple[np.ndarray, ...],
    validation: Sequence[np.ndarray] | None,
    score: Score | None,
    places: np.ndarray,
    matched: Path | None,
) -> Trainer:
    """Build what trains a run on the examples in some places of the data."""
    plan = build_plan(run, len(places))
    effective_step = History.load(matched).steps["effective_step_q50"] if matched else None
    model = build_model(task, run.seed, run.replicate, run.training.precision)
    task.check(model, data)
    learner = Learner(
        model=model,
        optimizer=optimizers.build(run.optimizer_spec, run.training.n_steps(len(places)), effective_step),
        loss=task.loss,
        parts=task.parts,
        clipped=task.clipped,
    )
    learner.optimizer.build(learner.weights)
    plan = replace(plan, order=_drawn(plan.order, places, task.versions, len(data[0]), run))
    curvature = None if run.diagnosis is None else build_curvature(learner, data, places, run, run.diagnosis)
    return Trainer(learner, plan, data, validation, curvature, _snapshots(learner, run), score)


def _drawn(
    order: Callable[[int], np.ndarray], places: np.ndarray, versions: int, n: int, run: RunSettings
) -> Callable[[int], np.ndarray]:
    """Return the order of an epoch in places of the data, which has n examples in all versions together."""
    if versions == 1:
        return lambda epoch: places[order(epoch)]
    size = n // versions

    def drawn(epoch: int) -> np.ndarray:
        rng = np.random.default_rng([run.seed, _VERSIONS, run.replicate, epoch])
        return places[order(epoch)] + size * rng.integers(versions, size=len(places), dtype=np.int32)

    return drawn


def build_curvature(
    learner: Learner, data: Sequence[np.ndarray], places: np.ndarray, run: RunSettings, settings: CurvatureSettings
) -> Curvature:
    """Build what measures the curvature; examples depend on seed and replicate alone.

    Parameters
    ----------
    learner : Learner
    data : sequence of (n, ...) arrays
        The model's input, then the targets that `learner.loss` takes.
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
        learner,
        [array[rows] for array in data],
        settings.curvature_every,
        [[array[batch] for array in data] for batch in batches],
    )


def _snapshots(learner: Learner, run: RunSettings) -> Snapshots | None:
    """Build what takes snapshots, if the study asks for some."""
    return None if run.snapshots is None else Snapshots(learner.model, run.snapshots.keep, run.snapshots.limits)
