"""The command that looks at a study before it is run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from quasarcurves.cli.command import Command, add_study, load_study
from quasarcurves.provenance import status
from quasarcurves.spectra import Spectra, census
from quasarcurves.spectra.sources import read_chunks
from quasarcurves.study import Study, outlook


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_study(parser)
    parser.add_argument(
        "--page", metavar="FILE", type=Path, help="the page to write (default: results/<study>/check.html)"
    )


def _check(options: argparse.Namespace) -> int:
    from quasarcurves.page import check  # noqa: PLC0415  (draws, and matplotlib is slow to import)

    study = load_study(options)
    found = outlook.look(study, _chunks(study))
    print("\n".join(outlook.describe(found)))
    path = options.page or study.results / "check.html"
    check.write(found, path)
    print(f"\nWith histograms and example spectra: {path}")
    return 0


def _chunks(study: Study) -> Iterator[Spectra]:
    """Return the spectra as they were prepared, if they still are what the study asks for; else read its source."""
    if status.is_current(study, "prepare_spectra"):
        return census.of_file(study.results / "data" / "spectra.h5")
    print("reading the spectra ...", file=sys.stderr)
    return read_chunks(study.data)


CHECK = Command("check", "say what a study's spectra are, what it takes and what it can show", _arguments, _check)
