"""Snapshots: the weights of a model just before the tallest spikes of its training, and at their peaks.

Whether a spike is tall is known only after it. So one copy of the weights is always kept, that of the last epoch on
course, and replaced at the end of every such epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from quasarcurves.files import whole_file
from quasarcurves.training.settings import Limits

if TYPE_CHECKING:
    import keras

KINDS = ("before", "peak")

_FACTS = {"epoch": int, "loss": float, "ratio": float}


@dataclass(frozen=True)
class Snapshot:
    """A model at the end of an epoch.

    Parameters
    ----------
    epoch : int
        Counted from 1.
    loss : float
        Mean training loss of the epoch. The weights are those at its end, so they may be on their way up or down.
    ratio : float
        Loss over the median of the epochs before; NaN for the first.
    weights : mapping of str to array
        By the variables' paths: all that inference needs, so the moving statistics of batch normalisation as well. As
        these lag behind the weights (by 1 / (1 - momentum) = 100 steps), a model in a spike may be worse or better at
        inference than its training loss says. It is the model that a training stopped there would leave.
    """

    epoch: int
    loss: float
    ratio: float
    weights: Mapping[str, np.ndarray]

    @property
    def facts(self) -> dict[str, Any]:
        """All but the weights, as JSON and HDF5 attributes can hold it."""
        return {name: kind(getattr(self, name)) for name, kind in _FACTS.items()}

    def put_into(self, model: keras.Model) -> None:
        """Put these weights into a model.

        Raises
        ------
        ValueError
            If it has other variables.
        """
        variables = _by_path(model)
        shapes = [{path: tuple(array.shape) for path, array in each.items()} for each in (variables, self.weights)]
        if shapes[0] != shapes[1]:
            other = sorted(path for path in {*variables, *self.weights} if shapes[0].get(path) != shapes[1].get(path))
            raise ValueError(f"snapshot of epoch {self.epoch}: its weights {', '.join(other)} are not the model's")
        for path, variable in variables.items():
            variable.assign(self.weights[path])


@dataclass(frozen=True)
class Spike:
    """The snapshots of one spike."""

    before: Snapshot
    peak: Snapshot


class Snapshots:
    """The snapshots of a training's tallest spikes, taken while it goes on.

    Parameters
    ----------
    model : keras.Model
        The one that is trained. Its own weights are taken, also where an optimizer keeps an average of them.
    keep : int
        Spikes at most.
    limits : Limits
    """

    def __init__(self, model: keras.Model, keep: int, limits: Limits) -> None:
        self._variables, self._keep, self._limits = _by_path(model), keep, limits
        self._calm: Snapshot | None = None
        self._rising: Spike | None = None
        self._over: list[Spike] = []

    def after_epoch(self, losses: Sequence[float]) -> None:
        """Take the snapshots that are due at the end of an epoch.

        Parameters
        ----------
        losses : sequence of float
            Mean training losses of all epochs done. A loss that is not finite is no spike: it ends the training.
        """
        epoch, loss = len(losses), losses[-1]
        if epoch < self._limits.settled or not np.isfinite(loss):
            return
        ratio = self._limits.ratio(losses)
        if epoch > self._limits.settled and ratio > self._limits.course:
            if self._rising is None or loss > self._rising.peak.loss:
                before = self._rising.before if self._rising else self._calm
                assert before is not None, "the settled epoch is always taken"
                self._rising = Spike(before, self._taken(epoch, loss, ratio))
        else:
            self._over, self._rising = self._tallest(), None
            self._calm = self._taken(epoch, loss, ratio)

    @property
    def spikes(self) -> list[Spike]:
        """The tallest spikes so far, in the order of time; a spike under way counts with its peak so far."""
        return sorted(self._tallest(), key=lambda spike: spike.peak.epoch)

    def _tallest(self) -> list[Spike]:
        tall = [self._rising] if self._rising and self._rising.peak.ratio > self._limits.high else []
        return sorted([*self._over, *tall], key=lambda spike: -spike.peak.ratio)[: self._keep]

    def _taken(self, epoch: int, loss: float, ratio: float) -> Snapshot:
        weights = {path: np.array(variable.numpy()) for path, variable in self._variables.items()}
        return Snapshot(epoch, loss, ratio, weights)

    def state(self) -> dict[str, Snapshot]:
        """Return all snapshots held, by names that `restore` understands."""
        pairs = {"rising": self._rising} | {f"over{i}": spike for i, spike in enumerate(self._over)}
        found = {f"{name}_{kind}": getattr(pair, kind) for name, pair in pairs.items() if pair for kind in KINDS}
        return found | ({"calm": self._calm} if self._calm else {})

    def restore(self, state: Mapping[str, Snapshot]) -> None:
        """Go on from what `state` gave."""
        names = {name.removesuffix("_peak") for name in state if name.endswith("_peak")}
        pairs = {name: Spike(*(state[f"{name}_{kind}"] for kind in KINDS)) for name in names}
        self._calm, self._rising = state.get("calm"), pairs.pop("rising", None)
        self._over = [pairs[f"over{i}"] for i in range(len(pairs))]


def save(path: Path, spikes: Sequence[Spike]) -> None:
    """Write the snapshots of spikes to an HDF5 file.

    Parameters
    ----------
    path : Path
        File written: groups `<n>_before` and `<n>_peak`, n from 1 in the order given, each with the weights by their
        paths and the attributes `spike` (n), `kind`, `epoch`, `loss` and `ratio` (see `Snapshot`).
    spikes : sequence of Spike
        May be empty.
    """
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        for n, spike in enumerate(spikes, 1):
            for kind in KINDS:
                snapshot, group = getattr(spike, kind), file.create_group(f"{n}_{kind}")
                group.attrs.update({"spike": n, "kind": kind, **snapshot.facts})
                for name, array in snapshot.weights.items():
                    group[name] = array


def load(path: Path) -> dict[str, Snapshot]:
    """Read snapshots back, by the names of their groups in the file."""
    with h5py.File(path, "r") as file:
        return {name: _of_group(group) for name, group in file.items()}


def _of_group(group: h5py.Group) -> Snapshot:
    weights: dict[str, np.ndarray] = {}
    group.visititems(lambda name, item: weights.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return Snapshot(**{name: kind(group.attrs[name]) for name, kind in _FACTS.items()}, weights=weights)


def _by_path(model: keras.Model) -> dict[str, keras.Variable]:
    """Return the weights of a model by their paths; two with one path are refused, a file would lose one of them."""
    variables = {variable.path: variable for variable in model.weights}
    if len(variables) < len(model.weights):
        raise ValueError(f"{model.name}: expected weights with different paths, found some alike")
    return variables
