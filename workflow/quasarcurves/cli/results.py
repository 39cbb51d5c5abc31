"""Commands that look after a study's results."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from quasarcurves.cli import standing
from quasarcurves.provenance import inventory, outdated, receipts, status
from quasarcurves.terminal.command import Command, add_study, load_study


def _why_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="such as f0.8_r0/adam")
    add_study(parser)


def _why(options: argparse.Namespace) -> int:
    # sorted keeps the order of those that are alike
    for what, then, now in sorted(inventory.explain(load_study(options), options.run), key=lambda line: not line[2]):
        print(f"{what:<44} {then}" + (f"   NOW {now}" if now else ""))
    return 0


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    add_study(parser)
    parser.add_argument(
        "--remove", action="store_true", help="remove those that differ, so that the next run makes them"
    )


def _verify(options: argparse.Namespace) -> int:
    study = load_study(options)
    damages = receipts.verify(study.results)
    for damage in damages:
        print(f"{damage.path}: {damage.what}")
        if options.remove:
            Path(damage.path).unlink(missing_ok=True)
    if damages:
        print(f"{len(damages)} damaged" + (", removed: the next run makes them again" if options.remove else ""))
        return 0 if options.remove else 1
    print("every file is as it was made")
    if missing := [each for each in status.standings(study) if each.state not in (*status.GOOD, "outdated")]:
        print(f"{len(missing)} of the study's jobs have no result, {missing[0].job} first (quasarcurves status)")
    return 0


def _status_arguments(parser: argparse.ArgumentParser) -> None:
    add_study(parser)
    parser.add_argument("--all", action="store_true", help="list every job")


def _status(options: argparse.Namespace) -> int:
    study = load_study(options)
    found = status.standings(study)
    with suppress(OSError):  # results may lie where this user cannot write
        outdated.mark(study, found)
    print("\n".join(standing.everything(found) if options.all else standing.summary(study, found)))
    if study.results.is_dir():
        print(standing.disk(study, found))
    return 0


def _orphans(options: argparse.Namespace) -> int:
    _print_orphans(inventory.orphans(load_study(options)))
    return 0


def _prune_arguments(parser: argparse.ArgumentParser) -> None:
    add_study(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--states",
        action="store_true",
        help="also the states of finished trainings, which more epochs would go on from",
    )


def _prune(options: argparse.Namespace) -> int:
    study = load_study(options)
    found = inventory.orphans(study)
    _print_orphans(found)
    if options.states:
        states = inventory.finished_states(study, status.standings(study))
        print(f"{_megabytes(states):10.2f} MB in {len(states)} states of finished trainings")
        found += states
    if found and (options.yes or input("remove them? [y/N] ").strip().lower() == "y"):
        inventory.remove(found)
        print("removed")
    return 0


def _print_orphans(found: list[inventory.OnDisk]) -> None:
    for orphan in found:
        print(f"{orphan.size / 1e6:10.2f} MB  {orphan.path}")
    print(f"{_megabytes(found):10.2f} MB in {len(found)} files and folders that the study does not ask for")


def _megabytes(found: list[inventory.OnDisk]) -> float:
    return sum(each.size for each in found) / 1e6


COMMANDS = {
    "status": Command(_status_arguments, _status),
    "why": Command(_why_arguments, _why),
    "verify": Command(_verify_arguments, _verify),
    "orphans": Command(add_study, _orphans),
    "prune": Command(_prune_arguments, _prune),
}
