"""Progress of a training for those who watch: one small JSON file per run, replaced about once a second."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from quasarcurves.files import whole_file

FILE_NAME = "progress.json"
_SECONDS_BETWEEN = 1.0
_LOG_LINES = 20
_MOST_LOSSES = 200
"""Epochs whose losses are in the file; of more, every second, fourth and so on."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """Where a training is.

    Parameters
    ----------
    epoch, epochs : int
        Epochs done, and asked for.
    loss : float
        Training loss of the last epoch.
    seconds_left : float
        Expected, from the epochs done by this process; NaN before there is a pace.
    state : {"training", "done", "diverged"}
    losses : sequence of (int, float, float)
        Epoch, training loss and validation loss (NaN where not computed) of some epochs, for a curve.
    """

    epoch: int
    epochs: int
    loss: float
    seconds_left: float
    state: str = "training"
    losses: Sequence[tuple[int, float, float]] = field(default=(), compare=False)


class Reporter:
    """Writes a run's progress file, and about 20 lines into its log.

    Parameters
    ----------
    folder : Path
        Where the progress file goes; made if missing.
    epochs : int
        Epochs asked for.
    name : str
        Of the run, as the log has it.
    """

    def __init__(self, folder: Path, epochs: int, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._epochs, self._name = folder / FILE_NAME, epochs, name
        self._log_every = max(1, epochs // _LOG_LINES)
        self._start: tuple[float, int] | None = None
        self._written = 0.0
        self._losses: list[tuple[int, float, float]] | None = None
        self._stride = 1

    def epoch(self, epoch: int, loss: float, val_loss: float) -> None:
        """Report an epoch: its number counted from 1, its loss, and its validation loss (NaN where not computed)."""
        now = time.monotonic()
        # the first epoch holds the compilation: it would spoil the estimate
        self._start = self._start or (now, epoch)
        since = epoch - self._start[1]
        per_epoch = (now - self._start[0]) / since if since else math.nan
        self._keep(epoch, loss, val_loss)
        if epoch % self._log_every == 0 or epoch == self._epochs:
            logger.info("%s  epoch %d/%d  loss %.5g  val_loss %.5g", self._name, epoch, self._epochs, loss, val_loss)
        if now - self._written >= _SECONDS_BETWEEN:
            self._write(
                Report(epoch, self._epochs, loss, per_epoch * (self._epochs - epoch), losses=self._losses or ())
            )

    def end(self, epoch: int, loss: float, diverged: bool) -> None:
        """Report that the training is over."""
        state = "diverged" if diverged else "done"
        self._write(Report(epoch, self._epochs, loss, 0.0, state, self._losses or self._earlier(epoch + 1)))

    def _keep(self, epoch: int, loss: float, val_loss: float) -> None:
        """Keep the losses of an epoch, and fewer of those before it if they become too many."""
        if self._losses is None:
            self._losses = self._earlier(epoch)
        if epoch % self._stride == 0:
            self._losses.append((epoch, float(loss), float(val_loss)))
        while len(self._losses) > _MOST_LOSSES:
            self._stride *= 2
            self._losses = [each for each in self._losses if each[0] % self._stride == 0]

    def _earlier(self, epoch: int) -> list[tuple[int, float, float]]:
        """Return what an earlier process kept of the epochs before this one, which goes on from there."""
        report = read(self._path.parent)
        return [(int(each[0]), each[1], each[2]) for each in report.losses if each[0] < epoch] if report else []

    def _write(self, report: Report) -> None:
        with whole_file(self._path) as temporary:
            temporary.write_text(json.dumps(asdict(report)))
        self._written = time.monotonic()


def read(folder: Path) -> Report | None:
    """Read a run's progress; None before its first report."""
    try:
        return Report(**json.loads((folder / FILE_NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None
