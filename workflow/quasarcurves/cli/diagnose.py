"""The command that says what anybody's loss curves tell."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from quasarcurves.terminal.command import Command
from quasarcurves.terminal.outputs import add_overwrite, check_output

_WIDEST = 100

_EXAMPLES = """\
examples:
  quasarcurves diagnose history.json
  quasarcurves diagnose log.csv --examples 50000 --batch-size 128 --out diagnosis.html
  quasarcurves diagnose small.csv middle.csv large.csv --examples 1000,4000,16000 --batch-size 32
  quasarcurves diagnose runs/ --per step

Read are: CSV and TSV (CSVLogger, exports of W&B and MLflow), JSON (history.history) and JSON lines, event files of
TensorBoard, offline runs of W&B, folders of MLflow, Parquet, and history.h5 of this library. A folder is read as a
whole. With Parquet: pip install "quasarcurves[curves]".
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="files or folders with losses")
    parser.add_argument("--loss", metavar="COLUMN,...", help="columns that are losses (default: by their names)")
    parser.add_argument("--val-loss", metavar="COLUMN,...", help="columns that are validation losses")
    parser.add_argument("--per", choices=("epoch", "step"), default="", help="what a value is of (default: guessed)")
    parser.add_argument("--examples", metavar="N,...", help="training examples: one number, or one for each curve")
    parser.add_argument("--batch-size", metavar="N,...", help="examples in a batch")
    parser.add_argument("--steps-per-epoch", metavar="N,...", help="steps per epoch, where the two above are not given")
    parser.add_argument(
        "--goes-on", action="store_true", help="epochs that begin anew go on from those before, they replace none"
    )
    parser.add_argument(
        "--lowest", metavar="VALUE", type=float, default=0.0,
        help="the lowest value that the loss can take, where that is not 0",
    )  # fmt: skip
    parser.add_argument("--out", metavar="FILE", type=Path, help="page to write besides, its name ending in .html")
    add_overwrite(parser)


def _diagnose(options: argparse.Namespace) -> int:
    if options.out is not None:
        check_output(options.out, options.files, options.overwrite, (".html",))
    from quasarcurves.analysis import checkup  # noqa: PLC0415  (slow to import)
    from quasarcurves.analysis.curves import Told  # noqa: PLC0415

    told = Told(
        loss=_names(options.loss),
        val_loss=_names(options.val_loss),
        per=options.per,
        examples=_numbers(options.examples, "--examples"),
        batch_size=_numbers(options.batch_size, "--batch-size"),
        steps_per_epoch=_numbers(options.steps_per_epoch, "--steps-per-epoch"),
        goes_on=options.goes_on,
        lowest=options.lowest,
    )
    found = checkup.diagnose_files(options.files, told)
    print(found.written(min(shutil.get_terminal_size().columns, _WIDEST)))
    if options.out is not None:
        from quasarcurves.page import checkup as page  # noqa: PLC0415  (slow to import)

        page.write(found, options.files, options.out)
        print(f"\nWith the curves: {options.out}")
    return 0


def _names(given: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(",")) if given else ()


def _numbers(given: str | None, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(each) for each in given.split(",")) if given else ()
    except ValueError as error:
        raise ValueError(f"{option}: expected numbers with commas between them, found {given!r}") from error


COMMANDS = {"diagnose": Command(_arguments, _diagnose, _EXAMPLES)}
