"""Checking a configuration against a JSON schema, with messages that a reader can act on, and filling in defaults."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from quasarcurves.training.suggestions import nearest

_EXACT = 2**53
"""Below it every integer is a float64."""

_MOST_BITS = 4096
"""Of any integer: Python does not even write one of more than 4,300 digits."""

_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


class StudyError(ValueError):
    """A study that cannot be run as it is written; the message is for its author."""


def canonical(value: Any) -> Any:
    """Write equal values alike: `1e-3` (a string to YAML 1.1) and 0.001, 32.0 and 32, and mappings sorted by key."""
    if isinstance(value, Mapping):
        # a study may be called 1e3
        names = {key for key, item in value.items() if key == "name" and isinstance(item, str)}
        return {str(key): value[key] if key in names else canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value


def validate(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Check a configuration and complete it.

    Parameters
    ----------
    config : mapping
        As read from YAML.
    schema : mapping
        JSON schema (draft 2020-12).

    Returns
    -------
    dict
        The configuration in canonical form, with the schema's defaults filled in.

    Raises
    ------
    StudyError
        Names the key, what was found and what was expected, for every fault.
    """
    _refuse_not_finite(config, ())
    config = _with_defaults(canonical(config), schema, schema)
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.path)))
    if errors:
        raise StudyError("\n".join(dict.fromkeys(map(_explain, errors))))
    return canonical(config)


def _with_defaults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    if not isinstance(value, Mapping):
        return value
    completed = dict(value)
    for part in _applicable(value, schema, root):
        for key, child in part.get("properties", {}).items():
            if key not in completed and "default" in child:
                completed[key] = deepcopy(child["default"])
            if key in completed:
                completed[key] = _with_defaults(completed[key], child, root)
    return completed


def _applicable(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and those it refers to that apply to a value: `$ref`, and `then` where `if` holds."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        yield from _applicable(value, root["$defs"][name], root)
    for part in schema.get("allOf", []):
        if "if" not in part or Draft202012Validator(part["if"]).is_valid(value):
            yield from _applicable(value, part.get("then", {}), root)
    yield schema


def _explain(error: ValidationError) -> str:
    place = ".".join(map(str, error.absolute_path)) or "the study"
    found, expected = error.instance, error.validator_value
    # whose keys these are, where they are not this library's own
    of = f" ({error.schema['title']})" if "title" in error.schema and error.absolute_path else ""
    match error.validator:
        case "additionalProperties" if isinstance(found, Mapping):
            known = list(error.schema["properties"])
            unknown = [key for key in found if key not in known]
            return "\n".join(f"{place}: unknown key {key!r}; {_instead(key, known)}{of}" for key in unknown)
        case "required":
            missing = [key for key in expected if key not in found]
            return f"{place}: the key {missing[0]!r} is missing{of}"
        case "type":
            kinds = expected if isinstance(expected, str) else " or ".join(expected)
            return f"{place} is {_shown(found)}, expected {kinds}"
        case "enum":
            return f"{place} is {_shown(found)}; {nearest(found, map(str, expected))}"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            limits = {
                "minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above", "exclusiveMaximum": "below"
            }  # fmt: skip
            return f"{place} is {_shown(found)}, expected {limits[error.validator]} {expected}"
        case "uniqueItems":
            repeated = [item for i, item in enumerate(found) if item in found[:i]]
            return f"{place}: {repeated[0]!r} is listed twice"
        case "pattern":
            return (
                f"{place}: {_shown(found)} is no name; letters, digits, '_', '-' and '.' only, a letter or digit first"
            )
        case "maxLength":
            return f"{place}: {_shown(found)} has {len(found)} letters, expected at most {expected}"
        case "minItems" | "minProperties" | "minLength":
            return f"{place} is empty"
    return f"{place}: {error.message}"


def _instead(key: str, known: list[str]) -> str:
    return nearest(key, known) if known else "expected none"


def _shown(value: object) -> str:
    """Return a value as it is written, cut to what helps."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:60]}... ({len(text):,} characters)"


def _refuse_not_finite(value: Any, place: tuple[object, ...]) -> None:
    if isinstance(value, Mapping):
        for key, child in value.items():
            _refuse_not_finite(child, (*place, key))
    elif isinstance(value, list | tuple):
        for i, child in enumerate(value):
            _refuse_not_finite(child, (*place, i))
    elif isinstance(value, float) and not math.isfinite(value):
        raise StudyError(f"{'.'.join(map(str, place))} is {value!r}, expected a finite number")
    elif isinstance(value, int) and value.bit_length() > _MOST_BITS:
        found = f"a number of {value.bit_length():,} bits"
        raise StudyError(f"{'.'.join(map(str, place))} is {found}, expected at most 2^{_MOST_BITS}")
