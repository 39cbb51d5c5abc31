"""What lies on disk of a study: results that it no longer asks for, and where a run's result comes from."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quasarcurves.provenance import fingerprint
from quasarcurves.provenance.receipts import FOLDER, Receipt
from quasarcurves.provenance.status import Standing, flat, module_now, settings_of
from quasarcurves.study import Study
from quasarcurves.study.steps import STEPS

_JOB_FILES = {"logs": ".log", "benchmarks": ".tsv", FOLDER: ".json"}
"""Folders of the results with a file for every job, and how these end."""

_STATES = "state"
_BY_RUN = ("runs", _STATES)
"""Folders with a folder for every subset, and in it one for every optimizer."""


@dataclass(frozen=True)
class OnDisk:
    """A file or folder of a study's results.

    Parameters
    ----------
    path : Path
    size : int
        Bytes.
    """

    path: Path
    size: int


def orphans(study: Study) -> list[OnDisk]:
    """List what lies in a study's results but belongs to runs that it does not have (any more)."""
    return [OnDisk(path, size(path)) for path in sorted(_unasked(study))]


def finished_states(study: Study, found: Iterable[Standing]) -> list[OnDisk]:
    """List the states of trainings that are done: only more epochs of these, or fewer, would go on from them.

    Parameters
    ----------
    study : Study
    found : iterable of Standing
        Of its jobs. States of trainings that are not current are not listed.
    """
    done = [each.name for each in found if each.step.name == "train" and each.good]
    paths = [path for name in done for path in sorted((study.results / _STATES / name).glob("*/*.h5"))]
    return [OnDisk(path, size(path)) for path in paths]


def remove(found: Iterable[OnDisk]) -> None:
    """Remove files and folders, and folders that are empty then."""
    for each in found:
        if each.path.is_dir():
            shutil.rmtree(each.path)
        else:
            each.path.unlink()
        if not any(each.path.parent.iterdir()):
            each.path.parent.rmdir()


def explain(study: Study, name: str) -> list[tuple[str, str, str]]:
    """Say what a run's result depends on, when it was made and now.

    Parameters
    ----------
    study : Study
    name : str
        Of the run, such as f0.8_r0/adam.

    Returns
    -------
    list of (what, then, now)
        Settings, data, code and versions; `now` is empty where it is the same.

    Raises
    ------
    FileNotFoundError
        If the run has no receipt, with the runs that have one.
    """
    folder = study.results / FOLDER / "train"
    path = folder / f"{name}.json"
    if not path.is_file():
        known = sorted(str(found.relative_to(folder).with_suffix("")) for found in folder.rglob("*.json"))
        raise FileNotFoundError(f"{path}: no receipt of a run {name!r}; there are {', '.join(known) or 'none'}")
    receipt = Receipt.load(path)
    run = next((run for run in study.runs if run.name == name), None)
    settings = dict(flat(study.run_params(run))) if run else {}
    versions = fingerprint.versions()
    kinds = (
        ("setting", dict(flat(settings_of(receipt, {}))), lambda key: settings.get(key, "no longer in the study")),
        ("data", receipt.inputs, lambda file: _hash_now(Path(file))),
        ("code", receipt.code, module_now),
        ("version", receipt.versions, lambda package: versions.get(package, "not installed")),
    )
    return [
        (f"{kind} {key}", then, "" if now(key) == then else now(key))
        for kind, values, now in kinds
        for key, then in values.items()
    ]


def _unasked(study: Study) -> Iterator[Path]:
    results, asked = study.results, _asked(study)
    for name in _BY_RUN:
        yield from _others(results / name, {results / name / run.name for run in study.runs}, folders=True)
    for run in study.runs:
        yield from _others(results / "runs" / run.name / "replays", asked)
    for name in (*_JOB_FILES, "data/subsets", "figures", "report"):
        yield from _others(results / name, asked)
    tables = {results / file.path for step in STEPS.values() if step.per == "study" for file in step.makes}
    yield from (path for path in tables - asked if path.parent == results and path.exists())


def _asked(study: Study) -> set[Path]:
    """Return the files that the jobs of a study make or write about themselves."""
    found = [study.paths(file.path, step.per) for step in study.steps for file in step.makes if study.has(file)]
    for step in study.steps:
        found += [study.paths(step.about(kind, suffix), step.per) for kind, suffix in _JOB_FILES.items()]
    return {study.log, *(Path(path) for paths in found for path in paths)}


def _others(folder: Path, asked: set[Path], folders: bool = False) -> Iterator[Path]:
    """Yield what lies in a folder but is not asked for: a folder as a whole if nothing in it is.

    With `folders` what is asked for are folders, whatever is in them; files beside these are let be.
    """
    parents = {parent for path in asked for parent in path.parents}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path in parents:
            yield from _others(path, asked, folders)
        elif path not in asked and not (folders and path.is_file()):
            yield path


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _hash_now(path: Path) -> str:
    return fingerprint.file_hash(path) if path.is_file() else "missing"
