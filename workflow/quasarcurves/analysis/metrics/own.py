"""Scores of a task of one's own: the loss, and whatever its function `measure` returns.

`measure(targets, outputs)` returns for each name a number, or a value per example, whose mean is meant. Objects are
drawn with replacement, all examples of one together. A mean is taken with the weights of a draw; a number is measured
anew on the examples drawn. What is not finite is not known: no cell of a table is filled for it.

An interval of no width is none. A number that comes out the same in every draw, such as an F1 of a model that makes no
mistake on this test set, says nothing of the mistakes that it would make on another one. Of values that are all 0 or 1
the mean is a share, for which `bootstrap.draw` adds two objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from quasarcurves.analysis.metrics.bootstrap import Draws, draw
from quasarcurves.analysis.metrics.description import LOSS, TEST_LOSS, Description
from quasarcurves.analysis.metrics.scorer import SEED, Estimate
from quasarcurves.analysis.stats.resampling import ratio

Measure = Callable[[Any, np.ndarray], Mapping[str, Any]]
"""From targets and outputs of n examples to each metric's number or (n,) values."""

MOST_LOST = 0.05
"""Share of the draws that a number may not exist in, such as an AUC in one that holds a single class."""

_ROUNDING = 1e-9

_RESERVED = (LOSS, TEST_LOSS, "fraction", "replicate", "optimizer", "n_train", "model", "sample", "n")
_ENDS = ("_low", "_high")


@dataclass(frozen=True)
class OwnScorer:
    """Scores of a task that is a file of functions.

    Parameters
    ----------
    measure : callable, optional
        The task's function; without one there is the loss alone.
    description : Description
        Of its examples and metrics.
    name : str
        What errors call the task.
    """

    measure: Measure | None = None
    description: Description = field(default_factory=Description)
    name: str = "task"
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def test_set(self, spectra: Path, rows: np.ndarray) -> OwnTestSet:
        """Read the targets of some rows of the prepared examples: `targets`, or `targets_0` and so on, and `target_id`.

        Raises
        ------
        ValueError
            If the file lacks them.
        """
        with h5py.File(spectra, "r") as file:
            several = sorted((name for name in file if name.startswith("targets_")), key=lambda name: int(name[8:]))
            names = ["targets"] if "targets" in file else several
            if not names or "target_id" not in file:
                raise ValueError(f"{spectra}: expected targets and target_id, found {', '.join(file)}")
            found = tuple(_rows_of(file[name], rows) for name in names)
            target_id = _rows_of(file["target_id"], rows)
        return OwnTestSet(self, found if several else found[0], target_id)

    def values(self, targets: Any, outputs: np.ndarray, n: int) -> dict[str, np.ndarray]:
        """Measure n examples: each metric's number, shape (), or values, shape (n,), as float64; NaN if not finite.

        Raises
        ------
        ValueError
            If `measure` does not return what it should.
        """
        if self.measure is None or not n:
            return {}
        found = self.measure(targets, outputs)
        what = f"{self.name}: measure()"
        if not isinstance(found, Mapping):
            raise ValueError(f"{what} returned {type(found).__name__}, expected a dict from names to numbers or arrays")
        for name in found:
            self._check_name(name, found)
        return {name: _as_values(value, n, f"{what}: {name}") for name, value in found.items()}

    def _check_name(self, name: Any, others: Mapping[str, Any]) -> None:
        what = f"{self.name}: measure()"
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"{what} returned the name {name!r}, expected a word of letters, digits and _")
        if name in _RESERVED or any(f"{name}{end}" in others for end in _ENDS):
            taken = [*_RESERVED, *(f"{each}{end}" for each in others for end in _ENDS)]
            raise ValueError(f"{what} returned the name {name!r}, expected one whose columns are not taken by {taken}")


@dataclass(frozen=True)
class OwnTestSet:
    """The targets of n test examples.

    Parameters
    ----------
    scorer : OwnScorer
    targets : (n, ...) array, or a tuple of them
    target_id : (n,) array
        The group of each example.
    """

    scorer: OwnScorer
    targets: Any
    target_id: np.ndarray

    @cached_property
    def draws(self) -> Draws:
        """The draws that tell how uncertain numbers are, the same for all models."""
        return draw(self.target_id, np.random.default_rng(SEED))

    def sizes(self) -> dict[str, int]:
        """Return nothing: all metrics are of all examples."""
        return {}

    def score(self, group: h5py.Group) -> OwnScored:
        """Score a model from its group of a file of predictions, `outputs` (n, ...) and `loss` (n,).

        Raises
        ------
        ValueError
            If the group lacks them, or they are not of n examples.
        """
        n = len(self.target_id)
        for name in ("outputs", LOSS):
            if name not in group or len(group[name]) != n:
                found = f"{len(group[name])} of them" if name in group else f"no {name}"
                raise ValueError(f"{group.file.filename}: {group.name}: expected {name} of {n} examples, found {found}")
        return OwnScored(self, group["outputs"][:], group[LOSS][:].astype(np.float64))

    @cached_property
    def _forms(self) -> dict[str, str]:
        """What is measured of the first model that is scored, in words, by name."""
        return {}

    def check_alike(self, measured: Mapping[str, np.ndarray]) -> None:
        """Refuse a model of which other things are measured than of the first.

        Raises
        ------
        ValueError
            If names differ, or one is a number and the other a value per example.
        """
        forms = {name: "a value per example" if values.ndim else "a number" for name, values in measured.items()}
        if not self._forms:
            self._forms.update(forms)
        if forms != self._forms:
            expected, found = (
                ", ".join(f"{name}: {form}" for name, form in each.items()) for each in (self._forms, forms)
            )
            raise ValueError(
                f"{self.scorer.name}: measure() returned {found or 'nothing'}; expected {expected or 'nothing'}, "
                "as for another model"
            )

    def at(self, rows: np.ndarray) -> Any:
        """Return the targets of some rows."""
        return tuple(each[rows] for each in self.targets) if isinstance(self.targets, tuple) else self.targets[rows]


@dataclass(frozen=True)
class OwnScored:
    """What one model says of n test examples.

    Parameters
    ----------
    truth : OwnTestSet
    outputs : (n, ...) array
    loss : (n,) float64 array
    """

    truth: OwnTestSet
    outputs: np.ndarray
    loss: np.ndarray

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.loss)

    @cached_property
    def found(self) -> dict[str, np.ndarray]:
        """Return every metric, the loss first: its number, or (n,) values."""
        measured = self._measured(np.arange(len(self.loss)))
        self.truth.check_alike(measured)
        return {LOSS: self.loss, **measured}

    def value(self, name: str) -> float:
        """Return the value of a metric."""
        values = self.found[name]
        return float(values.mean()) if len(self.loss) else np.nan

    def drawn(self, draws: Draws) -> dict[str, np.ndarray]:
        """Return every metric, the loss first, (draws,) each; all NaN where nothing tells how uncertain it is."""
        if len(draws.weights) == 1:
            return {name: np.array([self.value(name)]) for name in self.found}
        numbers = self._numbers(draws)
        return {name: numbers[name] if name in numbers else self._mean(name, draws) for name in self.found}

    def estimates(self) -> dict[str, Estimate]:
        """Return every metric but the loss; the logarithm of those that are compared by their ratio."""
        numbers = self._numbers(self.truth.draws)
        return {name: self._estimate(name, numbers.get(name)) for name in self.found if name != LOSS}

    def says_as(self, other: OwnScored) -> bool:
        """Whether another model says the same of every example."""
        return np.array_equal(self.loss, other.loss) and np.array_equal(self.outputs, other.outputs)

    def _measured(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return self.truth.scorer.values(self.truth.at(rows), self.outputs[rows], len(rows))

    def _mean(self, name: str, draws: Draws) -> np.ndarray:
        """Return the mean of a metric's values in every draw."""
        values, weights = self.found[name], draws.weights.astype(np.float64)
        right, wrong = (draws.right, draws.wrong) if _is_share(values) else (0.0, 0.0)
        return _or_none(ratio(weights @ values + right, weights.sum(axis=1) + right + wrong))

    def _numbers(self, draws: Draws) -> dict[str, np.ndarray]:
        """Measure the metrics that are numbers anew in every draw."""
        names = [name for name, value in self.found.items() if value.ndim == 0]
        if not names:
            return {}
        found = {name: np.full(len(draws.weights), np.nan) for name in names}
        for i, weights in enumerate(draws.weights):
            rows = np.repeat(np.arange(len(weights)), weights.astype(int))
            try:
                measured = self._measured(rows)
            except ValueError:  # it does not exist in this draw: there is too little in it
                continue
            for name in names:
                if name in measured and measured[name].ndim == 0:
                    found[name][i] = measured[name]
        return {name: _or_none(values) for name, values in found.items()}

    def _estimate(self, name: str, drawn: np.ndarray | None) -> Estimate:
        values, value = self.found[name], self.value(name)
        log = self.truth.scorer.description.metric(name).is_ratio
        if log and not value > 0:
            return Estimate.unknown()
        if drawn is None:
            _, owner = np.unique(self.truth.target_id, return_inverse=True)
            pull = np.bincount(owner, (values - value) / len(values)) / (value if log else 1.0)
            known = pull if _vary(values) or _is_share(values) else np.full(len(pull), np.nan)
            share = _is_share(values) and not log
            return Estimate(float(np.log(value)) if log else value, known, len(values), share)
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = np.log(drawn) if log else drawn
        finite = np.isfinite(drawn)
        if finite.mean() < 1 - MOST_LOST:
            pull = np.full(len(drawn), np.nan)
        else:
            pull = np.where(finite, drawn - drawn[finite].mean(), 0.0) / np.sqrt(finite.sum() - 1)
        return Estimate(float(np.log(value)) if log else value, pull, len(self.loss))


def _rows_of(dataset: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """Read rows in any order, each at most once from the file."""
    distinct, place = np.unique(rows, return_inverse=True)
    return dataset[distinct][place] if len(distinct) else dataset[:0]


def _as_values(value: Any, n: int, what: str) -> np.ndarray:
    try:
        values = np.asarray(value)
    except ValueError:  # rows of several lengths
        raise ValueError(f"{what}: expected a number or {n} values, found {value!r:.100}") from None
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{what}: expected a number or {n} values, found {values.dtype} {value!r:.100}")
    if values.shape not in ((), (n,)):
        raise ValueError(f"{what}: expected a number or an array of shape ({n},), found shape {values.shape}")
    values = values.astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _is_share(values: np.ndarray) -> bool:
    return values.ndim == 1 and bool(np.isin(values, (0.0, 1.0)).all())


def _vary(values: np.ndarray) -> bool:
    """Whether finite values differ by more than rounding."""
    return bool(np.ptp(values) > _ROUNDING * np.abs(values).max()) if len(values) else False


def _or_none(drawn: np.ndarray) -> np.ndarray:
    """Return values in draws; NaN throughout if too many are not known, or all are the same."""
    finite = drawn[np.isfinite(drawn)]
    told = len(finite) >= (1 - MOST_LOST) * len(drawn) and _vary(finite)
    return drawn if told else np.full(len(drawn), np.nan)
