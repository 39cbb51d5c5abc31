"""Hashes of modules are computed once per text, whatever is wrong with the file that keeps them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quasarcurves.provenance.hash_cache import HashCache

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
    return cache.get("a.module", text, lambda: computed)


def test_a_value_is_used_again_for_the_same_text_alone(folder):
    cache = HashCache(Path(__file__), "here")
    assert value(cache, "text", "first") == "first"
    cache.save()
    again = HashCache(Path(__file__), "here")
    assert value(again, "text", "second") == "first"
    assert value(again, "another text", "third") == "third"


def test_each_installation_and_each_way_to_compute_has_its_own(folder, tmp_path):
    cache = HashCache(Path(__file__), "here")
    value(cache, "text", "first")
    cache.save()
    other = tmp_path / "other.py"
    other.write_text("1")
    assert value(HashCache(Path(__file__), "there"), "text", "second") == "second"
    assert value(HashCache(other, "here"), "text", "third") == "third"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "\xff", '{"a.module": 3}', '{"a.module": ["x"]}', '{"a.module": null}']
)
def test_a_damaged_file_costs_time_alone(folder, content):
    cache = HashCache(Path(__file__), "here")
    value(cache, "text", "first")
    cache.save()
    (file,) = folder.iterdir()
    file.write_text(content, encoding="latin-1")
    again = HashCache(Path(__file__), "here")
    assert value(again, "text", "second") == "second"
    again.save()
    assert [entry[1] for entry in json.loads(file.read_text()).values()] == ["second"]


def test_where_nothing_can_be_kept_values_are_computed(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache = HashCache(Path(__file__), "here")
    assert value(cache, "text", "first") == "first"
    cache.save()
    assert (tmp_path / "file").read_text() == ""


def test_a_second_process_normalises_no_module(folder):
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=dict(os.environ)
        )
        said.append(done.stdout.split())
    (first, computed), (second, again) = said
    assert first == second
    assert int(computed) > 5
    assert int(again) == 0
