"""The command that looks at a study before it is run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from quasarcurves.provenance import status
from quasarcurves.spectra import Spectra, census
from quasarcurves.spectra.sources import read_chunks
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
    found = outlook.look(study, _spectra(study) if study.usual else _tried(study))
    print("\n".join(outlook.describe(found)))
    path = options.page or study.results / "check.html"
    check.write(found, path)
    print(f"\nWith {'figures' if found.seen.figures else 'the same'} as a page: {path}")
    return 0


def _tried(study: Study) -> Seen:
    """Try a task file."""
    from quasarcurves.steps import trial  # noqa: PLC0415  (imports Keras, as the trainings do)

    print(f"running {study.task.name} ...", file=sys.stderr)
    assert study.task.settings is not None
    return trial.try_task(study.task.settings, study.data, study.config["network"], study.backend)


def _spectra(study: Study) -> Seen:
    from quasarcurves.quasarnet.steps import first_look  # noqa: PLC0415  (draws)

    return first_look.look(_chunks(study))


def _chunks(study: Study) -> Iterator[Spectra]:
    """Return the spectra as they were prepared, if they still are what the study asks for; else read its source."""
    if status.is_current(study, "prepare_spectra"):
        return census.of_file(study.results / "data" / "spectra.h5")
    print("reading the spectra ...", file=sys.stderr)
    return read_chunks(study.data)


CHECK = Command("check", "say what a study's examples are, what it takes and what it can show", _arguments, _check)
