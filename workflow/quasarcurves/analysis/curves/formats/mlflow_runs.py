"""Folders of MLflow (mlruns, a run of it, its metrics) and single files of metrics: `timestamp value step` per line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quasarcurves.analysis.curves.tables import Table, merged

NAME = "MLflow's folders of runs, and files of their metrics"

_LINE = re.compile(rb"\d{10,} \S+( -?\d+)?\s*\n?")


def claims(path: Path) -> bool:
    """Return whether a file begins as one of a metric, or a folder holds such files in a folder `metrics`."""
    if path.is_dir():
        return next(_runs(path), None) is not None
    if path.suffix not in ("", ".metric"):
        return False
    with path.open("rb") as file:
        return _LINE.fullmatch(file.readline(200)) is not None


def read(path: Path) -> list[Table]:
    """Return a table per run.

    Raises
    ------
    ValueError
        If a line is not as it should be.
    """
    if path.is_file():
        return [Table(path, merged([(path.name, *_metric(path))], "step"), sparse=True)]
    found = []
    for run in sorted(_runs(path)):
        files = sorted(file for file in (run / "metrics").rglob("*") if file.is_file())
        series = ((file.relative_to(run / "metrics").as_posix(), *_metric(file)) for file in files)
        found.append(Table(path, merged(series, "step"), name=_name(run), sparse=True))
    return found


def _runs(folder: Path) -> Iterator[Path]:
    """Yield the folders that have metrics; `folder` may be one, or the metrics themselves."""
    inside = [folder] if folder.name == "metrics" else folder.rglob("metrics")
    return (each.parent for each in inside if each.is_dir() and any(map(claims, filter(Path.is_file, each.rglob("*")))))


def _name(run: Path) -> str:
    """Return the name that the run was given, or its id."""
    meta = run / "meta.yaml"
    told = re.search(r"^run_name: *(.+)$", meta.read_text(), re.MULTILINE) if meta.is_file() else None
    return told[1].strip("'\" ") if told else run.name


def _metric(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and values of a file; without steps they are counted."""
    steps, values = [], []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        parts = line.split()
        try:
            values.append(float(parts[1]))
            steps.append(int(parts[2]) if len(parts) > 2 else number - 1)
        except (IndexError, ValueError) as error:
            raise ValueError(f"{path}: row {number}: expected 'timestamp value step', found {line[:60]!r}") from error
    return np.array(steps), np.array(values)
