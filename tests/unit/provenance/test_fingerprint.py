"""Fingerprints change with the code that a step imports, and with nothing else."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quasarcurves import tasks
from quasarcurves.provenance import fingerprint
from quasarcurves.study import steps

ROOT = Path(__file__).parents[3]
SOURCE = "quasarcurves.spectra.sources.simulated"
TRAINING = {"train", "replay", "magnify_spikes"}


def code_of(step: steps.Step) -> tuple[str, tuple[str, ...]]:
    """Script of a step, and the modules that it imports by a name known only when it runs."""
    if step.figure:
        return "draw", (step.module,)
    part = {"prepare_spectra": "prepare", "evaluate": "evaluate", **dict.fromkeys(TRAINING, "train")}.get(step.name)
    of_source = (SOURCE,) if part == "prepare" else ()
    return step.name, (*of_source, *((tasks.module_of(part, None),) if part else ()))


# a pack is trained by the script of single trainings
STEPS = {name: code_of(step) for name, step in steps.STEPS.items() if name != "train_pack"}

CODE = '''
"""Module."""
import logging
from dataclasses import dataclass
from typing import Any
import numpy as np

logger = logging.getLogger(__name__)

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
        if value < 0:
            logger.warning("%s is below 0", value)
            raise ValueError(f"the sum is {value}, expected 0 or more")
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
    "text of a log line": ("is below 0", "is negative"),
    "values in a log line": ('"%s is below 0", value', '"%s + %s is below 0", self.one, len(str(self.two))'),
    "level of a log line": ("logger.warning", "logger.error"),
    "log line gone": ('            logger.warning("%s is below 0", value)\n', ""),
    "log line more": ("        return scale", '        logger.info("scaled")\n        return scale'),
    "text of an exception": ("the sum is", "the sum must not be"),
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
    "what a log line does": ('"%s is below 0", value', '"%s is below 0", self.twos.pop()'),
    "what a log line assigns": ('"%s is below 0", value', '"%s is below 0", (value := 0)'),
    "class of an exception": ("raise ValueError", "raise TypeError"),
    "value in an exception": ("is {value}, expected", "is {self.pop()}, expected"),
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


@pytest.mark.parametrize(
    "block",
    ["try:\n    f()\nfinally:\n    {}", "for i in x:\n    {}", "try:\n    f()\nexcept E:\n    {}", "with f():\n    {}"],
)
def test_block_with_a_log_line_alone_still_compiles(block):
    compile(fingerprint.normalised(block.format('logger.info("here")')), "block", "exec")


@pytest.mark.slow
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


IMPORTS = """
import importlib, json, sys
found = {}
for step, (script, also) in json.loads(sys.argv.pop()).items():
    for name in [name for name in sys.modules if name.split(".")[0] in ("quasarcurves", "scripts")]:
        del sys.modules[name]
    for module in (f"scripts.{script}", *also):
        importlib.import_module(module)
    found[step] = sorted(name for name in sys.modules if name.split(".")[0] in ("quasarcurves", "scripts"))
print(json.dumps(found))
"""
"""Prints the modules that each step imports; one process does for all, as other packages need no second import."""

ON_USE = {f"quasarcurves.quasarnet.{name}": TRAINING for name in ("fused_batch_norm", "toom_cook", "shapes")}
"""What a step imports only once it does its work, with the right backend."""


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Return what each step imports, as Python itself says: what has been loaded once its script has."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", IMPORTS, json.dumps(STEPS)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return {step: set(modules) for step, modules in json.loads(result.stdout).items()}


class Library:
    """A copy of the library, whose modules can be edited one by one."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        # of the library itself: it is remembered for the next copy, as parsing all modules takes most of the time
        original = fingerprint.module_hash
        self._hash_now = original.__wrapped__
        self.modules = sorted(
            ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
            for package in fingerprint.PACKAGES
            for path in (folder / package).rglob("*.py")
        )
        self._hashes = {module: original(module) for module in self.modules}
        monkeypatch.setattr(fingerprint, "PACKAGES", {name: folder / name for name in fingerprint.PACKAGES})
        monkeypatch.setattr(fingerprint, "module_hash", lambda module: self._hashes[module])
        self._before = self.fingerprints()

    def source(self, module: str) -> str:
        return self._path(module).read_text()

    def changed_by(self, **sources: str) -> set[str]:
        """Steps whose fingerprint changes while modules have other sources."""
        sources_before, hashes_before = {module: self.source(module) for module in sources}, dict(self._hashes)
        self._write(sources)
        self._hashes.update({module: self._hash_now(module) for module in sources})
        now = self.fingerprints()
        self._write(sources_before)
        self._hashes.update(hashes_before)
        return {step for step in STEPS if now[step] != self._before[step]}

    def fingerprints(self) -> dict[str, str]:
        fingerprint.code.cache_clear()
        return {step: fingerprint.code(script, also) for step, (script, also) in STEPS.items()}

    def _write(self, sources: dict[str, str]) -> None:
        for module, source in sources.items():
            self._path(module).write_text(source)

    def _path(self, module: str) -> Path:
        path = self.folder.joinpath(*module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.fixture
def library(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    yield Library(tmp_path / "workflow", monkeypatch)
    fingerprint.code.cache_clear()


def expected_of(module: str, imports: dict[str, set[str]]) -> set[str]:
    """Steps that a change of a module is expected to rerun."""
    if module in fingerprint.WITHOUT_EFFECT:
        return set()
    return {step for step in STEPS if module in imports[step]} | ON_USE.get(module, set())


@pytest.mark.slow
def test_every_module_mutated_once_reruns_exactly_the_steps_that_import_it(library, imports):
    assert len(library.modules) > 40
    for module in library.modules:
        changed = library.changed_by(**{module: library.source(module) + "\n_MUTATED = 1\n"})
        assert changed == expected_of(module, imports), module


def with_another_formula(source: str) -> str | None:
    """Source code whose first product, difference or power is a sum, or else whose first number is larger by one.

    Returns None where there is neither. Calls that stand alone are left as they are: a log line has no effect.
    """
    tree = ast.parse(source)
    calls = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Expr) for part in ast.walk(node)}
    nodes = [node for node in ast.walk(tree) if id(node) not in calls]
    for node in nodes:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Sub | ast.Pow):
            node.op = ast.Add()
            return ast.unparse(tree)
    for node in nodes:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            node.value += 1
            return ast.unparse(tree)
    return None


@pytest.mark.slow
def test_another_formula_reruns_exactly_the_steps_that_compute_with_its_module(library, imports):
    rerun = {}
    for module in library.modules:
        source = with_another_formula(library.source(module))
        if source:
            rerun[module] = library.changed_by(**{module: source})
            assert rerun[module] == expected_of(module, imports), module
    assert set().union(*rerun.values()) == set(STEPS)
    assert {module for module, steps in rerun.items() if steps == TRAINING} >= {
        "quasarcurves.training.loop",
        "quasarcurves.training.measures",
    }


def reworded(source: str) -> str:
    """Source code whose log lines and raised texts are worded differently, with one log line more."""
    source = re.sub(r'(logger\.\w+\(")', r"\1in other words: ", source)
    source = re.sub(r'(raise \w+\(f?")', r"\1in other words: ", source)
    return source + '\nimport logging\nlogger = logging.getLogger(__name__)\nlogger.debug("read %d", len(__name__))\n'


@pytest.mark.slow
def test_log_lines_worded_differently_rerun_nothing(library, imports):
    """In all modules at once: where one changed a fingerprint, this would."""
    sources = {module: reworded(library.source(module)) for module in library.modules}
    assert sum("in other words" in sources[module] for module in imports["train"]) > 10
    assert library.changed_by(**sources) == set()


@pytest.mark.slow
def test_modules_without_effect_are_there_and_each_is_imported_by_a_step(imports):
    every = set().union(*imports.values())
    # the list of what lies on disk is the command line's alone, but belongs to the same room
    assert fingerprint.WITHOUT_EFFECT.keys() - {"quasarcurves.provenance.inventory"} <= every


def test_imports_of_modules_without_effect_are_not_followed(monkeypatch):
    without_effect = dict.fromkeys(("quasarcurves", "quasarcurves.training.loop"), "for this test")
    monkeypatch.setattr(fingerprint, "WITHOUT_EFFECT", without_effect)
    for function in (fingerprint._graph, fingerprint.upstream):
        function.cache_clear()
    try:
        assert "quasarcurves.training.loop" in fingerprint.upstream("scripts.train")
        assert fingerprint.upstream("quasarcurves.training.loop") == {
            "quasarcurves.training.loop", "quasarcurves.training", "quasarcurves",
        }  # fmt: skip
    finally:
        for function in (fingerprint._graph, fingerprint.upstream):
            function.cache_clear()


def test_receipts_list_the_modules_of_the_fingerprint(imports):
    """What `quasarcurves why` compares is what makes a step rerun."""
    for step, (script, also) in STEPS.items():
        tracked = set().union(*(fingerprint.upstream(module) for module in (f"scripts.{script}", *also)))
        on_use = {module for module, steps in ON_USE.items() if step in steps}
        receipt = fingerprint.module_hashes(imports[step] | on_use)
        assert receipt.keys() == tracked - fingerprint.WITHOUT_EFFECT.keys(), step


GOES_INTO_A_RAISED_TEXT = {"quasarcurves.spectra.sources"}
"""Modules that collect texts of exceptions; they raise what they have collected."""


@pytest.mark.slow
def test_texts_of_exceptions_reach_no_result():
    """Whoever catches an exception raises its text again or logs it: so the texts need not count."""
    roots = {module for script, also in STEPS.values() for module in (f"scripts.{script}", *also)}
    modules = set().union(*map(fingerprint.upstream, roots))
    for module in modules - fingerprint.WITHOUT_EFFECT.keys() - GOES_INTO_A_RAISED_TEXT:
        # raised texts and log lines are gone; what they are made of stays within `raise`
        tree = ast.parse(fingerprint.normalised(fingerprint._source(module).read_text()))
        for handler in (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name):
            raised = {id(part) for node in ast.walk(handler) if isinstance(node, ast.Raise) for part in ast.walk(node)}
            used = [node for node in ast.walk(handler) if isinstance(node, ast.Name) and node.id == handler.name]
            assert all(id(node) in raised for node in used), f"{module}: {ast.unparse(handler)}"


def test_what_models_are_used_for_is_no_part_of_any_step():
    """A change of the command line, of predictions or of the export reruns nothing."""
    users = ("cli", *(f"quasarnet.{name}" for name in ("trained_network", "steps.prediction", "export", "cli.models")))
    scripts = sorted((fingerprint.ROOT / "scripts").glob("*.py"))
    steps = {path.stem for path in scripts} - {"__init__", "adapter"}
    assert {"train", "evaluate", "prepare_spectra"} <= steps
    for step in steps:
        assert not fingerprint.upstream(f"scripts.{step}") & {f"quasarcurves.{name}" for name in users}, step
    assert "quasarcurves.quasarnet.model_files" in fingerprint.upstream("quasarcurves.quasarnet.task")
