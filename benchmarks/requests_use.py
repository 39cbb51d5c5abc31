"""Requests against use: `python benchmarks/requests_use.py FOLDER ... > benchmarks/requests.csv`.

FOLDER holds the results of a study that has run, as `results/quickstart`. Its configuration is looked for by its name
in config.yaml and workflow/studies; `FOLDER=FILE` says where else it is. What jobs asked for is worked out anew, what
they used is in their benchmark files. A row per study and rule:

jobs
    Benchmark files.
asked_mb, used_mb
    Memory of the job that used most, the highest that it held.
mb_least, mb_median, mb_most
    What jobs asked for over what they used; on a cluster that includes Snakemake's own processes in a job (not in light
    steps), so it does here.
mb_alone
    The same median over what the job alone used.
timed
    Jobs of five minutes or more.
time_least, time_median, time_most
    Time asked for over time used of these: over the time that passed or, of jobs that had their cores for less than
    80 % of it, over processor time, which Snakemake knows to half a minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import yaml

from quasarcurves.study import Run, Study
from quasarcurves.study.steps import LIGHT

ROOT = Path(__file__).parents[1]

SNAKEMAKE_MB = 320
"""Held by the two Snakemake processes of a job on a cluster, as seen there."""

_LONG_SECONDS, _LOAD = 300, 80


def study_of(folder: Path) -> Study:
    """Find the study that a folder of results is of."""
    for path in (ROOT / "config.yaml", *sorted((ROOT / "workflow" / "studies").glob("*.yaml"))):
        if yaml.safe_load(path.read_text())["study"]["name"] == folder.name:
            return Study.load(path)
    raise SystemExit(f"{folder}: no study of that name in config.yaml and workflow/studies, say FOLDER=FILE")


def run_of(path: Path) -> Run:
    """Give the run that a benchmark file is of, such as train/f0.8_r0/adam.tsv."""
    fraction, replicate = path.parent.name.removeprefix("f").rsplit("_r", 1)
    return Run(float(fraction), int(replicate), path.name.removesuffix(".tsv"))


def jobs(folder: Path, study: Study) -> pd.DataFrame:
    """Give a row per job: its rule, what it asked for and what it used."""
    n_examples = study.n_examples(folder / "data" / "spectra.h5")
    rows = []
    for path in sorted((folder / "benchmarks").rglob("*.tsv")):
        rule = path.relative_to(folder / "benchmarks").parts[0].removesuffix(".tsv")
        run = run_of(path) if rule in ("train", "evaluate") else None
        used = pd.read_csv(path, sep="\t", na_values="NA").iloc[0]
        asked = study.resources(rule, n_examples, run)
        rows.append({"rule": rule, **asked, **used[["s", "max_rss", "mean_load", "cpu_time"]].to_dict()})
    return pd.DataFrame(rows)


def compare(of_rule: pd.DataFrame, rule: str, threads: int) -> dict[str, float]:
    """Hold the requests of a rule's jobs against their use."""
    seen = of_rule[of_rule["max_rss"].notna()]
    beside = 0 if rule in LIGHT else SNAKEMAKE_MB
    threads = threads if rule in ("train", "evaluate") else 1
    seconds = of_rule["s"].where(of_rule["mean_load"] >= _LOAD * threads, of_rule["cpu_time"] / threads)
    long = seconds >= _LONG_SECONDS
    memory, time = seen["mem_mb"] / (seen["max_rss"] + beside), 60 * of_rule["runtime"][long] / seconds[long]
    most = seen.loc[seen["max_rss"].idxmax()] if len(seen) else {"mem_mb": None, "max_rss": None}
    return {
        "jobs": len(of_rule),
        "asked_mb": most["mem_mb"],
        "used_mb": most["max_rss"],
        **{f"mb_{name}": value for name, value in _spread(memory).items()},
        "mb_alone": (seen["mem_mb"] / seen["max_rss"]).median(),
        "timed": int(long.sum()),
        **{f"time_{name}": value for name, value in _spread(time).items()},
    }


def _spread(ratios: pd.Series) -> dict[str, float]:
    return {"least": ratios.min(), "median": ratios.median(), "most": ratios.max()}


def main() -> None:
    """Compare all studies and print a table."""
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    rows = []
    for argument in sys.argv[1:]:
        folder, _, config = argument.partition("=")
        study = Study.load(config) if config else study_of(Path(folder))
        threads = study.config["training"]["threads"]
        for rule, of_rule in jobs(Path(folder), study).groupby("rule"):
            rows.append({"study": study.name, "rule": rule, **compare(of_rule, rule, threads)})
    pd.DataFrame(rows).round(2).to_csv(sys.stdout, index=False)


if __name__ == "__main__":
    main()
