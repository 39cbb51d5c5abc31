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
from quasarcurves.terminal.command import Command, add_study, load_study


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_study(parser)
    parser.add_argument(
        "--page", metavar="FILE", type=Path, help="the page to write (default: results/<study>/check.html)"
    )


def _check(options: argparse.Namespace) -> int:
    from quasarcurves.page import check  # noqa: PLC0415  (draws, and matplotlib is slow to import)

    study = load_study(options)
    if not study.usual:
        return _check_task(study)
    found = outlook.look(study, _chunks(study))
    print("\n".join(outlook.describe(found)))
    path = options.page or study.results / "check.html"
    check.write(found, path)
    print(f"\nWith histograms and example spectra: {path}")
    return 0


def _check_task(study: Study) -> int:
    """Try a task file, and say what its study takes and can show."""
    from quasarcurves.steps import trial  # noqa: PLC0415  (imports Keras, as the trainings do)

    print(f"running {study.task.name} ...", file=sys.stderr)
    assert study.task.settings is not None
    about, target_id = trial.try_task(study.task.settings, study.data, study.config["network"], study.backend)
    print("\n".join(outlook.describe_task(study, about, target_id)))
    return 0


def _chunks(study: Study) -> Iterator[Spectra]:
    """Return the spectra as they were prepared, if they still are what the study asks for; else read its source."""
    if status.is_current(study, "prepare_spectra"):
        return census.of_file(study.results / "data" / "spectra.h5")
    print("reading the spectra ...", file=sys.stderr)
    return read_chunks(study.data)


CHECK = Command("check", "say what a study's spectra are, what it takes and what it can show", _arguments, _check)
