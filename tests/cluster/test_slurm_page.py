"""What docs/slurm.md tells its reader to type, typed on the cluster in a copy of the repository."""

import re
import subprocess
import sys

import pytest
from cluster_study import LONG, ROOT

pytestmark = pytest.mark.cluster

PAGE = (ROOT / "docs" / "slurm.md").read_text()
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)).splitlines()


@pytest.fixture
def clone(tmp_path):
    """Give a copy of the repository as it is, set up with what these tests run with."""
    files = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(files, cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(
        ["cp", "--parents", "--target-directory", tmp_path, *filter(None, listed.split(b"\0"))], cwd=ROOT, check=True
    )
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def test_from_the_clone_to_the_figures(cluster, clone):
    said = {}
    for command in COMMANDS:
        result = subprocess.run(
            ["bash", "-c", command], cwd=clone, env=cluster.environment, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LONG, check=False,
        )  # fmt: skip
        assert result.returncode == 0, f"{command}\n{result.stdout}"
        said[command] = result.stdout
    (run,) = [text for command, text in said.items() if command.endswith("smoke.yaml")]
    results = clone / "results" / "smoke"
    assert "34 of 34 steps (100%) done" in run
    assert {path.suffix for path in (results / "figures").iterdir()} == {".svg", ".pdf", ".png"}
    assert (clone / "report.zip").stat().st_size > 100_000
    assert list((results / "logs" / "train").rglob("*.log"))
    submitted = set(re.findall(r"slurm_logs/rule_(\w+)/", run))
    assert {"prepare_spectra", "train", "evaluate", "compute_metrics", "fit_learning_curves"} <= submitted
    assert not [rule for rule in submitted if rule.startswith(("plot_", "draw_", "show_", "write_"))]
