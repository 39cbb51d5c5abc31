"""Commands that run a study and show what it found."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from quasarcurves.cli import monitor, summary
from quasarcurves.cli.command import Command, add_study
from quasarcurves.study import Study

_DRY_RUN = {"-n", "--dry-run", "--dryrun"}


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    add_study(parser)
    parser.add_argument("--cores", default="all", help="cores to use (default: all)")


def _run(options: argparse.Namespace) -> int:
    study = Study.load(options.configfile)
    command = ["--cores", options.cores, "--configfile", str(options.configfile), *options.rest]
    if _DRY_RUN & set(options.rest):
        return monitor.ask(command)
    status = monitor.run(study, command)
    if status == 0 and (study.results / "runs.csv").exists():  # not where only some steps were asked for
        summary.show(study.results, Console())
    return status


def _summary_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, help="its folder of results")


def _summary(options: argparse.Namespace) -> int:
    summary.show(options.results, Console())
    return 0


COMMANDS = (
    Command(
        "run",
        "run a study through Snakemake, showing how far it is",
        _run_arguments,
        _run,
        epilog="Further arguments go to Snakemake.",
        takes_rest=True,
    ),
    Command(
        "summary",
        "print the main numbers of a finished study and where its figures are",
        _summary_arguments,
        _summary,
    ),
)
