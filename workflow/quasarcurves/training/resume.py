"""Between a training and its state: capture all that it goes on from, and restore it."""

from __future__ import annotations

from typing import Any

import numpy as np

from quasarcurves.training.checkpoint import State
from quasarcurves.training.loop import Trainer
from quasarcurves.training.record import Record
from quasarcurves.training.snapshots import Snapshot


def capture(trainer: Trainer, resumed: list[int]) -> State:
    """Copy all that a training goes on from.

    Parameters
    ----------
    trainer : Trainer
    resumed : list of int
        Epochs at which it was resumed before.
    """
    record = trainer.record
    sequences = {
        # variables hold the states of random generators as well, weights do not
        "model": [np.asarray(variable) for variable in trainer.learner.model.variables],
        "optimizer": [np.asarray(variable) for variable in trainer.learner.optimizer.variables],
        "best": record.best_weights,
        "epoch_parts": record.epoch_parts,
        "epoch_sizes": record.epoch_sizes,
    }
    arrays = {f"{name}/{i}": array for name, arrays in sequences.items() for i, array in enumerate(arrays)}
    arrays |= {f"epochs/{name}": np.array(values, np.float64) for name, values in record.epochs.items()}
    arrays |= {f"curvature/{name}": np.array(values, np.float64) for name, values in record.curvature.items()}
    arrays |= {f"steps/{name}": np.concatenate(blocks) for name, blocks in record.steps.items()}
    values: dict[str, Any] = {
        "epoch": record.epoch,
        "step": record.step_in_epoch,
        "epoch_seconds": record.epoch_seconds,
        "best_loss": record.best_loss,
        "best_score": record.best_score,
        "diverged_step": record.diverged_step,
        "resumed": resumed,
    }
    if trainer.snapshots:
        taken = trainer.snapshots.state()
        values["snapshots"] = {name: snapshot.facts for name, snapshot in taken.items()}
        arrays |= {
            f"snapshots/{name}/{path}": array
            for name, snapshot in taken.items()
            for path, array in snapshot.weights.items()
        }
    return State(arrays, values)


def restore(trainer: Trainer, state: State) -> None:
    """Put a training where a state of it was captured."""
    for name, variables in (
        ("model", trainer.learner.model.variables),
        ("optimizer", trainer.learner.optimizer.variables),
    ):
        for variable, value in zip(variables, state.sequence(name), strict=True):
            variable.assign(value)
    values = state.values
    trainer.record = Record(
        epoch=values["epoch"],
        epochs={name: list(column) for name, column in state.group("epochs").items()},
        steps={name: [column] for name, column in state.group("steps").items()},
        epoch_parts=state.sequence("epoch_parts"),
        epoch_sizes=state.sequence("epoch_sizes"),
        epoch_seconds=values["epoch_seconds"],
        curvature={name: list(column) for name, column in state.group("curvature").items()},
        best_loss=values["best_loss"],
        best_score=values["best_score"],
        best_weights=state.sequence("best"),
        diverged_step=values["diverged_step"],
        score=trainer.record.score,
    )
    if trainer.snapshots:
        taken = values["snapshots"].items()
        trainer.snapshots.restore(
            {name: Snapshot(**facts, weights=state.group(f"snapshots/{name}")) for name, facts in taken}
        )
