"""Where a study's time goes besides its training steps: `python benchmarks/around.py > around.csv`.

Runs the default and the smoke study on two cores, each step with a clock in it (`timed_job`), and prints a row per
part of a rule: processor seconds and seconds of all its jobs together; `start` is the interpreter, `first block` a
training's tracing and compiling with its first steps. `servers` are the imports that jobs share, and the forks. What is
left of the call's processor time is Snakemake's own, with the processes that wait for forked jobs.
`outside` is all that is no training step; its seconds are those of the call less half of those of the steps.
`cores` says how many the study had: the machine may have had other work. `python benchmarks/around.py study.yaml ...`
measures other studies.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml
from fork_server import adopt_orphans, wait_for_orphans

ROOT = Path(__file__).parents[1]
STUDIES = ("config.yaml", "workflow/studies/smoke.yaml")
CORES = 2
_STEPS = "steps"


def timed_python(folder: Path) -> tuple[dict[str, str], Path]:
    """Put a `python` into a folder that keeps records; give the environment in which it is found, and the records."""
    records, program = folder / "records.jsonl", folder / "bin" / "python"
    program.parent.mkdir()
    own = shlex.quote(str(Path(__file__).parent))
    command = shlex.join([sys.executable, "-m", "timed_job", str(records)])
    program.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:"{own} exec {command} "$@"\n')
    program.chmod(0o755)
    # the Snakefile puts the folder of its own Python first: this comes after it, in the shell of each job
    start = folder / "start.sh"
    start.write_text(f"PATH={shlex.quote(str(program.parent))}:$PATH\n")
    return {**os.environ, "BASH_ENV": str(start)}, records


class Spent(NamedTuple):
    """What a study took: seconds, processor seconds of Snakemake with its jobs and of the fork servers with theirs."""

    seconds: float
    called: float
    forked: float


def run(study: Path, folder: Path) -> tuple[Spent, pd.DataFrame]:
    """Run a study in a folder; return what it took and a row per job."""
    environment, records = timed_python(folder)
    options = ["--snakefile", ROOT / "Snakefile", "--configfile", study, "--cores", CORES, "--workflow-profile", "none"]
    command = [sys.executable, "-m", "snakemake", *map(str, options)]
    start = time.perf_counter()
    with (folder / "snakemake.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{study} failed:\n{(folder / 'snakemake.log').read_text()}")
    seconds = time.perf_counter() - start
    jobs = pd.DataFrame([json.loads(line) for line in records.read_text().splitlines()])
    return Spent(seconds, usage.ru_utime + usage.ru_stime, wait_for_orphans()), jobs


def tabulate(name: str, spent: Spent, jobs: pd.DataFrame) -> pd.DataFrame:
    """Return a row per part of a study."""
    seconds, cpu = spent.seconds, spent.called + spent.forked
    rows = [row for rule, of_rule in jobs.groupby("rule", sort=False) for row in _parts(rule, of_rule)]
    of_jobs = jobs.groupby("forked")["cpu"].sum().reindex([False, True], fill_value=0)
    rows.append({"rule": "servers", "jobs": int(jobs["forked"].sum()), "cpu_s": spent.forked - of_jobs[True]})
    rows.append({"rule": "snakemake", "jobs": len(jobs), "cpu_s": spent.called - of_jobs[False]})
    table = pd.DataFrame(rows)
    steps = table[table["part"] == _STEPS][["cpu_s", "wall_s"]].sum()
    totals = [
        {
            "rule": "outside",
            "jobs": len(jobs),
            "cpu_s": cpu - steps["cpu_s"],
            "wall_s": seconds - steps["wall_s"] / CORES,
        },
        {"rule": "study", "jobs": len(jobs), "cpu_s": cpu, "wall_s": seconds, "cores": cpu / seconds},
    ]
    table = pd.concat([table, pd.DataFrame(totals)], ignore_index=True)
    table.insert(0, "study", name)
    table["share"] = table["cpu_s"] / cpu
    return table


def _parts(rule: str, of_rule: pd.DataFrame) -> list[dict]:
    """Add up each part of a rule's jobs."""
    keys = {"rule": rule, "jobs": len(of_rule)}
    names = dict.fromkeys(name for parts in of_rule["parts"] for name in parts)
    sums = {name: sum(np.array(parts.get(name, (0, 0))) for parts in of_rule["parts"]) for name in names}
    rows = [{**keys, "part": name, "cpu_s": cpu, "wall_s": wall} for name, (cpu, wall) in sums.items()]
    # other threads and the like, and what comes after the last line
    rest = of_rule["cpu"].sum() - sum(cpu for cpu, _ in sums.values())
    return [*rows, {**keys, "part": "end", "cpu_s": rest}]


def main() -> None:
    """Measure all studies and print a table."""
    tables = []
    adopt_orphans()
    for argument in sys.argv[1:] or STUDIES:
        study = (ROOT / argument).resolve()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            tables.append(tabulate(_name_of(study), *run(study, folder)))
            print(tables[-1].round(2).to_string(), file=sys.stderr, flush=True)
    pd.concat(tables).round(3).to_csv(sys.stdout, index=False)


def _name_of(study: Path) -> str:
    return yaml.safe_load(study.read_text())["study"]["name"]


if __name__ == "__main__":
    main()
