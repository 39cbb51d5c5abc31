"""What a task file declares, read from its text: nothing of it is run, so a study is checked in no time.

Functions that the file imports from elsewhere, or makes in another way than by `def`, are known by name alone; their
keys are checked when they are called.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import h5py

from quasarcurves.tasks.own_file import path_of
from quasarcurves.training.cost import Cost
from quasarcurves.training.run_settings import TaskSettings
from quasarcurves.training.settings import LOSS
from quasarcurves.training.suggestions import nearest

NEEDED = ("examples", "model", "loss")
"""Functions that a task file has to have."""

_TAKES = {
    "loss": ("targets", "outputs"),
    "measure": ("targets", "outputs"),
    "draw": ("axes", "inputs", "target", "output"),
}
"""Arguments of those that are called with arrays."""

_DIRECTIONS = ("higher", "lower")

_GUESSED = 10_000
"""Examples, before they are prepared."""

_COST = Cost(
    example_bytes=4000,
    activation_bytes=400_000,
    seconds=1e-4,
    forward_seconds=1e-4 / 3,
    parameters=100_000,
    model_mb=30,
    output_bytes=100,
    with_keras=True,
)
"""What a small convolutional network takes. Whoever knows better says so in a profile of Snakemake."""


@dataclass(frozen=True)
class Declaration:
    """A task file as its text declares it.

    Parameters
    ----------
    name : str
        As a study says it.
    """

    name: str
    scores: ClassVar[str] = "what is measured on the test set"

    @cached_property
    def path(self) -> Path:
        """The file; see `path_of`."""
        return path_of(self.name)

    @cached_property
    def settings(self) -> TaskSettings:
        """What the settings of a run say of the task."""
        return TaskSettings(self.name, self._code())

    @property
    def example(self) -> str:
        """What one example is called."""
        return self._word("EXAMPLE", "example")

    @property
    def examples(self) -> str:
        """What several examples are called."""
        return self._word("EXAMPLES", f"{self.example}s")

    @property
    def draws(self) -> bool:
        """Whether the file can draw an example."""
        return "draw" in self._names

    @cached_property
    def better(self) -> dict[str, str]:
        """Which of its measures are the better the lower they are, as far as the text says: `BETTER`."""
        found = self._constant("BETTER", {})
        if not isinstance(found, dict) or not set(found.values()) <= set(_DIRECTIONS):
            raise ValueError(
                f"{self.name}: BETTER is {found!r}, expected a name and 'higher' or 'lower' for each measure"
            )
        return found

    def complete(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema of a study with the file's keys: the arguments of its functions."""
        whole = deepcopy(dict(schema))
        self._check_functions()
        whole["properties"] |= {"data": self.schema("examples"), "network": self.schema("model")}
        whole["required"] = [key for key in whole["required"] if key != "data"]
        targets = whole["properties"]["learning_curve"]["properties"]["targets"]
        targets |= {"properties": {}, "additionalProperties": {"type": "number"}}
        best = whole["properties"]["training"]["properties"]["best"]
        del best["enum"]
        best |= {"type": "string"} if self.measured is None else {"enum": [LOSS, *self.measured]}
        return whole

    def check(self, config: Mapping[str, Any]) -> None:
        """Refuse targets of metrics that there are not.

        Raises
        ------
        ValueError
            Names the key.
        """
        for metric in config["learning_curve"]["targets"]:
            known = self.measured
            if known is not None and metric not in (known := ["test_loss", *known]):
                raise ValueError(
                    f"learning_curve.targets: unknown metric {metric!r}; {nearest(metric, known)} "
                    f"({self.name}, measure())"
                )

    def data(self, config: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return the `data` block with the study's seed, where `examples` takes one and the block does not say it."""
        return {**({"seed": seed} if self.takes("examples", "seed") else {}), **config["data"]}

    def network(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the `network` block."""
        return dict(config["network"])

    def training_modules(self, network: Mapping[str, Any]) -> tuple[str, ...]:
        """Return nothing: the file imports what it needs."""
        return ()

    def files(self, data: Mapping[str, Any]) -> list[Path]:
        """Return the files that a `data` block names: a change of their content counts."""
        return [path for text in _texts(data) if (path := Path(text)).is_file()]

    def data_modules(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the library's modules that reading the examples takes by name."""
        return ()

    def known_examples(self, data: Mapping[str, Any]) -> int | None:
        """Return None: only the file's function can tell."""
        return None

    def count(self, prepared: Path, data: Mapping[str, Any], source_bytes: int) -> int:
        """Return the number of prepared examples; before they are, a guess."""
        return _prepared(prepared)[0] or _GUESSED

    def one_kind(self, prepared: Path, data: Mapping[str, Any]) -> str:
        """Return nothing: kinds of examples are not known."""
        return ""

    def cost(self, network: Mapping[str, Any], prepared: Path) -> Cost:
        """Guess what an example costs: nothing is known of the model before it is built."""
        example = _prepared(prepared)[1] or _COST.example_bytes
        return replace(_COST, example_bytes=example, activation_bytes=max(_COST.activation_bytes, 20 * example))

    @cached_property
    def measured(self) -> list[str] | None:
        """Names that `measure` returns, where they are written out in its text; None if they cannot be known."""
        if "measure" not in self._names:
            return []
        function = self._functions.get("measure")
        found = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)] if function else []
        keys = [key for each in found if isinstance(each, ast.Dict) for key in each.keys]
        names = [str(key.value) for key in keys if isinstance(key, ast.Constant)]
        return names if len(found) == 1 and names and len(names) == len(keys) else None

    def _check_functions(self) -> None:
        """Refuse a file that lacks a function, or whose functions cannot be called as they are.

        Raises
        ------
        ValueError
            With the name of the file and of the function.
        """
        for function in NEEDED:
            if function not in self._names:
                has = ", ".join(f"{each}()" for each in self._functions) or "no function"
                raise ValueError(f"{self.name}: no function {function}(), expected {', '.join(NEEDED)}; found {has}")
        for function, takes in _TAKES.items():
            self._check_arguments(function, takes)
        for function in ("examples", "model"):
            if function in self._functions and self._functions[function].args.posonlyargs:
                raise ValueError(
                    f"{self.name}: {function}(): arguments before '/' have no names that a study could give"
                )
        _ = self.example, self.examples, self.better

    def schema(self, function: str) -> dict[str, Any]:
        """Return the JSON schema of a block of a study: the arguments of a function.

        Parameters
        ----------
        function : str
            `examples` for the block `data`, `model` for `network`.
        """
        if function not in self._functions:
            return {"type": "object", "default": {}}
        arguments = self._functions[function].args
        named = [*arguments.args, *arguments.kwonlyargs]
        defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + [
            *arguments.defaults,
            *arguments.kw_defaults,
        ]
        properties, required = {}, []
        for argument, default in zip(named, defaults, strict=True):
            # the study's seed, unless the block has one
            properties[argument.arg] = {} if argument.arg == "seed" else _of_default(default)
            if default is None and argument.arg != "seed":
                required.append(argument.arg)
        return {
            "type": "object",
            "title": f"{self.name}, {function}({', '.join(properties)})",
            "additionalProperties": arguments.kwarg is not None,
            "required": required,
            "properties": properties,
            "default": {},
        }

    def takes(self, function: str, argument: str) -> bool:
        """Return whether a function has an argument of some name."""
        return argument in self.schema(function).get("properties", {})

    @cached_property
    def _tree(self) -> ast.Module:
        return _parse(self.path, self.name)

    @cached_property
    def _functions(self) -> dict[str, ast.FunctionDef]:
        return {node.name: node for node in self._tree.body if isinstance(node, ast.FunctionDef)}

    @cached_property
    def _names(self) -> set[str]:
        """Names that the file binds at its top level, `*` not followed."""
        found = set(self._functions)
        for node in self._tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                found |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, ast.Assign):
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        return found

    def _check_arguments(self, function: str, takes: Sequence[str]) -> None:
        if function not in self._functions:
            return
        arguments = self._functions[function].args
        most = len(arguments.posonlyargs) + len(arguments.args)
        least = most - len(arguments.defaults)
        if not (least <= len(takes) and (most >= len(takes) or arguments.vararg)):
            given = ", ".join(each.arg for each in [*arguments.posonlyargs, *arguments.args])
            raise ValueError(f"{self.name}: {function}({given}): expected the arguments ({', '.join(takes)})")

    def _constant(self, name: str, otherwise: Any) -> Any:
        for node in self._tree.body:
            for target, value in _assigned(node):
                if isinstance(target, ast.Name) and target.id == name:
                    try:
                        return ast.literal_eval(value)
                    except ValueError:
                        raise ValueError(
                            f"{self.name}, line {node.lineno}: {name} is {ast.unparse(value)}, expected it written out"
                        ) from None
        return otherwise

    def _word(self, name: str, otherwise: str) -> str:
        found = self._constant(name, otherwise)
        if not isinstance(found, str) or not found.strip():
            raise ValueError(f"{self.name}: {name} is {found!r}, expected a word, such as {otherwise!r}")
        return found

    def _code(self) -> str:
        """Hash of the bytes of the file and of the modules beside it that it imports, these in turn too."""
        folder = self.path.parent
        files = {path.relative_to(folder).as_posix(): path for path in imported_beside(self.path, self.name)}
        files.pop(self.path.name, None)
        hashes = [_hash(self.path), *([name, _hash(path)] for name, path in sorted(files.items()))]
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[:16]


def _prepared(path: Path) -> tuple[int, int]:
    """Return the number of prepared examples and the bytes of each; zeros before they are."""
    try:
        with h5py.File(path, "r") as file:
            n = len(file["target_id"])
            return n, sum(data.size * data.dtype.itemsize for data in file.values()) // max(n, 1)
    except (OSError, KeyError):
        return 0, 0


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts within a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def imported_beside(path: Path, name: str) -> set[Path]:
    """Return a Python file and the modules in its folder that it imports, directly or not.

    Parameters
    ----------
    path : Path
    name : str
        What errors call it.
    """
    folder, found, rest = path.parent, {path}, [path]
    while rest:
        current = rest.pop()
        for module in _imported(_parse(current, name if current == path else str(current))):
            for file in _files_of(folder, module):
                if file not in found:
                    found.add(file)
                    rest.append(file)
    return found


def _imported(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names of the modules that a file may import, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # a relative import within a package beside the file: all names are tried from the folder
            yield from filter(None, [node.module])
            prefix = f"{node.module}." if node.module else ""
            yield from (f"{prefix}{alias.name}" for alias in node.names)


def _files_of(folder: Path, module: str) -> Iterator[Path]:
    """Yield the files below a folder that an import of a module runs; a package counts with all that it holds."""
    first = module.partition(".")[0]
    if (folder / f"{first}.py").is_file():
        yield folder / f"{first}.py"
    elif (folder / first / "__init__.py").is_file():
        yield from sorted((folder / first).rglob("*.py"))


def _parse(path: Path, name: str) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise ValueError(f"{name}, line {error.lineno}: {error.msg}") from None
    except ValueError as error:  # as of null bytes
        raise ValueError(f"{name}: {error}") from None


def _assigned(node: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield target and value of an assignment, several at once one by one."""
    if isinstance(node, ast.AnnAssign) and node.value:
        yield node.target, node.value
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                yield from zip(target.elts, node.value.elts, strict=False)
            else:
                yield target, node.value


def _of_default(default: ast.expr | None) -> Mapping[str, Any]:
    """Return the schema of an argument: its default, if JSON can hold it."""
    if default is None:
        return {}
    try:
        value = ast.literal_eval(default)
        return {"default": json.loads(json.dumps(value))}
    except (ValueError, TypeError):
        return {}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
