"""The command that says what would change if one network took the place of another."""

from __future__ import annotations

import argparse
from pathlib import Path

from quasarcurves.quasarnet.cli.bar import bar
from quasarcurves.quasarnet.cli.models import add_choice, model_file, quiet_tensorflow
from quasarcurves.spectra import sources
from quasarcurves.terminal.command import Command, add_configfile
from quasarcurves.terminal.outputs import add_overwrite

_DRAWN = 12
"""Spectra of each kind on the page, unless told."""

_EXAMPLES = """\
examples:
  quasarcurves compare old.h5 new.h5 coadd-*.fits
  quasarcurves compare old.h5 f0.8_r0/adam coadd-*.fits --catalogue zcat.fits --out comparison

The first network is that in use, the second is to take its place. Each reads the spectra on its own grid. The folder
gets comparison.html, changes.csv (a row per spectrum that changes) and, with a catalogue, scores.csv.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    run = "a run of the study, such as f0.8_r0/adam, or a model file: .keras, or .h5 as of QuasarNP"
    parser.add_argument("before", metavar="MODEL", help=f"the network in use: {run}")
    parser.add_argument("after", metavar="MODEL", help="the network that is to take its place")
    parser.add_argument("spectra", metavar="SPECTRA", nargs="+", help="files, or a folder of SDSS spec files")
    parser.add_argument(
        "--source", choices=sources.file_sources(), help="format of the spectra (default: as the first)"
    )
    parser.add_argument(
        "--catalogue", metavar="FILE", type=Path, nargs="+", help="what is known of them: score both networks"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, default=Path("comparison"), help="folder to write (default: comparison)"
    )
    parser.add_argument("--threshold", type=float, default=0.5, help="confidence that a line needs (default: 0.5)")
    parser.add_argument("--n-detect", type=int, default=1, help="lines that a quasar needs (default: 1)")
    parser.add_argument(
        "--dv", metavar="KM/S", type=float, default=6000.0, help="redshifts farther apart are others (default: 6000)"
    )
    parser.add_argument(
        "--n", metavar="N", type=int, default=_DRAWN, help=f"spectra drawn of each kind of change (default: {_DRAWN})"
    )
    add_overwrite(parser)
    add_choice(parser, "--weights")
    add_configfile(parser)


def _compare(options: argparse.Namespace) -> int:
    _check(options)
    paths = [model_file(each, options) for each in (options.before, options.after)]
    config = {"source": options.source or sources.guess(options.spectra), "spectra": options.spectra}
    sources.check_spectra(config)
    quiet_tensorflow()
    from quasarcurves.quasarnet.analysis.comparison import Rule, calibration_words  # noqa: PLC0415
    from quasarcurves.quasarnet.steps import comparison  # noqa: PLC0415
    from quasarcurves.quasarnet.trained_network import Trained  # noqa: PLC0415

    networks = Trained.load(paths[0]), Trained.load(paths[1])
    rule = Rule(options.threshold, options.n_detect, options.dv)
    with bar() as progress:
        found = comparison.compare(networks, config, rule, options.catalogue or (), progress)
    print(found.sentence)
    for name, each in zip(found.names, found.calibrations or (), strict=False):
        print(calibration_words(name, each))
    for line in found.threshold_words:
        print(line)
    for path in comparison.write(found, networks, config, options.out, options.n):
        print(path)
    return 0


def _check(options: argparse.Namespace) -> None:
    if not 0 <= options.threshold <= 1 or options.n_detect < 1 or not options.dv > 0 or options.n < 0:
        raise ValueError(
            f"--threshold {options.threshold:g} --n-detect {options.n_detect} --dv {options.dv:g} --n {options.n}: "
            "expected 0 to 1, 1 or more, above 0, and 0 or more"
        )
    if options.out.exists() and (not options.out.is_dir() or (any(options.out.iterdir()) and not options.overwrite)):
        raise ValueError(f"{options.out}: exists; expected another name, or --overwrite")


COMMANDS = {"compare": Command(_arguments, _compare, _EXAMPLES)}
