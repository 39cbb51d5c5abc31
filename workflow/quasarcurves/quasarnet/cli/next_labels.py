"""The command that says which spectra to label next."""

from __future__ import annotations

import argparse
from pathlib import Path

from quasarcurves.quasarnet.cli.bar import bar
from quasarcurves.quasarnet.cli.models import add_choice, model_file, quiet_tensorflow
from quasarcurves.spectra import sources
from quasarcurves.terminal.command import Command, add_configfile
from quasarcurves.terminal.outputs import add_overwrite, check_output

_EXAMPLES = """\
examples:
  quasarcurves next-labels coadd-*.fits --models f0.8_r0/adam f0.8_r1/adam f0.8_r2/adam --out next.csv
  quasarcurves next-labels coadd-*.fits --models old.h5 new.keras --labelled zcat.fits --n 200 --out next.csv

The networks are to be trained alike: replicates of one optimizer and size. The table has the spectra on which they
disagree most, by what a label would tell of which network is right, in bits. Whether that beats labels drawn at random
depends on the spectra: try it on labelled ones first.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    run = "runs of the study, such as f0.8_r0/adam, or model files: .keras, or .h5 as of QuasarNP"
    parser.add_argument("spectra", metavar="SPECTRA", nargs="+", help="files, or a folder of SDSS spec files")
    parser.add_argument("--models", metavar="MODEL", nargs="+", required=True, help=f"two or more {run}")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="CSV table to write")
    parser.add_argument("--n", metavar="N", type=int, default=100, help="spectra to label next (default: 100)")
    parser.add_argument(
        "--labelled",
        metavar="FILE",
        type=Path,
        nargs="+",
        help="catalogue of those that have a label, which are left out",
    )
    parser.add_argument(
        "--source", choices=sources.file_sources(), help="format of the spectra (default: as the first)"
    )
    parser.add_argument("--n-detect", type=int, default=1, help="lines that a quasar needs (default: 1)")
    parser.add_argument(
        "--dv", metavar="KM/S", type=float, default=6000.0, help="redshifts farther apart are others (default: 6000)"
    )
    add_overwrite(parser)
    add_choice(parser, "--weights")
    add_configfile(parser)


def _next_labels(options: argparse.Namespace) -> int:
    if len(options.models) < 2 or options.n < 1 or options.n_detect < 1 or not options.dv > 0:
        raise ValueError(
            f"--models ({len(options.models)}) --n {options.n} --n-detect {options.n_detect} --dv {options.dv:g}: "
            "expected two or more models, 1 or more, 1 or more, and above 0"
        )
    paths = [model_file(each, options) for each in options.models]
    inputs = [*paths, *options.spectra, *(options.labelled or ())]
    check_output(options.out, inputs, options.overwrite, (".csv",))
    config = {"source": options.source or sources.guess(options.spectra), "spectra": options.spectra}
    sources.check_spectra(config)
    quiet_tensorflow()
    from quasarcurves.analysis import tables  # noqa: PLC0415
    from quasarcurves.quasarnet.steps.labelling import next_labels  # noqa: PLC0415
    from quasarcurves.quasarnet.trained_network import Trained  # noqa: PLC0415

    networks = [Trained.load(path) for path in paths]
    with bar() as progress:
        found = next_labels(networks, config, options.labelled or (), options.n_detect, options.dv, progress)
    table = found.ranked.head(options.n)
    tables.write(table, options.out)
    print(
        f"{options.out}: {len(table):,} of {found.n:,} spectra; {found.labelled:,} have a label, {found.unusable:,} no "
        f"signal. {found.share(options.n):.0%} of the disagreement of {len(networks)} networks lies in these."
    )
    return 0


COMMANDS = {"next-labels": Command(_arguments, _next_labels, _EXAMPLES)}
