"""Logs as Snakemake writes them, made up job by job."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

PREAMBLE = """\
Using workflow specific profile profiles/default for setting default command line arguments.
Assuming unrestricted shared filesystem usage.

SNAKEMAKE
=========
  Date: 2026-11-29 05:59:56
  Snakefile: Snakefile
  Config MD5: be1b4cc1c76edc4e7e3f16f15fe3a248

Building DAG of jobs...
Using shell: /usr/bin/bash
Provided cores: 2
"""

START_UP = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795932404.333441   19744 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use the CPU.
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the appropriate flags.
"""


class MadeUpLog:
    """A log that is written as a study goes on.

    Parameters
    ----------
    path : Path
    date : str
        In its first lines.
    """

    def __init__(self, path: Path, date: str = "2026-11-29") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._n = path, 0
        path.write_text(PREAMBLE.replace("2026-11-29", date))

    def write(self, text: str) -> None:
        """Append a text."""
        with self._path.open("a") as file:
            file.write(text)

    def plan(self, counts: Mapping[str, int]) -> None:
        """Append the table of jobs to do."""
        rows = "\n".join(f"{name:<25} {count:>7}" for name, count in {**counts, "total": sum(counts.values())}.items())
        self.write(f"Job stats:\njob                         count\n------------------------  -------\n{rows}\n\n")
        self.write("Select jobs to execute...\nExecute 1 jobs...\n")

    def start(self, step: str, at: float, log: str = "", **wildcards: object) -> int:
        """Append the start of a job, at a time in seconds since the epoch; return the number of the job."""
        self._n += 1
        self.write(f"\n[{time.ctime(at)}]\nlocalrule {step}:\n    input: some/file\n    log: {log or step + '.log'}\n")
        self.write(f"    jobid: {self._n}\n    reason: Missing output files: some/file\n")
        if wildcards:
            self.write(f"    wildcards: {', '.join(f'{name}={value}' for name, value in wildcards.items())}\n")
        self.write("    resources: tmpdir=/tmp, runtime=5\n")
        return self._n

    def finish(self, number: int, step: str, at: float) -> None:
        """Append the end of a job."""
        self.write(f"[{time.ctime(at)}]\nFinished jobid: {number} (Rule: {step})\n3 of 37 steps (8%) done\n")

    def fail(self, number: int, step: str, at: float, tail: str = "") -> None:
        """Append the error of a job, as with --show-failed-logs."""
        self.write(f"RuleException:\nCalledProcessError in file base.smk, line 30:\n[{time.ctime(at)}]\n")
        self.write(f"Error in rule {step}:\n    message: None\n    jobid: {number}\n")
        self.write(f"    log: {step}.log (check log file(s) for error details)\n    shell:\n        exec env python\n")
        self.write(f"Logfile {step}.log:\n{'=' * 80}\n{tail}{'=' * 80}\n")
