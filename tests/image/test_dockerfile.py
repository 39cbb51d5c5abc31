"""How the image is built: the Dockerfile's style, its layers, and what a change builds anew."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from containers import IMAGE, ROOT, run

pytestmark = pytest.mark.image


def hadolint(path):
    # beside the Python of the tests, whether that is on the PATH or not
    return run(Path(sys.executable).parent / "hadolint", "--no-color", "--failure-threshold", "info", path)


def test_hadolint_finds_nothing():
    result = hadolint(ROOT / "Dockerfile")
    assert (result.returncode, result.stdout) == (0, "")


def test_hadolint_would_find_a_fault(tmp_path):
    planted = tmp_path / "Dockerfile"
    planted.write_text((ROOT / "Dockerfile").read_text() + "RUN apt-get install git\n")
    result = hadolint(planted)
    assert result.returncode == 1
    assert "DL3015" in result.stdout


@pytest.fixture
def checkout(tmp_path):
    """Give a copy of what is in the repository, and of what is not yet."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in files.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def cached_steps(log: str) -> dict[str, bool]:
    """Give the steps of a build, and whether each was taken from an earlier one."""
    steps = re.findall(r"^STEP \d+/\d+: (.*?)\n(.*?)(?=^STEP|\Z)", log, re.DOTALL | re.MULTILINE)
    return {instruction: "Using cache" in rest for instruction, rest in steps if "-->" in rest}


def test_a_changed_workflow_file_builds_the_last_layers_only(image, checkout):
    with (checkout / "workflow" / "quasarcurves" / "study.py").open("a") as file:
        file.write(f"\n# changed at {time.time()}\n")
    start = time.monotonic()
    steps = cached_steps(image.containers.build(checkout, tag=f"{IMAGE}:changed"))
    print(f"after a change of a workflow file: {time.monotonic() - start:.0f} s")
    image.containers.podman("rmi", f"{IMAGE}:changed")
    built = [instruction for instruction, cached in steps.items() if not cached]
    costly = [instruction for instruction in steps if re.search("pip install|apt-get|COPY requirements", instruction)]
    assert built[0] == "COPY workflow /opt/quasarcurves/workflow"
    assert len(costly) == 3
    assert all(steps[instruction] for instruction in costly)


def test_nothing_changed_builds_nothing(image):
    assert all(cached_steps(image.containers.build()).values())


def test_the_argument_chooses_the_lock(image):
    with pytest.raises(AssertionError, match=r"requirements/no-such-lock\.txt"):
        image.containers.build(ROOT, "--build-arg", "LOCK=no-such-lock")
    locks = {path.stem for path in (ROOT / "requirements").glob("*.txt")}
    assert {"cpu", "gpu", "cloud"} <= locks
