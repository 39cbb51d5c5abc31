"""What a command of the command line is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_DEFAULT_STUDY = Path("config.yaml")


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Parameters
    ----------
    name : str
    text : str
        What it does, in one line.
    add_arguments : callable
        Gives the command's parser its arguments.
    call : callable
        (options) -> exit status.
    epilog : str
        Last lines of its help, such as examples.
    takes_rest : bool
        Whether it takes arguments of its own besides, in `options.rest`.
    """

    name: str
    text: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    call: Callable[[argparse.Namespace], int]
    epilog: str = ""
    takes_rest: bool = False


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a study."""
    parser.add_argument("--configfile", type=Path, default=_DEFAULT_STUDY, help="the study (default: config.yaml)")
