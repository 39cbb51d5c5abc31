"""What a test-set metric is called and how it is compared: all that tables, answers and figures have to know of it.

Which metrics there are is known from the tables. A description says more of those that it lists; any other is taken for
a number of which more is better and 1 is the best, unless it is said that less is better.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

HIGHER, LOWER = "higher", "lower"
LOSS = "loss"
"""The metric that all tasks have; learning curves and spike costs call it `test_loss`."""

TEST_LOSS = "test_loss"

_KINDS = ("difference_", "ratio_")


@dataclass(frozen=True)
class Metric:
    """A metric of a model on the test set.

    Parameters
    ----------
    name : str
        In tables.
    better : str
        `higher` or `lower`. Where less is better, two models are compared by their ratio, and the metric is itself the
        error that a learning curve is of. Where more is better, models are compared by their difference, and the error
        is 1 minus the value: 1 is the best of a share, an F1, an R^2.
    label : str
        In words; from the name unless given.
    unit : str
    short : str
        One word, beside a target in a figure.
    axis, error_axis : str
        At the axis of a figure, for the metric and for its error, where the label does not do.
    """

    name: str
    better: str = HIGHER
    label: str = ""
    unit: str = ""
    short: str = ""
    axis: str = ""
    error_axis: str = ""

    def __post_init__(self) -> None:
        if self.better not in (HIGHER, LOWER):
            raise ValueError(f"{self.name}: expected {HIGHER} or {LOWER}, found {self.better!r}")

    @property
    def is_ratio(self) -> bool:
        """Whether models are compared by their ratio: less is better."""
        return self.better == LOWER

    @property
    def comparison(self) -> str:
        """Name of the comparison in cures.csv."""
        return f"{_KINDS[self.is_ratio]}{self.name}"

    @property
    def words(self) -> str:
        """What it is called in a sentence."""
        return self.label or self.name.replace("_", " ")

    @property
    def words_of_error(self) -> str:
        """What its error is called in a sentence."""
        return f"the {self.words}" if self.is_ratio else f"1 - {self.words}"

    @property
    def words_of_target(self) -> str:
        """What a target is called in a sentence."""
        return f"{_article(self.words)} {self.words}{f' in {self.unit}' if self.unit else ''}"

    @property
    def column(self) -> str:
        """Head of a column of a page."""
        return self._with_unit(self.name.replace("_", " "))

    @property
    def axis_label(self) -> str:
        """Label of an axis."""
        return self.axis or self._with_unit(self.words)

    @property
    def error_label(self) -> str:
        """Label of an axis of its error."""
        return self.error_axis or (self._with_unit(self.words) if self.is_ratio else f"1 - {self.words}")

    def target_label(self, value: float) -> str:
        """Write a target as a figure shows it."""
        return f"{self.short or self.words} {value:g}{f' {self.unit}' if self.unit else ''}"

    def error(self, value: Any) -> Any:
        """Return the error of a value or of an array of them, and the value of an error."""
        return value if self.is_ratio else 1 - value

    def _with_unit(self, text: str) -> str:
        return f"{text} ({self.unit})" if self.unit else text


@dataclass(frozen=True)
class Description:
    """What a task calls its examples and its metrics.

    Parameters
    ----------
    example, examples : str
        What one is called, and several.
    metrics : tuple of Metric
        Those that more is said of.
    better : mapping of str to str
        `higher` or `lower`, of others; `higher` where nothing is said.
    judged_by : tuple of str
        Metrics that two models are judged by, the first one above all; every one but the loss, in the order of the
        tables, if empty.
    listed : tuple of str
        Metrics in the tables of the answer; as many of `judged_by` as there is room for, if empty.
    curves : tuple of str
        Metrics that have a learning curve, in their order; every one, the test loss last, if empty.
    rows : mapping of str to object
        Columns of test_metrics.csv and the values of them in the rows that are of the whole test set.
    loss_varies_as : str
        The metric whose bootstrap tells the noise of the test loss, if the loss has none of its own.
    """

    example: str = "example"
    examples: str = "examples"
    metrics: tuple[Metric, ...] = ()
    better: Mapping[str, str] = field(default_factory=dict)
    judged_by: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    rows: Mapping[str, object] = field(default_factory=lambda: {"sample": "all"})
    loss_varies_as: str = ""

    def metric(self, name: str) -> Metric:
        """Return what is known of a metric."""
        for metric in (*self.metrics, *_LOSSES):
            if metric.name == name:
                return metric
        return Metric(name, self.better.get(name, HIGHER))

    def judges(self, names: Iterable[str]) -> list[str]:
        """Return those of some metrics that models are judged by, the first one above all."""
        return _chosen(self.judged_by, names)

    def lists(self, names: Iterable[str]) -> list[str]:
        """Return those of some metrics that are in the tables of the answer."""
        return _chosen(self.listed, names)[:_MOST_LISTED]

    def with_curves(self, names: Iterable[str]) -> list[str]:
        """Return those of some metrics that have a learning curve, in the order in which they are spoken of.

        The test loss comes last, unless `curves` says otherwise: others mean more.
        """
        names = list(dict.fromkeys(names))
        order = self.curves or [*_chosen((), names), TEST_LOSS]
        return [name for name in order if name in names]


def compared_in(columns: Iterable[str]) -> list[str]:
    """Return the test metrics that cures.csv compares, by the names of its columns and in their order."""
    columns = list(columns)
    return [
        column.removeprefix(kind)
        for column in columns
        for kind in _KINDS
        if column.startswith(kind) and f"{column}_low" in columns
    ]


_LOSSES = (Metric(LOSS, LOWER), Metric(TEST_LOSS, LOWER))
_MOST_LISTED = 3

PLAIN = Description()
"""What a task calls things that says nothing of them."""


def _chosen(listed: Iterable[str], names: Iterable[str]) -> list[str]:
    names = [name for name in dict.fromkeys(names) if name not in (LOSS, TEST_LOSS)]
    return [name for name in listed if name in names] if listed else names


def _article(words: str) -> str:
    return "an" if words[:1].lower() in "aeiou" else "a"
