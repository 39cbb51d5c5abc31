"""What the module of a command says of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quasarcurves.study import Study

DEFAULT_STUDY = Path("config.yaml")


@dataclass(frozen=True)
class Command:
    """A command of the command line; its name and what it does in one line stand in `quasarcurves.cli.commands`.

    Parameters
    ----------
    add_arguments : callable
        Adds the command's arguments to its parser.
    call : callable
        (options) -> exit status.
    epilog : str
        Last lines of its help, such as examples.
    takes_rest : bool
        Whether it takes further arguments, which it finds in `options.rest`.
    """

    add_arguments: Callable[[argparse.ArgumentParser], None]
    call: Callable[[argparse.Namespace], int]
    epilog: str = ""
    takes_rest: bool = False


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a study: STUDY, or the option for it."""
    parser.add_argument("study", metavar="STUDY", nargs="?", type=Path, help="the study's file")
    add_configfile(parser)


def add_configfile(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a study."""
    parser.add_argument(
        "--configfile", metavar="STUDY", type=Path, default=DEFAULT_STUDY, help="the study (default: config.yaml)"
    )


def load_study(options: argparse.Namespace) -> Study:
    """Read the study that the arguments of `add_study` name."""
    return Study.load(options.study or options.configfile)
