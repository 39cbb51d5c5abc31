"""Trains QuasarNET for every training-set size and optimizer of a study, and looks after results and models."""

from __future__ import annotations

import argparse
import sys

from quasarcurves.cli import models, results, studies
from quasarcurves.cli.command import Command

GROUPS = {
    "Run a study": studies.COMMANDS,
    "Look after its results": results.COMMANDS,
    "Use its models": models.COMMANDS,
}

_EXAMPLES = """\
Examples:
  quasarcurves run --configfile workflow/studies/smoke.yaml
  quasarcurves why f0.8_r0/adam
  quasarcurves predict --model f0.8_r0/adam coadd-*.fits --out qn.fits

Each command says more of itself: quasarcurves COMMAND --help
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the return value is the exit status."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    command: Command = options.command
    if rest and not command.takes_rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return command.call(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    description = f"{__doc__}\n\n{_overview()}"
    parser = argparse.ArgumentParser(
        prog="quasarcurves", usage="%(prog)s COMMAND ...", description=description, epilog=_EXAMPLES,
        formatter_class=as_written,
    )  # fmt: skip
    # the overview lists the commands by what they are for, which argparse cannot
    commands = parser.add_subparsers(required=True, metavar="COMMAND", prog="quasarcurves", help=argparse.SUPPRESS)
    for command in (command for group in GROUPS.values() for command in group):
        text = f"{command.text[0].upper()}{command.text[1:]}."
        sub = commands.add_parser(command.name, description=text, epilog=command.epilog, formatter_class=as_written)
        command.add_arguments(sub)
        sub.set_defaults(command=command)
    return parser


def _overview() -> str:
    groups = []
    for title, commands in GROUPS.items():
        groups.append("\n".join([f"{title}:", *(f"  {command.name:<9} {command.text}" for command in commands)]))
    return "\n\n".join(groups)


if __name__ == "__main__":
    sys.exit(main())
