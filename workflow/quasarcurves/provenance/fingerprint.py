"""What a step's result depends on: the code that it really imports, and the content of the files it reads.

Snakemake does not track the modules that a script imports. So every rule carries a fingerprint of them as a parameter:
the modules that its script imports, transitively, each without comments, docstrings, layout and type hints.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from quasarcurves.files import whole_file, workflow_root

if TYPE_CHECKING:
    import grimp

ROOT = workflow_root() / "workflow"
PACKAGES = ("quasarcurves", "scripts")
"""The packages that are followed; those installed are known by their version instead."""

BOOKKEEPING = {
    "quasarcurves.provenance.fingerprint",
    "quasarcurves.provenance.receipts",
    "scripts.adapter",
    "scripts",
    "quasarcurves",
}
"""Modules that every step imports and none computes with."""

TRACKED_VERSIONS = ("tensorflow", "tensorflow-cpu", "jax", "keras", "numpy")
"""Packages whose version is stored with each result. Another version reruns nothing; `quasarcurves why` shows it."""


@cache
def code(step: str, also: tuple[str, ...] = ()) -> str:
    """Fingerprint of the code of a step.

    Parameters
    ----------
    step : str
        Name of its script, which is that of its rule.
    also : tuple of str
        Modules that it imports by a name known only when it runs.

    Returns
    -------
    str
        Hexadecimal; changes if and only if code changes that the step imports.
    """
    modules = set().union(*(upstream(module) for module in (f"scripts.{step}", *also))) - BOOKKEEPING
    return digest({module: module_hash(module) for module in modules})


def digest(value: object) -> str:
    """Short hexadecimal hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


@cache
def upstream(module: str) -> frozenset[str]:
    """Names of a module, all that it imports of this project, and the packages that these lie in."""
    found = {module, *_graph().find_upstream_modules(module)}
    packages = {name.rsplit(".", depth)[0] for name in found for depth in range(1, name.count(".") + 1)}
    # what a package's own __init__ imports is imported with each of its modules
    return frozenset(found.union(packages, *(_graph().find_upstream_modules(package) for package in packages)))


@cache
def module_hash(module: str) -> str:
    """Short hexadecimal hash of a module's code.

    In scripts type hints count: the command line is made from them.
    """
    return digest(normalised(_source(module).read_text(), keep_hints=module.startswith("scripts.")))


def normalised(source: str, keep_hints: bool = False) -> str:
    """Source code without what does not change what it does: comments, docstrings, layout, type hints in functions.

    Annotations in class bodies stay: dataclasses are made from them.

    Raises
    ------
    SyntaxError
        If it is no valid Python.
    """
    tree = _WithoutDocstrings().visit(ast.parse(source))
    if not keep_hints:
        tree = _WithoutHints().visit(tree)
        tree = _WithoutUnusedImports(tree).visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree))


def versions() -> dict[str, str]:
    """Installed versions of the packages that results may depend on."""
    found = {}
    for name in TRACKED_VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_files(paths: Iterable[Path], cache: Path) -> str:
    """Hash of the contents of files, in order: a touched file is the same file.

    Parameters
    ----------
    paths : iterable of Path
    cache : Path
        Remembers the hash of each file with its size and time of change; made if there is something to remember.

    Returns
    -------
    str
        Hexadecimal.
    """
    known = _remembered(cache)
    now = {}
    for path in paths:
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        before = known.get(str(path))
        now[str(path)] = before if before and before[:2] == stamp else [*stamp, file_hash(path)]
    if now != known:
        with whole_file(cache) as temporary:
            temporary.write_text(json.dumps(now))
    return digest([entry[2] for entry in now.values()])


@cache
def _graph() -> grimp.ImportGraph:
    import grimp  # noqa: PLC0415  (every step imports this module, and only Snakemake's own process needs the graph)

    if str(ROOT) not in sys.path:  # as for the command line, where the library is installed
        sys.path.append(str(ROOT))
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def _remembered(cache: Path) -> dict[str, list]:
    try:
        return json.loads(cache.read_text())
    except (OSError, ValueError):
        return {}


def _source(module: str) -> Path:
    package, *inner = module.split(".")
    # installed, the library does not lie beside the scripts
    folder = Path(__file__).parents[1] if package == "quasarcurves" else ROOT / package
    path = folder.joinpath(*inner)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


class _WithoutDocstrings(ast.NodeTransformer):
    """Drops strings that stand alone as statements: docstrings, and the descriptions below constants."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) and not node.body:
            node.body = [ast.Pass()]
        return node


class _WithoutHints(ast.NodeTransformer):
    """Drops type hints of arguments, results and variables, but for those in class bodies, and what only they need."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [each if isinstance(each, ast.AnnAssign) else self.visit(each) for each in node.body]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return ast.Assign([node.target], node.value) if node.value else ast.Pass()


class _WithoutUnusedImports(ast.NodeTransformer):
    """Drops imported names that nothing uses once type hints are gone."""

    def __init__(self, tree: ast.AST) -> None:
        # constants, for the strings in __all__
        nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Constant))
        self._used = {node.id if isinstance(node, ast.Name) else node.value for node in nodes}

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> ast.AST | None:
        node.names = [alias for alias in node.names if (alias.asname or alias.name).split(".")[0] in self._used]
        return node if node.names else None

    visit_ImportFrom = visit_Import
