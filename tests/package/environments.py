"""Environments that a wheel is installed in. They see the packages of the tests' own environment, not the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tracked_files() -> list[str]:
    """Files of the repository: those that git has, and new ones that it does not ignore."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if (ROOT / name).is_file()]


def copy_tracked_files(to: Path) -> None:
    """Copy the repository without what lies there besides, such as results and earlier builds."""
    for name in tracked_files():
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel in it."""

    folder: Path

    def environ(self) -> dict[str, str]:
        """Environment variables that name no module of the checkout."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "QUASARCURVES"))}
        return {**kept, "PATH": os.pathsep.join([str(self.folder / "bin"), os.defpath]), "COLUMNS": "120"}

    def run(self, command: str, *arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess:
        """Run a program of the environment."""
        return subprocess.run(
            [str(self.folder / "bin" / command), *map(str, arguments)],
            cwd=cwd,
            env={**self.environ(), **variables},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )


def install(wheel: Path, folder: Path) -> Environment:
    """Make an environment with the wheel; all else comes from the one that the tests run in."""
    venv.create(folder, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet", "--no-deps", wheel]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (packages,) = folder.glob("lib/python*/site-packages")
    # a folder added in this way is searched, but the .pth files in it, one of which names the checkout, are not read
    (packages / "tests_own.pth").write_text(sysconfig.get_path("purelib"))
    return Environment(folder)
