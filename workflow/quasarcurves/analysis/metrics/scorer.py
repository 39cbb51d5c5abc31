"""What the analysis asks of a task: to score a model on the test set, as it is and on test sets drawn from it.

A scorer reads the truth of a test set once and what each model says of it. Everything else, intervals over objects,
paired differences of models, verdicts, follows from the values here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import h5py
import numpy as np

from quasarcurves.analysis.metrics.bootstrap import Draws
from quasarcurves.analysis.metrics.description import Description

MODELS = ("final", "best")
"""The models of a run that are scored: at the end of training, and the best by the validation set."""

SEED = 1
"""Of the draws of the test set, the same for all studies."""

T = TypeVar("T")


@dataclass(frozen=True)
class Estimate:
    """The value of a metric of one model, and what makes it uncertain; of a ratio's metric its logarithm.

    Parameters
    ----------
    value : float
        NaN if there is none.
    pull : (k,) array
        Parts of its error that are independent and add in quadrature, the same for all models of a test set: what each
        object adds to first order (the infinitesimal jackknife), or what it was in each of k draws of the test set,
        less their mean and over the root of k - 1.
    among : float
        Examples that it is of.
    share : bool
        Whether it is a share of them.
    """

    value: float
    pull: np.ndarray
    among: float
    share: bool = False

    @classmethod
    def unknown(cls) -> Estimate:
        """Return what there is of a metric that a model lacks."""
        return cls(np.nan, np.full(1, np.nan), 0)


class Scored(Protocol):
    """What one model is worth on the test set."""

    @property
    def n(self) -> int:
        """Number of examples."""

    def drawn(self, draws: Draws) -> dict[str, np.ndarray]:
        """Return every metric, the loss first, (draws,) each; NaN where there is none."""

    def estimates(self) -> dict[str, Estimate]:
        """Return the metrics that two models are compared by object by object; not the loss."""

    def says_as(self, other: Any) -> bool:
        """Whether another model says the same of every example."""


class TestSet(Protocol):
    """The truth of a test set."""

    @property
    def target_id(self) -> np.ndarray:
        """(n,) the object that each example is of."""

    def sizes(self) -> dict[str, int]:
        """Return the numbers of examples that tables state beside that of objects, by the name of their column."""

    def score(self, group: h5py.Group) -> Scored:
        """Score a model from its group of a file of predictions."""


class Scorer(Protocol):
    """How models of a task are scored."""

    @property
    def description(self) -> Description:
        """What its examples and metrics are called."""

    @property
    def chosen(self) -> Mapping[str, tuple[str, ...]]:
        """Metrics that a table has, by the name of the table; it has all where nothing is said."""

    def test_set(self, spectra: Path, rows: np.ndarray) -> TestSet:
        """Read the truth of some rows of the prepared examples."""


def predicted_runs(
    predictions: Iterable[Path], read_truth: Callable[[np.ndarray], T]
) -> Iterator[tuple[dict[str, Any], h5py.File, T]]:
    """Yield what `evaluate` wrote of a run, its open file of predictions, and the truth of the test set of all runs.

    Parameters
    ----------
    predictions : iterable of Path
        Of every run.
    read_truth : callable
        From the (n,) rows of the test set to their truth.

    Raises
    ------
    ValueError
        If runs differ in their test sets, or a file of predictions lacks something.
    """
    rows, truth = np.empty(0), None
    for path in predictions:
        with h5py.File(path, "r") as file:
            if missing := [name for name in ("row", *MODELS) if name not in file]:
                raise ValueError(f"{path}: expected row and the models {', '.join(MODELS)}, found no {missing[0]}")
            if truth is None:
                rows = file["row"][:]
                truth = read_truth(rows)
            if not np.array_equal(file["row"], rows):
                raise ValueError(f"{path}: expected the test set of the other runs, found another one")
            yield json.loads(file.attrs["run"]), file, truth


def chosen(scorer: Scorer, table: str, names: Iterable[str]) -> list[str]:
    """Return those of the metrics found that a table has, in its order."""
    names = list(names)
    return [name for name in scorer.chosen.get(table, names) if name in names]
