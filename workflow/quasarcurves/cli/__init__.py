"""Trains QuasarNET for every training-set size and optimizer of a study, and looks after results and models."""

from __future__ import annotations

import argparse
import os
import sys

import quasarcurves
from quasarcurves.cli import diagnose, results, studies
from quasarcurves.quasarnet.cli import compare, models, next_labels
from quasarcurves.terminal.command import Command
from quasarcurves.training.extras import install_hint
from quasarcurves.training.keras_import import ignore_user_settings
from quasarcurves.training.suggestions import nearest

GROUPS = {
    "Run a study": studies.COMMANDS,
    "Look after its results": results.COMMANDS,
    "Use its models": (*models.COMMANDS, *compare.COMMANDS, *next_labels.COMMANDS),
    "Look at any training": diagnose.COMMANDS,
}

_INTERRUPTED, _BROKEN_PIPE = 130, 141
"""Exit status after Ctrl-C, and where nobody reads what is printed, as of a shell."""

_EXAMPLES = """\
Examples:
  quasarcurves init my-study
  quasarcurves run my-study.yaml
  quasarcurves why f0.8_r0/adam my-study.yaml
  quasarcurves predict --model f0.8_r0/adam --configfile my-study.yaml coadd-*.fits --out qn.fits
  quasarcurves diagnose history.json

The help of a command says more: quasarcurves COMMAND --help
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the process.

    Returns
    -------
    int
        Exit status: 0 also for the help that a call without arguments prints, 130 after Ctrl-C, 141 where nobody
        reads what is printed.

    Raises
    ------
    SystemExit
        After `--help` and `--version`, and with status 2 if the arguments are wrong.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    ignore_user_settings()
    parser = _parser()
    if not arguments:
        parser.print_help()
        return 0
    options = _parse(parser, arguments)
    command: Command = options.command
    try:
        status = command.call(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # as `| head` ends: nothing is wrong. Python must not try again when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except ModuleNotFoundError as error:
        hint = install_hint((error.name or "").split(".")[0])
        if hint is None:
            raise
        return _fail(hint)
    except (ValueError, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Parse the arguments; `rest` is what a command takes besides: unknown ones, then `--` and all behind it."""
    commands = {command.name: command for group in GROUPS.values() for command in group}
    name = arguments[0]
    if not name.startswith("-") and name not in commands:
        parser.error(f"unknown command {name!r}: {nearest(name, commands)}")
    takes_rest = name in commands and commands[name].takes_rest
    end = arguments.index("--") if takes_rest and "--" in arguments else len(arguments)
    options, unknown = parser.parse_known_args(arguments[:end])
    if unknown and not takes_rest:
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    options.rest = [*unknown, *arguments[end:]]
    return options


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    description = f"{__doc__}\n\n{_overview()}"
    parser = argparse.ArgumentParser(
        prog="quasarcurves", usage="%(prog)s COMMAND ...", description=description, epilog=_EXAMPLES,
        formatter_class=as_written,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"%(prog)s {quasarcurves.__version__}")
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
        groups.append("\n".join([f"{title}:", *(f"  {command.name:<11} {command.text}" for command in commands)]))
    return "\n\n".join(groups)


if __name__ == "__main__":
    sys.exit(main())
