"""What it saves to fork steps from a server: `python benchmarks/fork_server.py > benchmarks/fork_server.csv`.

Runs the smoke study on two cores with the server and without, in turns. Prints a row per run: seconds, and processor
seconds of all processes, the servers' included. `python benchmarks/fork_server.py 5 study.yaml` runs another study five
times each way.
"""

from __future__ import annotations

import csv
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of the servers, which their own parents leave, so that what they use can be counted."""
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        sys.exit("processes that lose their parent cannot be waited for here, expected Linux")


def wait_for_orphans() -> float:
    """Wait until all of them have ended; return the processor seconds of them and of what they have forked."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(study: Path, folder: str, server: bool) -> tuple[float, float]:
    """Run a study in a folder; return seconds and processor seconds."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", study]
    environment = os.environ if server else os.environ | {"QUASARCURVES_FORK_SERVER": "off"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        list(map(str, [*command, "--cores", 2, "--workflow-profile", "none"])),
        cwd=folder, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime + wait_for_orphans()


def main(times: int = 3, study: str = str(ROOT / "workflow" / "studies" / "smoke.yaml")) -> None:
    """Print the table."""
    adopt_orphans()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["study", "server", "seconds", "cpu_seconds"])
    for _ in range(times):
        for server in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                seconds, cpu = run(Path(study).resolve(), folder, server)
            writer.writerow([Path(study).stem, server, f"{seconds:.1f}", f"{cpu:.1f}"])
            sys.stdout.flush()


if __name__ == "__main__":
    main(*(int(each) if each.isdigit() else each for each in sys.argv[1:]))
