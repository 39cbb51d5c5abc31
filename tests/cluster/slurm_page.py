"""What docs/slurm.md tells its reader to type."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from cluster_study import LONG, ROOT
from slurm_cluster import Cluster

PAGE = (ROOT / "docs" / "slurm.md").read_text()
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)).splitlines()


def follow(cluster: Cluster, folder: Path) -> dict[str, str]:
    """Type all of it in a copy of the repository, set up as these tests are; give what each command says."""
    _copy_repository(folder)
    (folder / ".venv").symlink_to(sys.prefix)
    return {command: _typed(command, cluster, folder) for command in COMMANDS}


def _copy_repository(folder: Path) -> None:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    there = [file for file in files if file and Path(ROOT, file.decode()).exists()]
    subprocess.run(["cp", "--parents", "--target-directory", folder, *there], cwd=ROOT, check=True)


def _typed(command: str, cluster: Cluster, folder: Path) -> str:
    result = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=cluster.environment, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LONG, check=False,
    )  # fmt: skip
    assert result.returncode == 0, f"{command}\n{result.stdout}"
    return result.stdout
