"""A wheel of this checkout, and environments with it."""

import subprocess
import sys
from pathlib import Path

import pytest
from environments import Environment, copy_tracked_files, install


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as `pip wheel .` builds it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    copy_tracked_files(source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", out]
    done = subprocess.run([*build, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("quasarcurves-*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel."""
    return install(wheel, tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="session")
def without_tensorflow(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel in which no process finds TensorFlow."""
    environment = install(wheel, tmp_path_factory.mktemp("without_tensorflow"))
    (packages,) = environment.folder.glob("lib/python*/site-packages")
    (packages / "hidden.pth").write_text("import sys; sys.modules['tensorflow'] = None")
    return environment
