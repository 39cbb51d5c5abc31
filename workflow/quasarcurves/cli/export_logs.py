"""`quasarcurves export-logs`: the losses of steps and epochs, for those who have a board of their own."""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from quasarcurves.provenance import status
from quasarcurves.study import Run, Study
from quasarcurves.terminal.command import Command, add_study, load_study
from quasarcurves.training.history import History


def to_csv(history: History, folder: Path) -> None:
    """Write `epochs.csv` and `steps.csv`: a row per epoch, counted from 1, and per step.

    Parameters
    ----------
    history : History
    folder : Path
        Made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in (("epoch", history.epochs), ("step", history.steps)):
        table = pd.DataFrame(dict(columns))
        # epochs have a column of the steps done by their end
        table.insert(0, name, np.arange(1, len(table) + 1))
        table.to_csv(folder / f"{name}s.csv", index=False)


def to_tensorboard(history: History, folder: Path) -> None:
    """Write an event file for TensorBoard: `steps/...` and `epochs/...`, both against steps.

    Parameters
    ----------
    history : History
    folder : Path
        A run of TensorBoard; made if missing. Event files that it has are removed, as two of them would be one curve.
    """
    from tensorflow import io  # noqa: PLC0415  (slow to import)
    from tensorflow.core.framework.summary_pb2 import Summary  # noqa: PLC0415
    from tensorflow.core.util.event_pb2 import Event  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    ends = history.epochs["step"]
    steps = np.arange(1, len(history.steps["loss"]) + 1)
    with io.TFRecordWriter(str(folder / "events.out.tfevents.0.quasarcurves")) as file:
        file.write(Event(file_version="brain.Event:2").SerializeToString())
        for group, at, columns in (("epochs", ends, history.epochs), ("steps", steps, history.steps)):
            for name in columns:
                for step, value in zip(at, columns[name], strict=True):
                    if np.isfinite(value):
                        scalar = Summary.Value(tag=f"{group}/{name}", simple_value=value)
                        file.write(Event(step=int(step), summary=Summary(value=[scalar])).SerializeToString())


def to_wandb(history: History, folder: Path) -> None:
    """Write an offline run of Weights & Biases: `steps/...` and, at their last steps, `epochs/...`; nothing is sent.

    Parameters
    ----------
    history : History
    folder : Path
        Made if missing; the run is named after it and the folder that it is in. Offline runs that it has are removed,
        as they would be uploaded too.
    """
    import wandb  # noqa: PLC0415  (an extra)

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("wandb/offline-run-*"):
        shutil.rmtree(old)
    settings = wandb.Settings(
        mode="offline", silent=True, console="off", disable_git=True, disable_code=True,
        x_disable_stats=True, x_disable_meta=True, x_disable_machine_info=True, x_save_requirements=False,
    )  # fmt: skip
    name = f"{folder.parent.name}/{folder.name}"
    about = dict(history.params)
    with wandb.init(project="quasarcurves", name=name, dir=folder, config=about, settings=settings) as run:
        for step, values in _rows(history):
            run.log(values, step=step)


def _rows(history: History) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield every step, from 1, with all finite values that were recorded there."""
    # once, as each access to a column reads it from the file
    steps, epochs = dict(history.steps), dict(history.epochs)
    ends = {int(step): place for place, step in enumerate(epochs["step"])}
    for place in range(len(steps["loss"])):
        values = {f"steps/{name}": float(column[place]) for name, column in steps.items()}
        if (epoch := ends.get(place + 1)) is not None:
            values |= {f"epochs/{name}": float(column[epoch]) for name, column in epochs.items()}
            values["epoch"] = epoch + 1
        yield place + 1, {name: value for name, value in values.items() if math.isfinite(value)}


_WRITERS: dict[str, Callable[[History, Path], None]] = {
    "csv": to_csv,
    "tensorboard": to_tensorboard,
    "wandb_offline": to_wandb,
}


def export(study: Study, folder: Path, write: Callable[[History, Path], None]) -> list[Run]:
    """Write the logs of all trainings that are over, each into a folder of its name.

    Parameters
    ----------
    study : Study
    folder : Path
    write : callable
        (history, folder), such as `to_csv`.

    Returns
    -------
    list of Run
        Those written.

    Raises
    ------
    FileNotFoundError
        If no training is over.
    """
    paths = {run: study.results / "runs" / run.name / "history.h5" for run in study.runs}
    there = [run for run, path in paths.items() if path.is_file()]
    if not there:
        raise FileNotFoundError(f"{study.results}: no training of the study is over, there is no runs/*/*/history.h5")
    for run in there:
        write(History.load(paths[run]), folder / run.name)
    return there


def _not_current(study: Study, runs: list[Run]) -> int:
    """Return how many of these trainings are kept from an earlier study until they are made anew."""
    names = {run.name for run in runs}
    return sum(each.step.name == "train" and each.name in names and not each.good for each in status.standings(study))


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_study(parser)
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--csv", metavar="DIR", type=Path, help="write epochs.csv and steps.csv of each training")
    kinds.add_argument("--tensorboard", metavar="DIR", type=Path, help="write event files for TensorBoard")
    kinds.add_argument(
        "--wandb-offline",
        metavar="DIR",
        type=Path,
        help="write offline runs for `wandb sync DIR/*/*/wandb/offline-run-*`",
    )


def _export_logs(options: argparse.Namespace) -> int:
    study = load_study(options)
    kind = next(kind for kind in _WRITERS if getattr(options, kind))
    folder: Path = getattr(options, kind)
    written = export(study, folder, _WRITERS[kind])
    left, old = len(study.runs) - len(written), _not_current(study, written)
    print(
        f"{folder}: {len(written)} trainings"
        + (f"; {left} are not over" if left else "")
        + (f"; {old} of those written are not as the study asks for (quasarcurves status)" if old else "")
    )
    return 0


COMMANDS = {"export-logs": Command(_arguments, _export_logs)}
