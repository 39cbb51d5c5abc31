"""What lies on disk of a study: results that it no longer asks for, and where a run's result comes from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quasarcurves.provenance import fingerprint
from quasarcurves.provenance.receipts import FOLDER, Receipt
from quasarcurves.study import Study

_BY_RUN = ("runs", "state")
"""Folders of the results with a folder per subset, and in it one per optimizer."""

_BY_RUN_FILES = tuple(f"{folder}/{rule}" for folder in ("logs", "benchmarks", FOLDER) for rule in ("train", "evaluate"))
"""The same with a file per optimizer."""

_BY_SUBSET_FILES = ("data/subsets", "logs/draw_subset", "benchmarks/draw_subset", f"{FOLDER}/draw_subset")
_BY_OPTIMIZER_FILES = tuple(
    f"{folder}/{rule}"
    for folder in ("logs", "benchmarks", FOLDER)
    for rule in ("plot_fractions", "plot_spikes", "plot_aligned", "plot_purity_completeness")
)
_FIGURES_BY_OPTIMIZER = ("loss_by_fraction", "detected_spikes", "aligned", "purity_completeness")
_FIGURES_OF_ALL = {"loss_by_optimizer", "spike_statistics", "cures", "learning_curve"}
_BY_FRACTION_FILES = (
    *(f"{folder}/plot_curvature" for folder in ("logs", "benchmarks", FOLDER)),
    *(f"{folder}/train_pack" for folder in ("logs", "benchmarks")),
)


@dataclass(frozen=True)
class Orphan:
    """A file or folder that the study does not ask for.

    Parameters
    ----------
    path : Path
    size : int
        Bytes.
    """

    path: Path
    size: int


def orphans(study: Study) -> list[Orphan]:
    """List what lies in a study's results but belongs to runs that it does not have (any more)."""
    return [Orphan(path, _size(path)) for path in sorted(_unasked(study))]


def remove(found: Iterable[Orphan]) -> None:
    """Remove files and folders, and folders that are empty then."""
    for orphan in found:
        if orphan.path.is_dir():
            shutil.rmtree(orphan.path)
        else:
            orphan.path.unlink()
        if not any(orphan.path.parent.iterdir()):
            orphan.path.parent.rmdir()


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
    settings = dict(_flat(study.run_params(run))) if run else {}
    # receipts from before there were packs have all in one
    made_with = {**receipt.settings.get("shared", {}), **receipt.settings["run"]}
    versions = fingerprint.versions()
    kinds = (
        ("setting", dict(_flat(made_with)), lambda key: settings.get(key, "no longer in the study")),
        ("data", receipt.inputs, lambda file: _hash_now(Path(file))),
        ("code", receipt.code, _module_now),
        ("version", receipt.versions, lambda package: versions.get(package, "not installed")),
    )
    return [
        (f"{kind} {key}", then, "" if now(key) == then else now(key))
        for kind, values, now in kinds
        for key, then in values.items()
    ]


def _unasked(study: Study) -> Iterator[Path]:
    results = study.results
    subsets, optimizers = set(study.subset_names), set(study.optimizers)
    for name in (*_BY_RUN, *_BY_RUN_FILES):
        for subset in _children(results / name, folders=True):
            if subset.name not in subsets:
                yield subset
            else:
                yield from (path for path in _children(subset, name in _BY_RUN) if _stem(path) not in optimizers)
    for name in _BY_SUBSET_FILES:
        yield from (path for path in _children(results / name) if _stem(path) not in subsets)
    for name in _BY_OPTIMIZER_FILES:
        yield from (path for path in _children(results / name) if _stem(path) not in optimizers)
    fractions = {f"f{fraction}" for fraction in study.fractions}
    for name in _BY_FRACTION_FILES:
        yield from (path for path in _children(results / name) if _stem(path) not in fractions)
    asked = {f"{name}_{optimizer}" for name in _FIGURES_BY_OPTIMIZER for optimizer in optimizers}
    asked |= {f"curvature_{fraction}" for fraction in fractions} | _FIGURES_OF_ALL
    asked |= {"spike_cost"} if study.takes_snapshots else set()
    yield from (path for path in _children(results / "figures") if _stem(path) not in asked)


def _children(folder: Path, folders: bool = False) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() == folders] if folder.is_dir() else []


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _flat(settings: dict, prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value)


def _hash_now(path: Path) -> str:
    return fingerprint.file_hash(path) if path.is_file() else "missing"


def _module_now(name: str) -> str:
    try:
        return fingerprint.module_hash(name)
    except FileNotFoundError:
        return "removed"
