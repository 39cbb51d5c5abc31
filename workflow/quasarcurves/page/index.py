"""index.html: what a study found on one page, which holds all that it shows and asks nobody for anything."""

from __future__ import annotations

import hashlib
import html
import json
import math
import platform
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import plotly.offline
import yaml

from quasarcurves.analysis import tables
from quasarcurves.files import whole_file
from quasarcurves.page import losses, pictures, sections, templates
from quasarcurves.page.packing import packed

_PACKAGES = ("quasarcurves", "snakemake", "keras", "tensorflow", "tensorflow-cpu", "jax", "numpy", "pandas", "plotly")
_MOST_ROWS = 4000
"""Rows of a table that the page holds."""


def write(
    files: Iterable[Path],
    shown: Mapping[str, Mapping[str, Any]],
    study: Mapping[str, Any],
    look: str,
    page: Path,
    examples: str = "spectra",
) -> None:
    """Write the page of a study.

    Parameters
    ----------
    files : iterable of Path
        Results: answer.json, answer.md, histories.h5, tables (CSV) and figures (PNG). Any but the first may be missing.
    shown : mapping
        `tables`: the text of each table by its path below the results. `figures`: what `pictures.load` takes.
    study : mapping
        The study's configuration.
    look : str
        Hash of the page's templates.
    page : Path
        The file written.
    examples : str
        What the study's task calls its examples.

    Raises
    ------
    ValueError
        If there is no answer.json, or it is none.
    """
    files = list(files)
    named = {path.name: path for path in files}
    if "answer.json" not in named:
        raise ValueError(f"{page}: expected an answer.json to write it from, found {len(files)} other files")
    results = named["answer.json"].parent
    listed = {path.stem: path for path in files if path.suffix == ".csv"}
    drawn = {path.relative_to(results).as_posix(): path for path in files if path.suffix == ".png"}
    figures = pictures.load(drawn, shown["figures"])
    found = sections.compose(sections.read_answer(named["answer.json"]), figures, listed)
    content = {
        "name": study.get("study", {}).get("name", "study"),
        "headline": _headline(named.get("answer.md"), found),
        "replays": _paragraph(named.get("answer.md"), "**What do replays show?**"),
        "note": _paragraph(named.get("answer.md"), "Brackets hold"),
        "sections": found,
        "tables": {
            name: {"file": path.name, "text": shown["tables"].get(path.name, "")} for name, path in listed.items()
        },
        "data": packed(json.dumps(_data(named, listed, examples), allow_nan=False, separators=(",", ":"))),
        "chart_library": packed(plotly.offline.get_plotlyjs()),
        "style": templates.text("index.css"),
        "script": templates.text("index.js"),
        "provenance": _provenance(files, listed, study, look),
    }
    with whole_file(page) as temporary:
        temporary.write_text(_template().render(content), encoding="utf-8")


def _data(named: Mapping[str, Path], listed: Mapping[str, Path], examples: str) -> dict[str, Any]:
    """Return what the page's script draws and lists."""
    histories = named.get("histories.h5")
    spikes = tables.read(listed["spikes"]) if "spikes" in listed else pd.DataFrame(columns=tables.RUN_KEYS)
    chart = losses.of_study(histories, spikes) if histories else {"runs": []}
    held = {name: _table(tables.read(path)) for name, path in listed.items()}
    columns = dict.fromkeys(column for table in held.values() for column in table["columns"])
    return {
        "losses": {**chart, "examples": examples},
        "tables": held,
        "meanings": {column: meaning(column) for column in columns},
    }


def _table(table: pd.DataFrame) -> dict[str, Any]:
    rows = table.head(_MOST_ROWS).astype(object).to_numpy().tolist()
    return {"columns": list(table.columns), "rows": [list(map(_cell, row)) for row in rows], "all": len(table)}


def _cell(value: Any) -> Any:
    """Return a value as JSON can hold it: none for what is not known, and a word for what has no end."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


@cache
def _meanings() -> dict[str, dict[str, str]]:
    return yaml.safe_load((templates.FOLDER / "columns.yaml").read_text())


def meaning(column: str) -> str:
    """Return what a column of a table holds; empty if nobody has said so.

    A column that is another's interval, p-value and so on has the meaning of that one, and what it is of it.
    """
    known = _meanings()
    if column in known["columns"]:
        return known["columns"][column]
    for kind in ("ends", "starts"):
        for part, text in known[kind].items():
            rest = column.removesuffix(part) if kind == "ends" else column.removeprefix(part)
            if rest != column and (of := meaning(rest)):
                return f"{text}: {of[0].lower() + of[1:] if of[1:2].islower() else of}"
    return ""


def _headline(page: Path | None, found: list[sections.Section]) -> tuple[str, str]:
    """Return the first sentence of what was found, and the others."""
    text = next((line for line in _lines(page) if line and not line.startswith("#")), "")
    text = text or " ".join(section.reason for section in found if section.replies)
    first, dot, rest = text.partition(". ")
    return (first + "." if dot else first), rest


def _paragraph(page: Path | None, begins: str) -> str:
    line = next((line for line in _lines(page) if line.startswith(begins)), "")
    return line.removeprefix(begins).strip() if begins.startswith("*") else line


def _lines(page: Path | None) -> list[str]:
    return page.read_text().splitlines() if page else []


def _provenance(files: list[Path], listed: Mapping[str, Path], study: Mapping[str, Any], look: str) -> dict[str, Any]:
    return {
        "study": yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True, width=100),
        "versions": {"python": platform.python_version(), **_versions()},
        "hashes": {path.name: _hash(path) for path in files if path.suffix != ".png"},
        "templates": look,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "training": _training(listed.get("runs")),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _training(runs: Path | None) -> str:
    if runs is None:
        return "not known"
    seconds = tables.read(runs)["seconds"]
    return f"{seconds.sum() / 3600:,.2f} hours of training in {len(seconds):,} runs"


def _literals(text: str) -> str:
    """Return a caption or the text of a table as HTML: what stands between double backticks is code."""
    return re.sub(r"``(.+?)``", r"<code>\1</code>", html.escape(text))


def _template() -> jinja2.Template:
    environment = templates.environment()
    environment.filters["literals"] = _literals
    return environment.get_template("index.html")
