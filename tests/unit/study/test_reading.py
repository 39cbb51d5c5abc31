"""Reading a study: what YAML would lose or change without a word is refused, with file and line."""

import json
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.study import Study
from quasarcurves.study.reading import read
from quasarcurves.study.schema import StudyError

STUDY = """\
study: {name: t}
data: {source: simulated, n_spectra: 60}
subsets: {fractions: [0.6]}
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "s.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text, message",
    [
        ("optimizers:\n  a: {class: Adam}\n  a: {class: SGD}\n", r"s\.yaml, line 6: a is written twice, in line 5 and"),
        ("optimizers:\n  1: {class: Adam}\n  '1': {class: SGD}\n", "line 6: 1 is written twice"),
        ("subsets: {fractions: [0.5]}\n", "line 4: subsets is written twice, in line 3 and here"),
        ("optimizers:\n  no: {class: Adam}\n", "line 5: the name no is read as False; put it in quotes: 'no'"),
        ("optimizers:\n  null: {class: Adam}\n", "the name null is read as None; put it in quotes: 'null'"),
        ("optimizers:\n  007: {class: Adam}\n", "the name 007 is read as 7; put it in quotes: '007'"),
        ("optimizers:\n  12:30: {class: Adam}\n", "the name 12:30 is read as 750; put it in quotes"),
        ("optimizers:\n  .5: {class: Adam}\n", "the name .5 is read as 0.5; put it in quotes"),
        ("optimizers:\n  [a]: {class: Adam}\n", "line 5: expected a name as key"),
        ("optimizers:\n\tx: {class: Adam}\n", r"s\.yaml, line 5: found character '\\t'"),
        ("---\nstudy: {name: u}\n", r"s\.yaml, line 4: but found another document"),
        (b"# gr\xf6\xdfe\n", r"s\.yaml: expected text in UTF-8, found something else at byte"),
        ("x: &a [*a]\n", "line 4: an anchor contains itself"),
        ("x: 2020-13-45\n", "line 4: 2020-13-45 is read as timestamp, and is none .month must be in 1"),
        ("a: 1\nx: !!timestamp zz\n", "line 5: zz is read as timestamp, and is none"),
        ("x: !!int zz\n", "line 4: zz is read as int, and is none"),
        ("x: !!float [1]\n", "line 4: "),
        ("x: !!binary 'a'\n", "line 4: "),
        ("x: " + "[" * 3000 + "\n", "nested too deeply"),
    ],
)
def test_what_yaml_would_change_or_cannot_read_is_refused_by_line(written, text, message):
    path = written(STUDY.encode() + text if isinstance(text, bytes) else STUDY + text)
    with pytest.raises(StudyError, match=message) as error:
        Study.load(path)
    assert "\n" not in str(error.value)


def test_a_thousand_bytes_that_stand_for_a_billion_values_are_refused_at_once(written):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    start = time.process_time()
    with pytest.raises(StudyError, match="values with those that aliases stand for, expected at most 100,000"):
        read(written("\n".join(lines)))
    assert time.process_time() - start < 1


def test_anchors_and_merged_keys_are_read_as_yaml_means_them(written):
    text = "base: &b {class: Adam, epsilon: 1.0e-7}\noptimizers:\n  x: {<<: *b, epsilon: 1.0e-4}\n"
    assert read(written(text))["optimizers"]["x"] == {"class": "Adam", "epsilon": 1e-4}


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.yaml"):
        Study.load(tmp_path / "missing.yaml")


NAMES = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_what_yaml_writes_is_read_back_as_it_was(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("round") / "s.yaml"
    path.write_text(yaml.safe_dump(config))
    assert read(path) == config
    path.write_text(json.dumps(config))
    assert set(read(path)) == set(config)


@pytest.mark.parametrize(
    "names, message",
    [
        (["Adam", "adam"], "optimizers.adam and Adam differ by capital letters alone"),
        (["null"], "optimizers.null: tables take this name for a missing value"),
        (["x" * 101], "has 101 letters, expected at most 100"),
        (["a\n"], "is no name"),
    ],
)
def test_names_that_paths_or_tables_cannot_hold_are_refused(names, message):
    config = yaml.safe_load(STUDY) | {"optimizers": {name: {"class": "Adam"} for name in names}}
    with pytest.raises(StudyError, match=message):
        Study.from_config(config)
