"""The image, built once, and the smoke study run once in it."""

import fcntl
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from containers import GROUP, IMAGE, ROOT, USER, Containers, checked, page_commands

TOOLS = ("buildah", "podman", "runc", "debootstrap", "node")


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
    with (containers.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs of the tests on one machine would build under the same name
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


@pytest.fixture
def again(finished, tmp_path) -> Path:
    """Give a copy of that folder, with the study in it, that a test may change."""
    folder = tmp_path / "again"
    shutil.copytree(finished, folder)
    shutil.copy(ROOT / "workflow" / "studies" / "smoke.yaml", folder / "config.yaml")
    return folder


@pytest.fixture
def bash(image, tmp_path) -> Callable[..., str]:
    """Give a function that runs a script in which podman, without network, stands for Docker."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    build = shlex.join(image.containers.build_command)
    docker.write_text(
        f'#!/bin/sh\nwhat=$1\nshift\ncase $what in\nbuild) exec {build} "$@" ;;\n'
        'run) exec podman run --no-healthcheck "$@" ;;\n*) exit 2 ;;\nesac\n'
    )
    docker.chmod(0o755)

    def run_script(script: str, folder: Path, **variables: str) -> str:
        environment = {**image.containers.environment, **variables}
        environment["PATH"] = f"{docker.parent}:{environment['PATH']}"
        return checked("bash", "-ec", script, cwd=folder, env=environment, timeout=1200)

    return run_script
