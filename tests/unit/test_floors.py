"""The house: every module stands in a room, imports go down only, and nothing imports in a circle."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from quasarcurves.cli.commands import ENTRIES

LIBRARY = Path(__file__).parents[2] / "workflow" / "quasarcurves"
FLOORS = (
    "cli", "quasarnet.cli", "terminal", "quasarnet.steps", "steps", "provenance", "quasarnet.page", "page", "study",
    "quasarnet.figures", "figures", "quasarnet.analysis", "analysis", "tasks", "quasarnet", "recorder", "training",
    "spectra", "files",
)  # fmt: skip
"""From the top: each may use those below. A room within a room is a floor of its own."""

BY_NAME = {
    "quasarcurves.cli.commands": tuple(sorted({entry.module for entry in ENTRIES.values()})),
    "quasarcurves.training.backends": ("tensorflow", "jax", "packed"),
    "quasarcurves.analysis.curves.formats": (
        "event_files",
        "histories",
        "json_files",
        "mlflow_runs",
        "parquet",
        "pickles",
        "text",
        "wandb_files",
    ),
    "quasarcurves.tasks": ("own_evaluation", "own_examples", "own_task"),
    "quasarcurves.quasarnet.examples": ("augmentation",),
    "quasarcurves.quasarnet.task": ("warm_start",),
    "quasarcurves.spectra.sources": ("desi", "quasarnet_fits", "sdss", "simulated"),
    "quasarcurves.training.optimizers": ("matched_adam", "stable_adamw"),
}
"""Modules that are imported by names known only when the code runs (`import_module`), and what they import so."""


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in LIBRARY.rglob("*.py")}


@cache
def imported_by(module: str) -> set[str]:
    """Return the modules of the library that a module's code imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return {name for name in found if name in MODULES} - {module}


HIDDEN = {module: set() for module in MODULES}
for importer, names in BY_NAME.items():
    package = importer if (LIBRARY.parent / Path(*importer.split("."))).is_dir() else importer.rsplit(".", 1)[0]
    HIDDEN[importer] = {name if name.startswith("quasarcurves.") else f"{package}.{name}" for name in names}


def floor(module: str) -> int:
    first, second = [*module.split("."), ""][1:3]
    return FLOORS.index(f"{first}.{second}" if f"{first}.{second}" in FLOORS else first)


def test_no_module_stands_loose():
    loose = {path.stem for path in LIBRARY.glob("*.py")} - {"__init__"}
    assert loose <= {"files", "recorder"}
    assert {path.name for path in LIBRARY.iterdir() if path.is_dir() and path.name != "__pycache__"} <= set(FLOORS)


def test_imports_go_down_only():
    up = {
        (importer, name)
        for importer in MODULES
        for name in imported_by(importer) | HIDDEN[importer]
        if "." in importer and "." in name and floor(name) < floor(importer)
    }
    assert up == set()


def test_nothing_imports_in_a_circle():
    TopologicalSorter({module: imported_by(module) | HIDDEN[module] for module in MODULES}).prepare()


def test_every_import_by_name_is_listed():
    calling = {module for module, path in MODULES.items() if "import_module(" in path.read_text()}
    assert calling - {"quasarcurves.training.keras_import"} == set(BY_NAME)
    for importer, names in HIDDEN.items():
        assert names <= set(MODULES), importer


@pytest.mark.parametrize(
    "package",
    ["quasarcurves.analysis.curves.formats", "quasarcurves.spectra.sources", "quasarcurves.training.optimizers"],
)
def test_packages_whose_modules_are_found_by_listing_are_whole(package):
    modules = {name for name in MODULES if name.startswith(f"{package}.") and name.count(".") == package.count(".") + 1}
    assert HIDDEN[package] == modules
