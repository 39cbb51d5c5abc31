"""What a step's result depends on: the code that computes it, and the content of the files it reads.

Snakemake does not track the modules that a script imports. So every rule carries a fingerprint of them as a parameter.
It covers the modules that its script imports, transitively, apart from those that compute nothing (`WITHOUT_EFFECT`).
Comments, docstrings, layout, type hints, log lines and the texts of raised exceptions do not count.
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
from quasarcurves.provenance.hash_cache import HashCache

if TYPE_CHECKING:
    import grimp

ROOT = workflow_root() / "workflow"
PACKAGES = {"quasarcurves": Path(__file__).parents[1], "scripts": ROOT / "scripts"}
"""The packages that are followed, with their folders, which lie apart where the library is installed.

Other packages are known by their version instead.
"""

WITHOUT_EFFECT = {
    "quasarcurves": "holds the version, and names that it imports from elsewhere",
    "quasarcurves.files": "moves a file to its name once it is whole",
    "quasarcurves.provenance": "is empty",
    "quasarcurves.provenance.fingerprint": "hashes the others",
    "quasarcurves.provenance.hash_cache": "saves time while the others are hashed",
    "quasarcurves.provenance.inventory": "lists files",
    "quasarcurves.provenance.receipts": "records what was made",
    "quasarcurves.training.extras": "says what to install",
    "quasarcurves.training.gpus": "chooses a GPU",
    "quasarcurves.training.keras_import": "saves time while Keras is imported",
    "quasarcurves.training.progress": "reports to the log and the terminal",
    "quasarcurves.training.run_lock": "keeps other processes away",
    "quasarcurves.training.signals": "notes that the process is to end",
    "quasarcurves.training.suggestions": "helps with misspelt names",
    "scripts": "starts jobs",
    "scripts.fork_server": "starts jobs",
    "scripts.adapter": "parses the command line and writes the receipt",
}
"""Modules that no result depends on, with what each does instead of computing.

They are left out of every fingerprint, and so is what only they import. A change there reruns nothing and keeps the
saved states of trainings. `training.checkpoint` and `training.resume` are not among them: a state is read back by the
code that wrote it.
"""

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
        Hexadecimal; changes if and only if the code changes that the step computes with.
    """
    return digest(module_hashes(frozenset[str]().union(*(upstream(module) for module in (f"scripts.{step}", *also)))))


def module_hashes(modules: Iterable[str]) -> dict[str, str]:
    """Hashes of modules, by name and in its order, without those that no result depends on."""
    hashes = {module: module_hash(module) for module in sorted(modules) if module not in WITHOUT_EFFECT}
    _hash_cache().save()
    return hashes


def digest(value: object) -> str:
    """Short hexadecimal hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


@cache
def upstream(module: str) -> frozenset[str]:
    """Return the names of a module, of what it imports of this project, and of the packages that these lie in.

    Imports by modules without effect are not followed.
    """
    found = {module, *_graph().find_upstream_modules(module)}
    while packages := _packages(found) - found:
        # what a package's own __init__ imports is imported with each of its modules
        found = found.union(packages, *(_graph().find_upstream_modules(package) for package in packages))
    return frozenset(found)


def _packages(modules: Iterable[str]) -> set[str]:
    return {name.rsplit(".", depth)[0] for name in modules for depth in range(1, name.count(".") + 1)}


@cache
def module_hash(module: str) -> str:
    """Short hexadecimal hash of a module's code.

    In scripts type hints count: the command line is made from them.
    """
    source, keep_hints = _source(module).read_text(), module.startswith("scripts.")
    return _hash_cache().get(f"{keep_hints} {source}", lambda: digest(normalised(source, keep_hints)))


def normalised(source: str, keep_hints: bool = False) -> str:
    """Source code without what changes no result.

    That is comments, docstrings, layout, log lines, texts of raised exceptions, type hints in functions, and what a
    source of spectra declares of its keys and files. Annotations in class bodies stay: dataclasses are made from them.

    A text that is raised ends a job, or goes into the log or the text of another exception: a test looks at every
    `except` of the code that computes. The class of the exception counts, and so do the expressions in its text.

    Parameters
    ----------
    source : str
        Python code.
    keep_hints : bool
        Whether type hints count in functions too.

    Returns
    -------
    str
        Python code again.

    Raises
    ------
    SyntaxError
        If it is no valid Python.
    """
    tree = ast.parse(source)
    for transformer in (_WithoutDocstrings(), _WithoutDeclarations(), _WithoutLogging(), _WithoutErrorTexts()):
        tree = transformer.visit(tree)
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
    """Imports within the project, without those of modules that no result depends on."""
    import grimp  # noqa: PLC0415  (every step imports this module, and only Snakemake's own process needs the graph)

    if str(ROOT) not in sys.path:  # as for the command line, where the library is installed
        sys.path.append(str(ROOT))
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    for module in WITHOUT_EFFECT.keys() & graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            graph.remove_import(importer=module, imported=imported)
    return graph


@cache
def _hash_cache() -> HashCache:
    return HashCache(Path(__file__))


def _remembered(cache: Path) -> dict[str, list]:
    try:
        return json.loads(cache.read_text())
    except (OSError, ValueError):
        return {}


def _source(module: str) -> Path:
    package, *inner = module.split(".")
    path = PACKAGES[package].joinpath(*inner)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


class _Without(ast.NodeTransformer):
    """Drops statements; a block that is empty then holds `pass`."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]  # it has one, as the line above says
        if isinstance(node, ast.Try) and not node.handlers and not node.finalbody:
            node.finalbody = [ast.Pass()]
        return node


class _WithoutDocstrings(_Without):
    """Drops strings that stand alone as statements: docstrings, and the descriptions below constants."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


class _WithoutDeclarations(_Without):
    """Drops what a source of spectra declares for the check of a study and for its plan; no step computes with it."""

    _NAMES = ("SCHEMA", "BYTES_PER_SPECTRUM")

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if ast.unparse(node.targets[0]) in self._NAMES else node


class _WithoutLogging(_Without):
    """Drops log lines whose arguments do nothing but read, and the logger itself."""

    _LOGGERS = ("logger", "logging")
    _ONLY_READ = frozenset({"float", "format", "int", "len", "repr", "round", "str", "strip"})
    _ACT = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value
        if not isinstance(call, ast.Call) or not self._is_logging(call.func):
            return node
        return None if all(map(self._only_reads, [*call.args, *call.keywords])) else node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if ast.unparse(node) == "logger = logging.getLogger(__name__)" else node

    def _is_logging(self, called: ast.expr) -> bool:
        return isinstance(called, ast.Attribute) and _name(called.value) in self._LOGGERS

    def _only_reads(self, argument: ast.AST) -> bool:
        nodes = list(ast.walk(argument))
        calls = (node for node in nodes if isinstance(node, ast.Call))
        return all(_name(call.func) in self._ONLY_READ for call in calls) and not any(
            isinstance(node, self._ACT) for node in nodes
        )


class _WithoutErrorTexts(ast.NodeTransformer):
    """Empties the texts that exceptions are raised with; what is put into them stays, as it may do something."""

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc.args = [self._without_text(argument) for argument in node.exc.args]
        return node

    def _without_text(self, argument: ast.expr) -> ast.expr:
        if isinstance(argument, ast.JoinedStr):
            return ast.JoinedStr([part for part in argument.values if not isinstance(part, ast.Constant)])
        is_text = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        return ast.JoinedStr([]) if is_text else argument


def _name(node: ast.expr) -> str | None:
    """Return the last part of a dotted name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


class _WithoutHints(_Without):
    """Drops type hints of arguments, results and variables, and what only they need; those in class bodies stay."""

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


class _WithoutUnusedImports(_Without):
    """Drops imported names that nothing uses once type hints and log lines are gone."""

    def __init__(self, tree: ast.AST) -> None:
        # constants, for the strings in __all__
        nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Constant))
        self._used = {node.id if isinstance(node, ast.Name) else node.value for node in nodes}

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> ast.AST | None:
        node.names = [alias for alias in node.names if (alias.asname or alias.name).split(".")[0] in self._used]
        return node if node.names else None

    visit_ImportFrom = visit_Import
