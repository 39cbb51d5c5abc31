"""What needs no TensorFlow does not import it: it takes seconds, and most steps of a study have none to give."""

import json
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

WORKFLOW = Path(__file__).parents[2] / "workflow"
HEAVY = {"tensorflow", "keras", "jax"}

MAY_NEED = (
    "quasarcurves.cli",
    "quasarcurves.quasarnet.cli.",
    "quasarcurves.quasarnet.model_files",
    "quasarcurves.quasarnet.steps.",
    "quasarcurves.quasarnet.convolution",
    "quasarcurves.quasarnet.described_layers",
    "quasarcurves.quasarnet.export",
    "quasarcurves.quasarnet.fused_batch_norm",
    "quasarcurves.quasarnet.loss",
    "quasarcurves.quasarnet.network",
    "quasarcurves.quasarnet.bias_free_layers",
    "quasarcurves.quasarnet.task",
    "quasarcurves.quasarnet.toom_cook",
    "quasarcurves.quasarnet.warm_start",
    "quasarcurves.steps.",
    "quasarcurves.tasks.digits",
    "quasarcurves.tasks.own_evaluation",
    "quasarcurves.tasks.own_task",
    "quasarcurves.quasarnet.trained_network",
    "quasarcurves.recorder",
    "quasarcurves.training.",
    "scripts.magnify_spikes",
    "scripts.replay",
    "scripts.train",
)
"""How the names begin of modules that may need TensorFlow, themselves or by what they import, be it only when asked."""

IMPORT = """
import importlib, json, sys
for name in json.loads(sys.argv.pop()):
    importlib.import_module(name)
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


@pytest.fixture(scope="module")
def modules():
    """Names of all modules of the library and the scripts."""
    paths = [path for package in ("quasarcurves", "scripts") for path in (WORKFLOW / package).rglob("*.py")]
    names = (".".join(path.relative_to(WORKFLOW).with_suffix("").parts) for path in paths)
    return {name.removesuffix(".__init__") for name in names}


@pytest.fixture(scope="module")
def needing(modules):
    """Those from which a chain of imports leads to TensorFlow."""
    graph = grimp.build_graph(
        "quasarcurves", "scripts", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    return {name for name in modules if HEAVY & graph.find_upstream_modules(name)}


def imported(names):
    """Packages that a process has loaded once it has imported some modules."""
    command = [sys.executable, "-c", IMPORT, json.dumps(sorted(names))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


def test_only_these_modules_need_it(needing):
    assert "quasarcurves.training.loop" in needing
    assert not {name for name in needing if not name.startswith(MAY_NEED)}


def test_steps_that_train_are_the_only_ones_that_need_it(needing):
    expected = {"scripts.magnify_spikes", "scripts.replay", "scripts.train"}
    assert {name for name in needing if name.startswith("scripts.")} == expected


@pytest.mark.slow
def test_no_other_module_loads_it_in_a_roundabout_way(modules, needing):
    """Such as through pandas or a module that is imported by name."""
    found = imported(modules - needing)
    assert {"pandas", "matplotlib"} <= found
    assert not found & HEAVY


def test_the_package_itself_imports_nothing():
    assert not imported({"quasarcurves"}) & (HEAVY | {"numpy", "pandas", "matplotlib", "h5py", "scipy"})
