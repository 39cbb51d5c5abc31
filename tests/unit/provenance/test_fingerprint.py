"""Fingerprints change with the code that a step imports, and with nothing else."""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from quasarcurves.provenance import fingerprint

ROOT = Path(__file__).parents[3]
STEPS = sorted(path.stem for path in (ROOT / "workflow" / "scripts").glob("[!_]*.py") if path.stem != "adapter")
SOURCE = "quasarcurves.spectra.sources.simulated"

CODE = '''
"""Module."""
from dataclasses import dataclass
from typing import Any
import numpy as np

LIMIT: int = 3
"""What it is."""

@dataclass
class Pair:
    """Two."""
    one: int
    two: float = 1.0

    def total(self, scale: float = 2.0) -> float:
        """Sum."""
        value: float = self.one + self.two  # both
        return scale * value

def mean(values: Any) -> Any:
    """Mean."""
    return np.mean(values)
'''

SAME = {
    "comment": ("LIMIT: int = 3", "# why three\nLIMIT: int = 3"),
    "docstring": ('"""Sum."""', '"""Sum of both, scaled."""'),
    "docstring gone": ('    """Mean."""\n', ""),
    "description of a constant": ('"""What it is."""', '"""Something else."""'),
    "layout": ("return scale * value", "return (scale\n                *   value)"),
    "hint of an argument": ("scale: float = 2.0", "scale: int = 2.0"),
    "hint of a result": ("-> float", "-> int"),
    "hint of a variable": ("value: float =", "value ="),
    "hint of a module's variable": ("LIMIT: int", "LIMIT: float"),
    "import for hints": (
        "from typing import Any",
        "from typing import Any, TypeVar\nfrom collections.abc import Sequence",
    ),
}
DIFFERENT = {
    "a value": ("LIMIT: int = 3", "LIMIT: int = 4"),
    "a default": ("scale: float = 2.0", "scale: float = 3.0"),
    "a name": ("def mean(values", "def mean(numbers"),
    "a field's type": ("two: float = 1.0", "two: int = 1.0"),
    "a field more": ("one: int\n", "one: int\n    three: int = 3\n"),
    "a string that is used": ("return np.mean(values)", "return 'mean'"),
    "an import that is used": ("import numpy as np", "import math as np"),
}


@pytest.mark.parametrize("name", SAME)
def test_what_does_not_count(name):
    old, new = SAME[name]
    assert old in CODE
    assert fingerprint.normalised(CODE.replace(old, new)) == fingerprint.normalised(CODE)


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_counts(name):
    old, new = DIFFERENT[name]
    assert old in CODE
    assert fingerprint.normalised(CODE.replace(old, new)) != fingerprint.normalised(CODE)


def test_hints_of_scripts_count():
    code = "def train(*, threads: int): ..."
    changed = code.replace("int", "float")
    assert fingerprint.normalised(code, keep_hints=True) != fingerprint.normalised(changed, keep_hints=True)


def test_normalised_code_of_every_module_still_compiles():
    for path in (ROOT / "workflow" / "quasarcurves").rglob("*.py"):
        compile(fingerprint.normalised(path.read_text()), str(path), "exec")


def test_files_are_hashed_again_only_when_their_age_has_changed(tmp_path, monkeypatch):
    one, cache = tmp_path / "one", tmp_path / "state" / "hashes.json"
    one.write_text("a")
    before = fingerprint.digest_files([one], cache)
    one.touch()
    assert fingerprint.digest_files([one], cache) == before
    monkeypatch.setattr(fingerprint, "file_hash", lambda path: pytest.fail("read again"))
    assert fingerprint.digest_files([one], cache) == before
    monkeypatch.undo()
    one.write_text("b")
    assert fingerprint.digest_files([one], cache) != before


def test_no_files_leave_no_cache(tmp_path):
    fingerprint.digest_files([], tmp_path / "hashes.json")
    assert not (tmp_path / "hashes.json").exists()


PROGRAM = """
import json, sys
from quasarcurves.provenance import fingerprint
steps, source = json.loads(sys.argv[1]), sys.argv[2]
print(json.dumps({step: fingerprint.code(step, (source,) if step == "prepare_spectra" else ()) for step in steps}))
"""

IMPORTS = """
import importlib, json, sys
sys.argv = sys.argv[:1]
importlib.import_module("scripts." + {step!r})
if {step!r} == "prepare_spectra":
    importlib.import_module({source!r})
print(json.dumps(sorted(name for name in sys.modules if name.split(".")[0] in ("quasarcurves", "scripts"))))
"""


def run(folder: Path, program: str, *arguments: str) -> object:
    """Run a program on a copy of the library."""
    environment = {"PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": ""}
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


ON_USE = {"quasarcurves.quasarnet.fused_batch_norm": {"train"}}
"""What a step imports only once it does its work, with the right backend."""


def test_every_module_mutated_once_reruns_exactly_the_steps_that_import_it(tmp_path):
    """What a step imports is asked of Python itself: what has been loaded once its script has."""
    library = tmp_path / "workflow"
    shutil.copytree(ROOT / "workflow", library, ignore=shutil.ignore_patterns("__pycache__"))
    imports = {step: set(run(library, IMPORTS.format(step=step, source=SOURCE))) for step in STEPS}
    before = run(library, PROGRAM, json.dumps(STEPS), SOURCE)
    modules = sorted(
        ".".join(path.relative_to(library).with_suffix("").parts).removesuffix(".__init__")
        for package in ("quasarcurves", "scripts")
        for path in (library / package).rglob("*.py")
    )
    assert len(modules) > 40
    for module in modules:
        path = library.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        content = path.read_text()
        path.write_text(content + textwrap.dedent("\n_MUTATED = 1\n"))
        now = run(library, PROGRAM, json.dumps(STEPS), SOURCE)
        path.write_text(content)
        changed = {step for step in STEPS if now[step] != before[step]}
        expected = {step for step in STEPS if module in imports[step] or module == f"scripts.{step}"}
        expected |= ON_USE.get(module, set())
        assert changed == (set() if module in fingerprint.BOOKKEEPING else expected), module


def test_what_models_are_used_for_is_no_part_of_any_step():
    """A change of the command line, of predictions or of the export reruns nothing."""
    users = ("quasarnet.trained_network", "steps.prediction", "quasarnet.export", "cli.models", "cli")
    scripts = sorted((fingerprint.ROOT / "scripts").glob("*.py"))
    steps = {path.stem for path in scripts} - {"__init__", "adapter"}
    assert {"train", "evaluate", "prepare_spectra"} <= steps
    for step in steps:
        assert not fingerprint.upstream(f"scripts.{step}") & {f"quasarcurves.{name}" for name in users}, step
    assert "quasarcurves.quasarnet.model_files" in fingerprint.upstream("scripts.train")
