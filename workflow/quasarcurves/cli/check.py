"""The command that looks at a study before it is run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from quasarcurves.study import Study, outlook
from quasarcurves.study.outlook import Seen
from quasarcurves.terminal.command import Command, add_study, load_study


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_study(parser)
    parser.add_argument(
        "--page", metavar="FILE", type=Path, help="the page to write (default: results/<study>/check.html)"
    )


def _check(options: argparse.Namespace) -> int:
    from quasarcurves.page import check  # noqa: PLC0415  (draws, and matplotlib is slow to import)

    study = load_study(options)
    found = outlook.look(study, _seen(study))
    print("\n".join(outlook.describe(found)))
    path = options.page or study.results / "check.html"
    check.write(found, path)
    print(f"\n{'With figures' if found.seen.figures else 'As a page'}: {path}")
    return 0


def _seen(study: Study) -> Seen:
    """Look at the examples of a study, and try a task file."""
    if study.usual:
        from quasarcurves.quasarnet.steps import first_look  # noqa: PLC0415  (draws)

        return first_look.of_study(study)
    from quasarcurves.steps import trial  # noqa: PLC0415  (imports Keras, as the trainings do)

    print(f"running {study.task.name} ...", file=sys.stderr)
    assert study.task.settings is not None
    return trial.try_task(study.task.settings, study.data, study.network, study.backend)


COMMANDS = {"check": Command(_arguments, _check)}
