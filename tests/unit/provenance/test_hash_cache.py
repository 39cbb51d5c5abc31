"""Hashes of modules are computed once per text, whatever is wrong with the file that keeps them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quasarcurves.provenance.hash_cache import HashCache

ROOT = Path(__file__).parents[3]
PROGRAM = """
from quasarcurves.provenance import fingerprint
computed, normalised = [], fingerprint.normalised
fingerprint.normalised = lambda *args, **options: computed.append(1) or normalised(*args, **options)
print(fingerprint.code("prepare_spectra"), len(computed))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "quasarcurves"


def value(cache: HashCache, text: str, computed: str) -> str:
    return cache.get(text, lambda: computed)


def test_a_value_is_used_again_for_the_same_text_alone(folder):
    cache = HashCache(Path(__file__))
    assert value(cache, "text", "first") == "first"
    cache.save()
    again = HashCache(Path(__file__))
    assert value(again, "text", "second") == "first"
    assert value(again, "another text", "third") == "third"


def test_each_way_to_compute_has_its_own(folder, tmp_path):
    cache = HashCache(Path(__file__))
    value(cache, "text", "first")
    cache.save()
    other = tmp_path / "other.py"
    other.write_text("1")
    assert value(HashCache(other), "text", "second") == "second"


def test_the_texts_asked_for_last_are_kept(folder, monkeypatch):
    monkeypatch.setattr(HashCache, "MOST", 3)
    for texts in ("abc", "ad"):
        cache = HashCache(Path(__file__))
        for text in texts:
            value(cache, text, text)
        cache.save()
    cache = HashCache(Path(__file__))
    assert [value(cache, text, "anew") for text in "adbc"] == ["a", "d", "b", "anew"]


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff", '{"STAMP": 3}', '{"STAMP": ["x"]}', '{"STAMP": null}'])
def test_a_damaged_file_costs_time_alone(folder, content):
    cache = HashCache(Path(__file__))
    value(cache, "text", "first")
    cache.save()
    (file,) = folder.iterdir()
    (stamp,) = json.loads(file.read_text())
    file.write_text(content.replace("STAMP", stamp), encoding="latin-1")
    again = HashCache(Path(__file__))
    assert value(again, "text", "second") == "second"
    again.save()
    assert json.loads(file.read_text()) == {stamp: "second"}


def test_where_nothing_can_be_kept_values_are_computed(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache = HashCache(Path(__file__))
    assert value(cache, "text", "first") == "first"
    cache.save()
    assert (tmp_path / "file").read_text() == ""


def test_a_second_process_normalises_no_module_also_in_a_copy_of_the_project(folder, tmp_path):
    copy = tmp_path / "workflow"
    shutil.copytree(ROOT / "workflow", copy, ignore=shutil.ignore_patterns("__pycache__"))
    said = []
    for place in (ROOT / "workflow", copy):
        environment = {**os.environ, "PYTHONPATH": str(place)}
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        said.append(done.stdout.split())
    (first, computed), (second, again) = said
    assert first == second
    assert int(computed) > 5
    assert int(again) == 0
