"""Imports go down only: rooms are floors, in the order of docs/ARCHITECTURE.md, and there is no circle."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Return the modules that each module of the library imports, by name as it runs too, but not for type hints."""
    graph = grimp.build_graph("quasarcurves", exclude_type_checking_imports=True, cache_dir=None)
    found = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    for module, names in found.items():
        patterns = list(hidden(module))
        names |= {name for name in found if any(re.fullmatch(pattern, name) for pattern in patterns)}
    return found


def hidden(module: str) -> Iterator[str]:
    """Yield patterns of the names of modules that a module imports by name."""
    path = (ROOT / "workflow").joinpath(*module.split("."))
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            name = node.args[0]
            if isinstance(name, ast.JoinedStr):
                yield "".join(
                    re.escape(part.value) if isinstance(part, ast.Constant) else written(part, module)
                    for part in name.values
                )
            elif isinstance(name, ast.Constant):
                yield re.escape(name.value)
            else:  # a name from a table, of a module of the same package
                yield re.escape(module if path.is_dir() else module.rpartition(".")[0]) + r"\.\w+"


def written(part: ast.FormattedValue, module: str) -> str:
    """Return a pattern of what stands in the place of a variable in a name."""
    return re.escape(module) if ast.unparse(part.value) == "__name__" else r"\w+"


def floors() -> list[str]:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    table = page.split("## The floors")[1].split("\n## ")[0]
    return [name.removesuffix(".py") for name in re.findall(r"^\| `([a-z_]+(?:\.py)?)` \|", table, re.MULTILINE)]


def test_no_module_imports_one_of_a_floor_above(imports):
    order = [name for name in floors() if name not in ("Snakefile",)]
    height = {f"quasarcurves.{name}": -i for i, name in enumerate(order)}
    room = {module: ".".join(module.split(".")[:2]) for module in imports}
    wrong = [
        (module, name)
        for module, names in imports.items()
        for name in names
        if "quasarcurves" not in (module, name) and height[room[name]] > height[room[module]]
    ]
    assert len(order) >= 11
    assert not wrong


def test_there_is_no_circle_of_imports(imports):
    TopologicalSorter(imports).prepare()


def test_imports_by_name_are_seen(imports):
    assert "quasarcurves.spectra.sources.desi" in imports["quasarcurves.spectra.sources"]
    assert "quasarcurves.training.backends.packed" in imports["quasarcurves.training.backends"]
    assert "quasarcurves.training.optimizers.stable_adamw" in imports["quasarcurves.training.optimizers"]
