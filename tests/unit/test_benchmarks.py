"""Benchmarks take minutes and no test runs them: what they import of the library has to be there at least."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


def source_of(module: str) -> Path:
    path = ROOT.joinpath("workflow", *module.split("."))
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"


def bound_in(module: str) -> set[str]:
    """Names that a module binds, and the modules of a package; read, not imported."""
    source = source_of(module)
    found = {path.stem for path in source.parent.iterdir()} if source.name == "__init__.py" else set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_of_the_library_is_there(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "quasarcurves":
            missing = {alias.name for alias in node.names} - bound_in(node.module)
            assert not missing, f"{path.name}, line {node.lineno}: {node.module}"


def test_that_something_is_missing_is_seen():
    assert len(BENCHMARKS) > 5
    assert "flops_per_spectrum" in bound_in("quasarcurves.quasarnet.cost")
    assert "flops_per_spectrum" not in bound_in("quasarcurves.study.resources")
