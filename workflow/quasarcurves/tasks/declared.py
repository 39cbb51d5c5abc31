"""Tasks as a study knows them before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from quasarcurves import tasks
from quasarcurves.quasarnet import declared as usual
from quasarcurves.tasks.declaration import Declaration
from quasarcurves.training.cost import Cost
from quasarcurves.training.run_settings import TaskSettings


class Declared(Protocol):
    """What a study asks of its task, whose keys the blocks `data` and `network` are.

    Attributes
    ----------
    name : str
        As the study says it.
    settings : TaskSettings or None
        What the settings of its runs say of it; None for the usual task.
    example, examples : str
        What one example is called, and several.
    draws : bool
        Whether a function of the task file draws an example.
    scores : str
        What is measured of a model on the test set.
    better : mapping of str to str
        `higher` or `lower`, of measures that the task says it of.
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def settings(self) -> TaskSettings | None:
        """See above."""

    @property
    def example(self) -> str:
        """See above."""

    @property
    def examples(self) -> str:
        """See above."""

    @property
    def draws(self) -> bool:
        """See above."""

    @property
    def scores(self) -> str:
        """See above."""

    @property
    def better(self) -> Mapping[str, str]:
        """See above."""

    def complete(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema of a study with the keys of the task."""

    def check(self, config: Mapping[str, Any]) -> None:
        """Refuse a study that asks for what the task cannot do: complete, `data` and `network` as returned below."""

    def data(self, config: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return the `data` block of a study as preparing the examples takes it, with the seed if it needs one."""

    def network(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the `network` block of a study as its runs have it: files that it names stand with their hashes."""

    def training_modules(self, network: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the library's modules that training with such a block imports by name, besides that of the task."""

    def files(self, data: Mapping[str, Any]) -> list[Path]:
        """Return the files that the examples are read from."""

    def data_modules(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the library's modules that preparing the examples imports by name, besides that of the task."""

    def known_examples(self, data: Mapping[str, Any]) -> int | None:
        """Return the number of examples where the study says it."""

    def count(self, prepared: Path, data: Mapping[str, Any], source_bytes: int) -> int:
        """Return the number of prepared examples, or a guess before they are."""

    def one_kind(self, prepared: Path, data: Mapping[str, Any]) -> str:
        """Say what cannot be learnt, as all examples are of one kind; empty where that is not known."""

    def cost(self, network: Mapping[str, Any], prepared: Path) -> Cost:
        """Return what an example costs."""


def declared(name: str) -> Declared:
    """Return the task that a study names.

    Raises
    ------
    ValueError
        If there is none of the name.
    FileNotFoundError
        If the task file is not there.
    """
    return usual.Declared() if name == tasks.USUAL else Declaration(name)
