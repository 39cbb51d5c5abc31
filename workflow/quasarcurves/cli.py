"""The command line: what is not a step of the workflow."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from quasarcurves import monitor, summary
from quasarcurves.schema import StudyError
from quasarcurves.study import Study


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the return value is the exit status."""
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.command is not _run:
        _parser().error(f"unknown arguments: {' '.join(rest)}")
    try:
        return options.command(options, rest)
    except (StudyError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quasarcurves", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a study through Snakemake, showing how far it is",
        epilog="Further arguments go to Snakemake.",
    )
    run.add_argument("--configfile", type=Path, default=Path("config.yaml"), help="the study (default: config.yaml)")
    run.add_argument("--cores", default="all", help="trainings at once (default: all cores)")
    run.set_defaults(command=_run)
    show = commands.add_parser("summary", help="print the main numbers of a finished study")
    show.add_argument("results", type=Path, help="its folder of results")
    show.set_defaults(command=_summary)
    return parser


def _run(options: argparse.Namespace, snakemake_arguments: list[str]) -> int:
    study = Study.load(options.configfile)
    command = ["--cores", options.cores, "--configfile", str(options.configfile), *snakemake_arguments]
    status = monitor.run(study, command)
    if status == 0:
        summary.show(study.results, Console())
    return status


def _summary(options: argparse.Namespace, _rest: list[str]) -> int:
    summary.show(options.results, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
