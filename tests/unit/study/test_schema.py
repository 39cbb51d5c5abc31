"""Checking a configuration: one spelling for equal values, defaults at any depth, and messages that can be acted on."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.study.schema import StudyError, canonical, validate

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": 0.5},
        "colour": {"enum": ["red", "green"], "default": "red"},
        "sizes": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "number"}},
        "inner": {
            "type": "object",
            "default": {},
            "additionalProperties": False,
            "properties": {"depth": {"type": "integer", "default": 7}},
        },
        "shape": {
            "type": "object",
            "allOf": [
                {"if": {"properties": {"kind": {"const": "disc"}}}, "then": {"$ref": "#/$defs/disc"}},
                {"if": {"properties": {"kind": {"const": "box"}}}, "then": {"$ref": "#/$defs/box"}},
            ],
        },
    },
    "$defs": {
        "disc": {"additionalProperties": False, "properties": {"kind": {}, "radius": {"type": "number", "default": 2}}},
        "box": {"additionalProperties": False, "properties": {"kind": {}, "width": {"type": "number", "default": 4}}},
    },
}


def refusal(config):
    with pytest.raises(StudyError) as caught:
        validate(config, SCHEMA)
    return str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "a", "coun": 2}, "the study: unknown key 'coun'; did you mean 'count'?"),
        ({"name": "a", "inner": {"dept": 2}}, "inner: unknown key 'dept'; did you mean 'depth'?"),
        ({}, "the study: the key 'name' is missing"),
        ({"name": "a", "count": "many"}, "count is 'many', expected integer"),
        ({"name": "a", "count": True}, "count is True, expected integer"),
        ({"name": "a", "count": 2.5}, "count is 2.5, expected integer"),
        ({"name": "a", "count": 0}, "count is 0, expected at least 1"),
        ({"name": "a", "count": 10}, "count is 10, expected at most 9"),
        ({"name": "a", "share": 0}, "share is 0, expected above 0"),
        ({"name": "a", "share": 1}, "share is 1, expected below 1"),
        ({"name": "a", "colour": "gren"}, "colour is 'gren'; did you mean 'green'?"),
        ({"name": "a", "colour": "violet"}, "colour is 'violet'; expected one of green, red"),
        ({"name": "a", "sizes": [1, 2, 1.0]}, "sizes: 1 is listed twice"),
        ({"name": "a", "sizes": []}, "sizes is empty"),
        ({"name": "a", "sizes": [1, "x"]}, "sizes.1 is 'x', expected number"),
        ({"name": ""}, "name is empty"),
        ({"name": "a", "inner": None}, "inner is None, expected object"),
        ({"name": "a", "shape": {"kind": "box", "widht": 1}}, "shape: unknown key 'widht'; did you mean 'width'?"),
    ],
)
def test_a_fault_gives_one_line_with_place_finding_and_expectation(config, message):
    assert refusal(config) == message


def test_several_faults_are_all_named_each_on_its_line():
    lines = refusal({"name": "a", "count": 0, "share": 2, "colur": "red"}).splitlines()
    assert sorted(lines) == [
        "count is 0, expected at least 1",
        "share is 2, expected below 1",
        "the study: unknown key 'colur'; did you mean 'colour'?",
    ]


def test_defaults_are_filled_in_at_every_depth_and_do_not_replace_what_is_given():
    assert validate({"name": "a"}, SCHEMA) == {
        "name": "a",
        "count": 3,
        "share": 0.5,
        "colour": "red",
        "inner": {"depth": 7},
    }
    given_all = {"name": "a", "count": 4, "share": 0.1, "colour": "green", "inner": {"depth": 1}}
    assert validate(given_all, SCHEMA) == given_all


@pytest.mark.parametrize(("kind", "rest"), [("disc", {"radius": 2}), ("box", {"width": 4})])
def test_defaults_of_the_branch_that_applies_are_filled_in(kind, rest):
    assert validate({"name": "a", "shape": {"kind": kind}}, SCHEMA)["shape"] == {"kind": kind, **rest}


def test_defaults_are_not_shared_between_configurations():
    first = validate({"name": "a"}, SCHEMA)
    first["inner"]["depth"] = 99
    assert validate({"name": "a"}, SCHEMA)["inner"] == {"depth": 7}


def test_the_configuration_given_is_not_changed():
    config = {"name": "a", "inner": {}, "share": "5e-1"}
    validate(config, SCHEMA)
    assert config == {"name": "a", "inner": {}, "share": "5e-1"}


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("1e-3", 0.001),
        ("1E-3", 0.001),
        ("-2.5e+1", -25),
        (".5e0", 0.5),
        (32.0, 32),
        ("3.2e1", 32),
        ((1, 2.0), [1, 2]),
        (True, True),
        (None, None),
        ("adam", "adam"),
        ("e5", "e5"),
        ("1.0", "1.0"),
        ("plate-1e3", "plate-1e3"),
    ],
)
def test_values_are_written_in_one_way(written, means):
    got = canonical(written)
    assert got == means
    assert type(got) is type(means)


def shuffled(value, rng):
    """Write the same value with its keys in another order and its whole numbers as floats."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    if isinstance(value, list):
        return [shuffled(item, rng) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if rng.random() < 0.5 else f"{value}e0"
    return value


VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-1000, 1000), st.sampled_from(["red", "1x", ""]), st.floats(-10, 10)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(value=VALUES, seed=st.integers(0, 2**16))
def test_order_of_keys_and_spelling_of_numbers_do_not_matter(value, seed):
    one = json.dumps(canonical(value))
    assert json.dumps(canonical(shuffled(value, random.Random(seed)))) == one
    assert json.dumps(canonical(canonical(value))) == one
