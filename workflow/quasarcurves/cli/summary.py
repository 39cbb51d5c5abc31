"""What a study found: the answer, then one small table and where the rest is."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from quasarcurves.analysis import tables
from quasarcurves.analysis.answer.compose import QUESTIONS
from quasarcurves.page import banner

_COLUMNS = ("optimizer", "runs", "diverged", "spikes", "converged", "last loss")
"""Of the table, between the size of the training set and what was measured on the test set."""

_SHOWN = 3
"""Optimizers that a question speaks of here; answer.md and answer.json have all."""


def show(results: Path, console: Console, not_current: str = "") -> None:
    """Print the answer of a study, its main numbers, and where its page and figures are.

    Parameters
    ----------
    results : Path
        Folder of the study's results.
    console : Console
    not_current : str
        Why results are not current, as `outdated.reason` says it; without it, what the answer says of that.

    Raises
    ------
    FileNotFoundError
        If the folder has no runs.csv.
    """
    if not (results / "runs.csv").is_file():
        raise FileNotFoundError(f"{results}: expected the results of a study, found no runs.csv there")
    if not_current:
        text = f"These results are not current. {not_current}"
        console.print(textwrap.fill(text, console.width), style="bold", markup=False, highlight=False)
    runs = tables.read(results / "runs.csv")
    for line, style in _answer(results, bool(not_current)):
        # an answer below its question is indented
        text = textwrap.fill(
            line, console.width, initial_indent="" if style else "  ", subsequent_indent="" if style else "  "
        )
        console.print(text, style=style, markup=False, highlight=False)
    console.print(_table(runs, results))
    console.print(
        "Spikes: sustained ones in the losses of steps, of all runs. Converged: runs whose training loss does not fall "
        f"any more. Last loss: training loss of the last epoch, the median of the runs.{_measured(results).meaning}",
        style="dim",
        highlight=False,
    )
    for name, path in _places(results):
        if path.exists():
            console.print(f"{name:<8} {path}", highlight=False, soft_wrap=True)


def _places(results: Path) -> Iterator[tuple[str, Path]]:
    yield "Page:", results / "index.html"
    yield "Answers:", results / "answer.md"
    yield "Figures:", results / "figures"


def _answer(results: Path, said: bool) -> Iterator[tuple[str, str]]:
    """Yield the lines of the answer, with a style for the headline and the questions; none where it was not written.

    Its banner is left out where it was `said` already that it is not current.
    """
    try:
        page, replies = (results / "answer.md").read_text(), json.loads((results / "answer.json").read_text())
    except FileNotFoundError:
        return
    yield from ((line, "bold") for line in headline(banner.without(page) if said else page))
    for question, title in QUESTIONS.items():
        some = replies[question]
        yield "", ""
        yield title, "bold"
        yield from ((line, "") for line in _replies([some] if isinstance(some, Mapping) else some))


def headline(page: str) -> list[str]:
    """Return the headline of an answer.md, and before it the banner of one that is not current."""
    # the title stands beside them, before the first question
    paragraphs = page.partition("\n**")[0].split("\n\n")
    return [
        each.removeprefix("> ").replace("**", "").strip()
        for each in paragraphs
        if each.strip() and not each.startswith("# ")
    ]


def _replies(some: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what is replied of each optimizer, the first reply on each, as far as its first stop."""
    main = list({reply["optimizer"]: reply for reply in reversed(list(some))}.values())[::-1]
    for reply in main[:_SHOWN]:
        yield re.split(r"[.;]\s|\.$", reply["sentence"], maxsplit=1)[0] + "."
    if len(main) > _SHOWN:
        yield f"and {len(main) - _SHOWN} further optimizers: answer.json"


def _spikes(path: Path) -> dict[Hashable, int]:
    """Return the sustained spikes of all replicates by fraction and optimizer; empty before they were looked for."""
    if not path.exists():
        return {}
    rows = tables.read(path, [*tables.RUN_KEYS, "scale", "spikes"])
    return rows[rows["scale"] == "step"].groupby(["fraction", "optimizer"])["spikes"].sum().to_dict()


class _Measured(NamedTuple):
    """What the table says of final models on the test set: by fraction and optimizer, the median of the runs."""

    examples: str
    name: str
    values: dict[Hashable, str]
    meaning: str


def _measured(results: Path) -> _Measured:
    """Return the crossing point where there is one, else the first thing that a task of one's own measures."""
    summary, measured = results / "test_summary.csv", results / "test_metrics.csv"
    if summary.exists() or not measured.exists():
        meaning = (
            " Crossing: where purity and completeness of the test set are equal, of the last models, the median of the "
            "runs."
        )
        return _Measured("spectra", "crossing", _crossings(summary), meaning)
    rows = tables.read(measured)
    name = next(
        (each.removesuffix("_low") for each in map(str, rows) if each.endswith("_low") and each != "loss_low"), "loss"
    )
    medians = rows[rows["model"] == "final"].groupby(["fraction", "optimizer"])[name].median().dropna()
    meaning = f" {name}: on the test set, of the last models, the median of the runs."
    return _Measured("examples", name, {key: f"{value:.4g}" for key, value in medians.items()}, meaning)


def _crossings(path: Path) -> dict[Hashable, str]:
    """Return the crossing point of final models by fraction and optimizer; empty where they were not evaluated."""
    if not path.exists():
        return {}
    rows = tables.read(path)
    rows = rows[(rows["model"] == "final") & (rows["n_detect"] == 1) & (rows["sample"] == "all")]
    found = rows.set_index(["fraction", "optimizer"])["crossing"].dropna()
    return {key: f"{100 * value:.1f} %" for key, value in found.items()}


def _converged(path: Path) -> dict[Hashable, str]:
    """Return how many runs have converged by fraction and optimizer; empty before that was judged."""
    if not path.exists():
        return {}
    rows = tables.read(path, [*tables.RUN_KEYS, "convergence"])
    groups = rows.groupby(["fraction", "optimizer"])["convergence"]
    return {key: f"{(group == 'converged').sum()} of {len(group)}" for key, group in groups}


def _table(runs: pd.DataFrame, results: Path) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)  # eight columns in 80 characters
    measured = _measured(results)
    for name in (measured.examples, *_COLUMNS, measured.name):
        table.add_column(name, justify="left" if name == "optimizer" else "right", no_wrap=True)
    spikes, converged = _spikes(results / "spike_statistics.csv"), _converged(results / "convergence.csv")
    for key, group in runs.groupby(["fraction", "optimizer"], sort=False):
        table.add_row(
            f"{group['n_train'].median():,.0f}",
            str(key[1]),
            f"{len(group)}",
            f"{group['diverged'].sum()}",
            str(spikes.get(key, "-")),
            converged.get(key, "-"),
            f"{group['loss_last'].median():.4g}",
            measured.values.get(key, "-"),
        )
    return table
