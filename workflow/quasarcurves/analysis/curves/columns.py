"""Which columns of a table are losses, epochs and steps, by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quasarcurves.analysis.curves.curve import Told
from quasarcurves.analysis.curves.tables import Table
from quasarcurves.training.suggestions import nearest

_HELD_OUT = {"val", "valid", "validation", "eval", "evaluation", "dev", "holdout", "test"}
_NEUTRAL = {"train", "training", "trainer", "tr", "epoch", "batch", "step", "mean", "avg", "average", "total", "on"}
"""Words beside `loss` in the name of the whole loss of a training."""

_EPOCH = {"epoch", "epochs", "num", "number", "current"}
_STEP = {"global", "step", "steps", "iter", "iters", "iteration", "iterations", "update", "updates", "trainer", "train"}
_BATCH = {"batch", "batches", "idx", "index", "number"}
_SURE_OF_STEPS = {"global", "iter", "iters", "iteration", "iterations", "update", "updates"}

FACTS = {
    "examples": ("n_train", "examples", "n_examples", "num_examples", "train_size", "n_samples", "samples"),
    "batch_size": ("batch_size", "batchsize"),
    "steps_per_epoch": ("steps_per_epoch",),
}
"""Columns that say what is known of a training."""

_NO_METRIC = {"time", "seconds", "timestamp", "runtime", "lr", "rate", "date", "created"}
_BETTER_HIGH = {"accuracy", "acc", "f1", "auc", "precision", "recall", "score", "reward"}


@dataclass(frozen=True)
class Roles:
    """Columns of a table by what they hold.

    Parameters
    ----------
    losses : tuple of (str, str)
        Training losses, each with its validation loss, or an empty text.
    epoch, step, batch : str
        Number of the epoch, of the step, and of the batch in the epoch; empty where there is none.
    sure : bool
        Whether the name of the step says that it is one of the optimizer, not just of a logger.
    notes : tuple of str
    """

    losses: tuple[tuple[str, str], ...]
    epoch: str = ""
    step: str = ""
    batch: str = ""
    sure: bool = False
    notes: tuple[str, ...] = ()


def words(name: str) -> list[str]:
    """Return the words of a column's name, in lower case: those of `valLoss` are val and loss."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", str(name)).lower()
    # valloss, trainloss
    apart = re.sub(r"(?<=[a-z])loss\b", " loss", apart)
    return [word for word in re.split(r"[^a-z0-9]+", apart) if word]


def roles(table: Table, told: Told) -> Roles:
    """Find the columns of a table.

    Raises
    ------
    ValueError
        If a column that is told is missing, or no column is the loss for sure.
    """
    names = [str(name) for name in table.columns]
    epoch = _first(names, _EPOCH, "epoch")
    step = _first(names, _STEP, "step", "iter", "iteration", "iterations", "global", "update", "updates")
    batch = _first(names, _BATCH, "batch", "batches")
    places = [name for name in (epoch, step, batch) if name]
    pairs, notes = _losses(table, names, places, told)
    sure = bool(batch) or bool(_SURE_OF_STEPS & set(words(step)))
    return Roles(tuple(pairs), epoch, step, batch, sure, tuple(notes))


def _first(names: Iterable[str], allowed: set[str], *needed: str) -> str:
    """Return the first name all of whose words are allowed, and one of them needed."""
    for name in names:
        own = set(words(name))
        if own and own <= allowed and own & set(needed):
            return name
    return ""


def _losses(
    table: Table, names: Sequence[str], places: Sequence[str], told: Told
) -> tuple[list[tuple[str, str]], list[str]]:
    if told.loss:
        for name in (*told.loss, *told.val_loss):
            _check(name, names, table)
        held = told.val_loss or tuple(_partner(name, names) for name in told.loss)
        return list(zip(told.loss, (*held, *[""] * len(told.loss)), strict=False)), []
    losses = [name for name in names if "loss" in words(name)]
    training = [name for name in losses if not _HELD_OUT & set(words(name))]
    whole = [name for name in training if not _core(name)]
    notes: list[str] = []
    if whole:
        # of several the one with most values: a loss of steps before the same one of epochs
        best = max(whole, key=lambda name: table.columns[name].notna().sum())
        others = [name for name in training if name != best and table.columns[name].notna().sum() > 1]
        if others:
            notes.append(f"losses: {best!r} is taken, {_listed(others)} not; --loss takes others")
        training = [best]
    if not training:
        return _without_training_loss(table, names, places, losses)
    for name in told.val_loss:
        _check(name, names, table)
    held = told.val_loss or tuple(_partner(name, names) for name in training)
    return list(zip(training, (*held, *[""] * len(training)), strict=False)), notes


def _without_training_loss(
    table: Table, names: Sequence[str], places: Sequence[str], losses: Sequence[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Take validation losses as losses, or the only column that there is."""
    if losses:
        return [(name, "") for name in losses[:1]], [f"there is no training loss: {losses[0]!r} is read in its place"]
    known = {*places, *(name for some in FACTS.values() for name in some)}
    left = [name for name in names if name not in known and not _NO_METRIC & set(words(name))]
    if len(left) == 2 and not places and all(name.startswith("column ") for name in left):
        left = left[1:]  # numbers alone: the first counts
    if len(left) == 1 and not _BETTER_HIGH & set(words(left[0])):
        return [(left[0], "")], [] if left[0] == "loss" else [f"column {left[0]!r} is taken as the loss"]
    raise ValueError(
        f"{table.source}: expected a column whose name has 'loss', found {_listed(names) or 'none'}; "
        "--loss says which it is"
    )


def _check(name: str, names: Sequence[str], table: Table) -> None:
    if name not in names:
        raise ValueError(f"{table.source}: there is no column {name!r}: {nearest(name, names)}")


def _core(name: str) -> set[str]:
    return set(words(name)) - _NEUTRAL - _HELD_OUT - {"loss"}


def _partner(name: str, names: Sequence[str]) -> str:
    """Return the validation loss that belongs to a training loss: one of a test set only where there is no other."""
    held = [each for each in names if "loss" in words(each) and _HELD_OUT & set(words(each))]
    fitting = [each for each in held if _core(each) == _core(name)]
    return min(fitting, key=lambda each: "test" in words(each), default="")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:6]))
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "")
