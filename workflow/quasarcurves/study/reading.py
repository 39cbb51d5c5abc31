"""Reading the file of a study, so that nothing in it is lost or means something else without a word.

YAML takes the last of two equal keys, reads the name `no` as false and `12:30` as 750, and lets a thousand bytes stand
for a billion values. All of that is refused here, by line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from quasarcurves.study.schema import StudyError

_MOST_VALUES = 100_000
"""Values of a file, those that aliases stand for included. A study of a thousand optimizers has a tenth of that."""

_MERGE = "tag:yaml.org,2002:merge"


def read(path: str | Path) -> dict[str, Any]:
    """Read a study from a YAML file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict
        As written; not checked yet.

    Raises
    ------
    StudyError
        Names the file, and the line where it can be told: it is no YAML in UTF-8, no mapping, a key stands twice, or a
        name is read as something else.
    OSError
        If it cannot be read.
    """
    try:
        found = _construct(Path(path).read_bytes())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise StudyError(
            f"{path}{f', line {mark.line + 1}' if mark else ''}: {error.problem or error.context}"
        ) from None
    except yaml.reader.ReaderError as error:
        raise StudyError(f"{path}: expected text in UTF-8, found something else at byte {error.position}") from None
    except RecursionError:
        raise StudyError(f"{path}: lists or mappings are nested too deeply") from None
    if not isinstance(found, Mapping):
        raise StudyError(f"{path}: expected a mapping of keys, found {type(found).__name__}")
    return dict(found)


class _Loader(yaml.SafeLoader):
    """Says in which line a value is that YAML takes for one of a kind and that is none, such as a date 2020-13-45."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError) as error:
            why = f" ({error})" if isinstance(error, ValueError) else ""
            problem = f"{str(node.value)[:80]} is read as {node.tag.rsplit(':', 1)[-1]}, and is none{why}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


def _construct(text: bytes) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node, {})
        _check_keys(loader, node, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return the number of values that a node stands for; `sizes` holds those known, 0 while one is being counted."""
    if id(node) not in sizes:
        sizes[id(node)] = 0
        sizes[id(node)] = 1 + sum(_check_size(child, sizes) for child in _children(node))
    size = sizes[id(node)]
    if not size:
        raise yaml.MarkedYAMLError(problem="an anchor contains itself", problem_mark=node.start_mark)
    if size > _MOST_VALUES:
        problem = f"{size:,} values with those that aliases stand for, expected at most {_MOST_VALUES:,}"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    return size


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _check_keys(loader: yaml.SafeLoader, node: yaml.Node, seen: set[int]) -> None:
    """Refuse keys that stand twice, and names that YAML reads as something else."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag != _MERGE:
                _check_key(loader, key, lines)
    for child in _children(node):
        _check_keys(loader, child, seen)


def _check_key(loader: yaml.SafeLoader, key: yaml.Node, lines: dict[str, int]) -> None:
    line = key.start_mark.line + 1
    if not isinstance(key, yaml.ScalarNode):
        raise yaml.MarkedYAMLError(problem="expected a name as key", problem_mark=key.start_mark)
    name, value = key.value, loader.construct_object(key)
    if str(value) != name:
        problem = f"the name {name} is read as {value!r}; put it in quotes: '{name}'"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
    if name in lines:
        problem = f"{name} is written twice, in line {lines[name]} and here"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
    lines[name] = line
