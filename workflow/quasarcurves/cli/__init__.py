"""Trains QuasarNET for every training-set size and optimizer of a study, and looks after results and models."""

from __future__ import annotations

import argparse
import os
import sys

import quasarcurves
from quasarcurves.cli.commands import ENTRIES, GROUPS
from quasarcurves.training.extras import install_hint
from quasarcurves.training.keras_import import ignore_user_settings
from quasarcurves.training.suggestions import nearest

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
    if not arguments:
        _overview().print_help()
        return 0
    try:
        status = _call(arguments)
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


def _call(arguments: list[str]) -> int:
    """Call the command that comes first; `rest` is what it takes besides: unknown arguments, and all behind `--`."""
    name, given = arguments[0], arguments[1:]
    if name not in ENTRIES:
        overview = _overview()
        overview.parse_known_args(arguments)  # --help and --version end here
        overview.error(f"unknown command {name!r}: {nearest(name, ENTRIES)}")
    entry = ENTRIES[name]
    command = entry.load()
    text = f"{entry.text[0].upper()}{entry.text[1:]}."
    parser = _parser(f"quasarcurves {name}", text, command.epilog)
    command.add_arguments(parser)
    end = given.index("--") if command.takes_rest and "--" in given else len(given)
    options, unknown = parser.parse_known_args(given[:end])
    if unknown and not command.takes_rest:
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    options.rest = [*unknown, *given[end:]]
    return command.call(options)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def _parser(name: str, text: str | None, epilog: str) -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(prog=name, description=text, epilog=epilog, formatter_class=as_written)


def _overview() -> argparse.ArgumentParser:
    """Parser of a call without a command; its help lists the commands by what they are for, which argparse cannot."""
    groups = []
    for title, entries in GROUPS.items():
        groups.append("\n".join([f"{title}:", *(f"  {entry.name:<11} {entry.text}" for entry in entries)]))
    parser = _parser("quasarcurves", "\n\n".join([str(__doc__), *groups]), _EXAMPLES)
    parser.usage = "%(prog)s COMMAND ..."
    parser.add_argument("--version", action="version", version=f"%(prog)s {quasarcurves.__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
