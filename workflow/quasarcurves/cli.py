"""Trains QuasarNET for every training-set size and optimizer of a study, and looks after the results."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from quasarcurves import inventory, receipts
from quasarcurves.console import monitor, summary
from quasarcurves.schema import StudyError
from quasarcurves.study import Study

_DEFAULT_STUDY = Path("config.yaml")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the return value is the exit status."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command is not _run:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return options.command(options)
    except (StudyError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quasarcurves", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: object, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=epilog)
        sub.set_defaults(command=command)
        return sub

    def add_study(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--configfile", type=Path, default=_DEFAULT_STUDY, help="the study (default: config.yaml)")

    run = add("run", _run, "run a study through Snakemake, showing how far it is", "Further arguments go to Snakemake.")
    add_study(run)
    run.add_argument("--cores", default="all", help="cores to use (default: all)")
    show = add("summary", _summary, "print the main numbers of a finished study and where its figures are")
    show.add_argument("results", type=Path, help="its folder of results")
    why = add("why", _why, "say what the result of a run depends on, and what has changed since")
    why.add_argument("run", metavar="RUN", help="such as f0.8_r0/adam")
    add_study(why)
    verify = add("verify", _verify, "compare every file of a study's results with what was made")
    add_study(verify)
    verify.add_argument(
        "--remove", action="store_true", help="remove those that differ, so that the next run makes them"
    )
    add_study(add("orphans", _orphans, "list what is on disk of runs that the study does not have any more"))
    prune = add("prune", _prune, "remove what `orphans` lists")
    add_study(prune)
    prune.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _run(options: argparse.Namespace) -> int:
    study = Study.load(options.configfile)
    command = ["--cores", options.cores, "--configfile", str(options.configfile), *options.rest]
    status = monitor.run(study, command)
    if status == 0:
        summary.show(study.results, Console())
    return status


def _summary(options: argparse.Namespace) -> int:
    summary.show(options.results, Console())
    return 0


def _why(options: argparse.Namespace) -> int:
    for what, then, now in inventory.explain(Study.load(options.configfile), options.run):
        print(f"{what:<44} {then}" + (f"   NOW {now}" if now else ""))
    return 0


def _verify(options: argparse.Namespace) -> int:
    damages = receipts.verify(Study.load(options.configfile).results)
    for damage in damages:
        print(f"{damage.path}: {damage.what}")
        if options.remove:
            Path(damage.path).unlink(missing_ok=True)
    if damages:
        print(f"{len(damages)} damaged" + (", removed: the next run makes them again" if options.remove else ""))
        return 0 if options.remove else 1
    print("every file is as it was made")
    return 0


def _orphans(options: argparse.Namespace) -> int:
    _print_orphans(inventory.orphans(Study.load(options.configfile)))
    return 0


def _prune(options: argparse.Namespace) -> int:
    found = inventory.orphans(Study.load(options.configfile))
    _print_orphans(found)
    if found and (options.yes or input("remove them? [y/N] ").strip().lower() == "y"):
        inventory.remove(found)
        print("removed")
    return 0


def _print_orphans(found: list[inventory.Orphan]) -> None:
    for orphan in found:
        print(f"{orphan.size / 1e6:10.2f} MB  {orphan.path}")
    total = sum(orphan.size for orphan in found)
    print(f"{total / 1e6:10.2f} MB in {len(found)} files and folders that the study does not ask for")


if __name__ == "__main__":
    sys.exit(main())
