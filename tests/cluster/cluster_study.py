"""A study that Snakemake runs on the cluster through the project's profile; what a test does to it and asks of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from slurm_cluster import Cluster, wait_for

from quasarcurves.training import checkpoint
from quasarcurves.training.history import History
from quasarcurves.training.progress import read as read_progress

ROOT = Path(__file__).parents[2]
RUN = "f0.8_r0/adam"

LONG = 1200.0
"""Seconds after which something will not happen any more, on however slow a machine."""


class ClusterStudy:
    """A study with one training, run by Snakemake on the cluster.

    Parameters
    ----------
    cluster : Cluster
    folder : Path
        Where it runs; has the study in a file of its name.
    name : str
    profile : Path

    Attributes
    ----------
    resumes_from : int
        Epoch that a disturbed training has to go on from, or from a later one.
    """

    def __init__(self, cluster: Cluster, folder: Path, name: str, profile: Path) -> None:
        self.cluster, self.folder, self.profile = cluster, folder, profile
        self.resumes_from = 0
        self._file = f"{name}.yaml"
        self._results = folder / "results" / name
        self._process: subprocess.Popen | None = None
        self._output = folder / f"{name}.out"

    @property
    def state(self) -> Path:
        """Folder of the training's state."""
        return self._results / "state" / RUN

    @property
    def run(self) -> Path:
        """Folder of what the training makes."""
        return self._results / "runs" / RUN

    def start(self) -> None:
        """Start Snakemake."""
        # a shell that runs the tests in the background has them ignore SIGINT
        command = ["env", "--default-signal=INT", *self._snakemake("--workflow-profile", self.profile)]
        with self._output.open("a") as output:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=self.cluster.environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> int:
        """Wait for Snakemake's end and give its exit status."""
        try:
            return self._process.wait(LONG)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"Snakemake has not ended\n{self._told}") from None

    def finish(self) -> None:
        """Wait for Snakemake's end, which must be a good one."""
        assert self.wait() == 0, self._told

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait_for(self, condition: Callable[[], object], otherwise: str) -> None:
        """Wait until something is true while Snakemake runs."""

        def holds() -> object:
            assert self._process.poll() is None, f"{otherwise}: Snakemake has ended\n{self._told}"
            return condition()

        try:
            wait_for(holds, LONG, otherwise)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self._told}") from None

    def wait_for_checkpoint(self) -> psutil.Process:
        """Wait until the training has made its first checkpoint, and give its process."""
        self.wait_for(lambda: self._checkpoints, "no training goes on")
        return self._training

    @property
    def job(self) -> tuple[str, str]:
        """The job that trains, by its number, and its node."""
        environment = self._training.environ()
        return environment["SLURM_JOB_ID"], environment["SLURMD_NODENAME"]

    @property
    def states(self) -> dict[str, str]:
        """States of all its jobs, by number."""
        jobs = self.cluster.call("squeue", "--noheader", "--states=all", "--format=%i|%T|%Z").splitlines()
        return {
            number: state for number, state, folder in (job.split("|") for job in jobs) if folder == str(self.folder)
        }

    @property
    def epoch(self) -> int:
        """Epochs that the training has reported, at most one second ago."""
        return read_progress(self.state).epoch

    @property
    def saved_epoch(self) -> int:
        """Epochs in the newest checkpoint."""
        return max(checkpoint.read(path).place[0] for path in self._checkpoints)

    @property
    def owner(self) -> str:
        """Who trains."""
        return (self.state / "owner").read_text()

    @property
    def log(self) -> str:
        """What the last training has said."""
        return (self._results / "logs" / "train" / f"{RUN}.log").read_text()

    @property
    def history(self) -> History:
        """The record of the training."""
        return History.load(self.run / "history.h5")

    def dry_run(self) -> str:
        """Ask Snakemake, without cluster, what there is to do."""
        return self._call(*self._snakemake("--workflow-profile", "none", "--dry-run"))

    def verify(self) -> str:
        """Compare all files with their receipts."""
        return self._call(sys.executable, "-m", "quasarcurves.cli", "verify", "--configfile", self._file)

    def left_over(self) -> list[Path]:
        """Give the files that somebody began to write and did not finish."""
        return list(self._results.rglob("*.part*"))

    @property
    def _checkpoints(self) -> list[Path]:
        return list(self.state.glob("*/newest.h5"))

    @property
    def _training(self) -> psutil.Process:
        # all nodes are this machine; looking through all its processes would slow it down
        return psutil.Process(int(self.owner.split()[1]))

    @property
    def _told(self) -> str:
        return self._output.read_text() + "\n" + self.cluster.call("squeue", "--states=all", check=False)

    def _snakemake(self, *arguments: object) -> list[str]:
        command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", self._file]
        return list(map(str, [*command, "--until", "train", *arguments]))

    def _call(self, *command: str) -> str:
        environment = {**os.environ, "COLUMNS": "120"}
        result = subprocess.run(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout
        return result.stdout
