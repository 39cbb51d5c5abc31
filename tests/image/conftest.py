"""The image, built once, and the smoke study run once in it."""

import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from containers import IMAGE, ROOT, Containers

TOOLS = ("buildah", "podman", "runc", "debootstrap", "node")
USER, GROUP = 12345, 54321
"""A user and a group that no image and no machine knows."""


@dataclass
class Built:
    """The image, and what was said when it was built."""

    containers: Containers
    log: str
    seconds: float

    def sh(self, script: str) -> str:
        """Run a shell script in the image; give its output."""
        result = self.containers.podman(
            "run", "--rm", "--no-healthcheck", "--network", "none", "--entrypoint", "sh", IMAGE, "-ec", script
        )
        assert result.returncode == 0, result.stdout
        return result.stdout


@pytest.fixture(scope="session")
def containers() -> Iterator[Containers]:
    path = os.environ["PATH"] + ":/usr/sbin"
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    if missing or os.geteuid():
        pytest.fail(f"root, and {', '.join(missing or TOOLS)} needed: sh tests/image/install.sh", pytrace=False)
    containers = Containers.in_cache()
    yield containers
    containers.release()


@pytest.fixture(scope="session")
def image(containers) -> Built:
    start = time.monotonic()
    containers.ensure_base()
    based = time.monotonic()
    log = containers.build()
    seconds = time.monotonic() - based
    print(f"base image: {based - start:.0f} s, image: {seconds:.0f} s")
    return Built(containers, log, seconds)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Give a folder that the unknown user can write to; its parents are pytest's, which only root may enter."""
    tmp_path.chmod(0o777)
    return tmp_path


def page_commands(page: str, language: str = "sh") -> list[str]:
    """Give the commands of a page of the documentation, lines that go on joined."""
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="session")
def finished(image, tmp_path_factory) -> Path:
    """Give a folder in which the smoke study has run, by the page's command, as a user that nothing knows."""
    folder = tmp_path_factory.mktemp("smoke")
    folder.chmod(0o777)
    (command,) = [line for line in page_commands("container.md") if "smoke.yaml" in line and "--read-only" in line]
    words = shlex.split(command.replace("$(id -u):$(id -g)", f"{USER}:{GROUP}").replace("$PWD", str(folder)))
    assert words[:2] == ["docker", "run"]
    start = time.monotonic()
    result = image.containers.podman("run", "--no-healthcheck", *words[2:], timeout=1800)
    assert result.returncode == 0, result.stdout
    print(f"smoke study: {time.monotonic() - start:.0f} s")
    (folder / "output.txt").write_text(result.stdout)
    return folder
