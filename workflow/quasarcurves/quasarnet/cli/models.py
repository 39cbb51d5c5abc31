"""Commands that use a study's models: classify spectra, and bring networks to QuasarNP and back.

TensorFlow is imported when one of them runs, not to show its help.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from quasarcurves.quasarnet.cli.bar import bar
from quasarcurves.spectra import sources
from quasarcurves.study import Study
from quasarcurves.study.steps import FILES
from quasarcurves.terminal.command import Command, add_configfile, add_study, load_study
from quasarcurves.terminal.outputs import add_overwrite, check_output

if TYPE_CHECKING:
    import pandas as pd

    from quasarcurves.quasarnet.trained_network import Trained

_WORST = 12
_MOST = 100
"""Spectra of each kind of error on the pages of a gallery, unless told; and at most."""

_ERRORS = {
    "missed": "quasars missed",
    "contaminant": "stars and galaxies called quasars",
    "redshift": "quasars with a wrong redshift",
    "bal": "wrong on broad absorption",
}
_FILES = {"final": "model.keras", "best": "best.keras"}
_RUN_OR_FILE = "a run of the study, such as f0.8_r0/adam, or a model file: .keras, or .h5 as of QuasarNP"

_EXAMPLES_PREDICT = """\
examples:
  quasarcurves predict --model f0.8_r0/adam coadd-*.fits --out qn.fits
  quasarcurves predict --model weights.h5 spec-3655-55240-0026.fits.gz --out qn.fits --threshold 0.8 --n-detect 2
  quasarcurves predict --model f0.8_r0/adam coadd-*.fits --out qn.fits --catalogue zcat.fits

The table has a row per spectrum: TARGETID, ZBEST, IS_QSO, confidence and redshift of each line, S/N and a FLAG that
is not 0 where there was no signal. The TARGETID of SDSS spectra is plate, MJD and fibre in one number.
"""

_EXAMPLES_EXPORT = """\
example:
  quasarcurves export f0.8_r0/adam --quasarnp weights.h5
"""

_EXAMPLES_IMPORT = """\
example:
  quasarcurves import weights.h5 model.keras
"""


def _predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spectra", metavar="SPECTRA", nargs="+", help="files, or a folder of SDSS spec files")
    parser.add_argument("--model", metavar="RUN_OR_FILE", required=True, help=_RUN_OR_FILE)
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="FITS table to write")
    parser.add_argument(
        "--source", choices=sources.file_sources(), help="format of the spectra (default: as the first is)"
    )
    parser.add_argument(
        "--catalogue", metavar="FILE", type=Path, nargs="+", help="what is known of them: make a gallery of the errors"
    )
    parser.add_argument(
        "--gallery", metavar="FOLDER", type=Path, help="where (default: beside --out, with _gallery for .fits)"
    )
    parser.add_argument("--threshold", type=float, default=0.5, help="confidence that a line needs (default: 0.5)")
    parser.add_argument("--n-detect", type=int, default=1, help="lines that a quasar needs (default: 1)")
    parser.add_argument(
        "--calibrated",
        action="store_true",
        help="say the probability of being a quasar, P_QSO, and hold that against the threshold; for a run of a study, "
        "or a file exported of one",
    )
    add_overwrite(parser)
    add_choice(parser, "--weights")
    add_configfile(parser)


def _predict(options: argparse.Namespace) -> int:
    if not 0 <= options.threshold <= 1 or options.n_detect < 1:
        raise ValueError(
            f"--threshold {options.threshold:g} --n-detect {options.n_detect}: expected 0 to 1, and 1 or more"
        )
    path = model_file(options.model, options)
    check_output(options.out, [path, *options.spectra], options.overwrite, (".fits", ".fits.gz"))
    config = {"source": options.source or sources.guess(options.spectra), "spectra": options.spectra}
    sources.check_spectra(config)
    quiet_tensorflow()
    from quasarcurves.quasarnet.steps import gallery  # noqa: PLC0415
    from quasarcurves.quasarnet.steps.prediction import predict  # noqa: PLC0415
    from quasarcurves.quasarnet.trained_network import Trained  # noqa: PLC0415

    trained, criterion = Trained.load(path), {"threshold": options.threshold, "n_detect": options.n_detect}
    if options.calibrated:
        trained = _with_scalings(trained, options.model, options)
    with bar() as progress:
        counts = predict(trained, config, options.out, **criterion, calibrated=options.calibrated, progress=progress)
    print(
        f"{options.out}: {counts.spectra} spectra, {counts.quasars} quasars, {counts.unusable} without signal "
        f"({trained.name}, id {trained.id})"
    )
    if options.catalogue:
        folder = options.gallery or options.out.with_name(f"{options.out.stem}_gallery")
        model = gallery.Model.of_table(options.out, options.catalogue)
        print(f"{len(model.rows)} of them are in the catalogue and have a signal")
        found = model.tables(_WORST)
        _show_gallery(found, gallery.write(model, gallery.read_flux(config, found["examples"]), found, folder))
    return 0


def _gallery_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="such as f0.8_r0/adam")
    add_study(parser)
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, help="where (default: gallery/RUN/MODEL in the study's results)"
    )
    add_choice(parser, "--model")
    parser.add_argument(
        "--n", metavar="N", type=int, default=_WORST, help=f"spectra of each kind of error (default: {_WORST})"
    )


def _gallery(options: argparse.Namespace) -> int:
    if not 1 <= options.n <= _MOST:
        raise ValueError(f"--n {options.n}: expected 1 to {_MOST}")
    from quasarcurves.quasarnet.steps import gallery  # noqa: PLC0415

    results = load_study(options).results
    model = gallery.Model.of_run(results, options.run, options.weights)
    found = model.tables(options.n)
    flux = gallery.prepared_flux(results / "data" / "spectra.h5", found["examples"])
    folder = options.out or results / "gallery" / options.run / options.weights
    _show_gallery(found, gallery.write(model, flux, found, folder))
    return 0


def _show_gallery(found: Mapping[str, pd.DataFrame], pages: list[Path]) -> None:
    calls = found["confusion"][found["confusion"]["spectra"] > 0]
    print(calls.drop(columns="n_detect").rename(columns=lambda name: name.replace("_", " ")).to_string(index=False))
    for kind, errors, among in found["error_counts"].itertuples(index=False):
        print(f"{_ERRORS[str(kind)]:<36} {errors:>6} of {among}")
    print("\n".join(map(str, pages)))


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN_OR_FILE", help=_RUN_OR_FILE)
    parser.add_argument("--quasarnp", metavar="FILE", type=Path, required=True, help="HDF5 file to write")
    add_overwrite(parser)
    add_choice(parser, "--model")
    add_configfile(parser)


def _export(options: argparse.Namespace) -> int:
    path = model_file(options.run, options)
    check_output(options.quasarnp, [path], options.overwrite, (".h5", ".hdf5"))
    quiet_tensorflow()
    from quasarcurves.quasarnet.trained_network import Trained  # noqa: PLC0415

    trained = Trained.load(path)
    if not Path(options.run).is_file() and _scalings(options).is_file():
        trained = _with_scalings(trained, options.run, options)
    trained.save(options.quasarnp)
    print(f"{options.quasarnp}: {trained.name}, id {trained.id}")
    if not trained.is_published_form:
        print("note: QuasarNP and desispec take a network to have other lines or boxes than this one", file=sys.stderr)
    return 0


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("quasarnp", metavar="QUASARNP", type=Path, help="HDF5 file of QuasarNP, desispec or QuasarNET")
    parser.add_argument("out", metavar="OUT", type=Path, help="Keras file to write, its name ending in .keras")
    add_overwrite(parser)


def _import(options: argparse.Namespace) -> int:
    check_output(options.out, [options.quasarnp], options.overwrite, (".keras",))
    quiet_tensorflow()
    from quasarcurves.quasarnet.trained_network import Trained  # noqa: PLC0415

    trained = Trained.load(options.quasarnp)
    trained.save(options.out)
    print(f"{options.out}: {trained.name}, id {trained.id}")
    return 0


def _scalings(options: argparse.Namespace) -> Path:
    return Study.load(options.configfile).results / FILES["scalings"].path


def _with_scalings(trained: Trained, run_or_file: str, options: argparse.Namespace) -> Trained:
    """Add what its study knows of how to calibrate a network; a file knows itself."""
    from quasarcurves.quasarnet.analysis.calibrate import scalings_of  # noqa: PLC0415  (imports pandas)

    if Path(run_or_file).is_file():
        return trained
    return replace(trained, scalings=scalings_of(_scalings(options), run_or_file, options.weights))


def add_choice(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the option that says which of a run's models is meant."""
    parser.add_argument(
        name, dest="weights", choices=_FILES, default="final", help="which of a run's models (default: final)"
    )


def model_file(run_or_file: str, options: argparse.Namespace) -> Path:
    """Find the file of a model.

    Raises
    ------
    FileNotFoundError
        If there is none, with the runs that have one.
    """
    path = Path(run_or_file)
    if path.is_file():
        return path
    if not options.configfile.is_file():
        raise FileNotFoundError(f"{path}: no such file, and no study {options.configfile} that it could be a run of")
    runs = Study.load(options.configfile).results / "runs"
    path = runs / run_or_file / _FILES[options.weights]
    if not path.is_file():
        known = sorted(str(found.parent.relative_to(runs)) for found in runs.glob(f"*/*/{path.name}"))
        raise FileNotFoundError(
            f"{run_or_file}: no file, and no {path}; there are models of {', '.join(known) or 'no run'}"
        )
    return path


def quiet_tensorflow() -> None:
    """Suppress what TensorFlow prints about the processor."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


COMMANDS = {
    "predict": Command(_predict_arguments, _predict, _EXAMPLES_PREDICT),
    "gallery": Command(_gallery_arguments, _gallery),
    "export": Command(_export_arguments, _export, _EXAMPLES_EXPORT),
    "import": Command(_import_arguments, _import, _EXAMPLES_IMPORT),
}
