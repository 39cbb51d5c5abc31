"""What a model file says of itself is believed only if it is what this library writes."""

import json
import zipfile

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.about import parse_about
from quasarcurves.quasarnet.trained_network import Trained

GOOD = {"lines": ["LYA"], "bal_lines": [], "name": "a", "grid": {"start": 3600, "step": 13.6, "n_bins": 458}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "task"]), inner, max_size=4),
)


@pytest.mark.parametrize("about", [{}, GOOD, {"task": "digits", "name": "x"}])
def test_what_is_written_is_read(about):
    assert parse_about(json.dumps(about), "m.keras") == about


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "m.keras: what it says of its outputs is no JSON"),
        ("[" * 100_000, "m.keras: what it says of its outputs is no JSON"),
        ("[1]", r"m.keras: what it says of its outputs: expected lines, bal_lines and a name, found \[1\]"),
        ('{"lines": ["LYA"]}', "m.keras: bal_lines: expected a list of names of lines, found None"),
        (json.dumps(GOOD | {"lines": "LYA"}), "m.keras: lines: expected a list of names of lines, found LYA"),
        (json.dumps(GOOD | {"name": [1]}), r"m.keras: name: expected a text, found \[1\]"),
        (json.dumps(GOOD | {"grid": {"start": "x"}}), "m.keras: grid: expected numbers by name"),
        (json.dumps(GOOD | {"grid": 3}), "m.keras: grid: expected numbers by name, found 3"),
    ],
)
def test_anything_else_is_refused_with_file_and_key(text, words):
    with pytest.raises(ValueError, match=words):
        parse_about(text, "m.keras")


@given(JSON)
def test_no_json_ends_in_another_exception(value):
    try:
        about = parse_about(json.dumps(value), "m.keras")
    except ValueError as error:
        assert str(error).startswith("m.keras: ")
    else:
        assert not about or "task" in about or all(isinstance(about[key], list) for key in ("lines", "bal_lines"))


@pytest.mark.slow
@pytest.mark.parametrize("text", ["not json", '{"lines": ["LYA"]}', '{"lines": ["LYA", "XX"], "bal_lines": []}'])
@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_such_a_model_is_refused_by_one_line(tmp_path, name, text):
    path = tmp_path / name
    Trained(network.build(filters=3, n_lines=2), ["LYA", "CIV(1548)"], []).save(path)
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["quasarcurves"] = text
    else:
        with zipfile.ZipFile(path) as archive:
            members = {each: archive.read(each) for each in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for each, content in members.items():
                archive.writestr(each, text if each == "quasarcurves.json" else content)
    with pytest.raises(ValueError, match="XX" if "XX" in text else name):
        Trained.load(path)
