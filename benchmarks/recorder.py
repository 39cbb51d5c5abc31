"""Cost of `recorder.StepRecorder`: time of a step of `fit` with it against one without, turn by turn.

One model trains with its own function and with the recorded one in turns, an epoch each, so that whatever else the
machine does meets both alike; the ratio is that of neighbouring epochs. The network is QuasarNET as its users write it
(`separate_heads`), trained with a list of losses and sample weights. Writing the file counts.
`python benchmarks/recorder.py` writes recorder.csv here; `KERAS_BACKEND=jax python benchmarks/recorder.py` replaces the
rows of JAX in it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import separate_heads

from quasarcurves.recorder import StepRecorder

FILE = Path(__file__).with_suffix(".csv")
CASES = ((16, 32, 32, 41), (100, 32, 16, 21), (100, 256, 4, 7))
"""Filters, batch size, steps of an epoch, and pairs of epochs."""

BOXES, LINES = 13, 7


class EveryOtherEpoch(StepRecorder):
    """A recorder that stands aside in every other epoch, and notes the time of all."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.seconds: list[tuple[float, float]] = []

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start the clock, and choose."""
        self._records = epoch % 2
        self._clock = time.perf_counter(), time.process_time()
        if self._records:
            super().on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Record, or not."""
        if self._records:
            super().on_train_batch_begin(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Stop the clock once all is done."""
        if self._records:
            super().on_epoch_end(epoch, logs)
        now = time.perf_counter(), time.process_time()
        self.seconds.append((now[0] - self._clock[0], now[1] - self._clock[1]))


def examples(n: int) -> dict[str, Any]:
    """Draw noise in the shapes of spectra, targets and weights."""
    rng = np.random.default_rng(1)
    flux = rng.normal(size=(n, 443, 1)).astype(np.float32)
    boxes = np.eye(BOXES, dtype=np.float32)[rng.integers(0, BOXES, (LINES, n))]
    offsets = boxes * rng.uniform(size=(LINES, n, 1)).astype(np.float32)
    weights = rng.integers(0, 2, (LINES, n)).astype(np.float32)
    return {"x": flux, "y": [*np.concatenate([boxes, offsets], axis=2)], "sample_weight": [*weights]}


def compare(filters: int, batch: int, steps: int, pairs: int) -> dict[str, float]:
    """Return medians of the time of a step, in milliseconds, and median and quartiles of the ratio."""
    keras.utils.set_random_seed(1)
    model = separate_heads.build(filters, BOXES, LINES)
    with tempfile.TemporaryDirectory() as folder:
        recorder = EveryOtherEpoch(Path(folder, "run.h5"))
        # the first pair compiles
        epochs = 2 * pairs + 2
        model.fit(**examples(steps * batch), batch_size=batch, epochs=epochs, verbose=0, callbacks=[recorder])
    wall, processor = 1e3 / steps * np.array(recorder.seconds[2:]).reshape(pairs, 2, 2).transpose(2, 0, 1)
    row = {"backend": keras.backend.backend(), "filters": filters, "batch": batch, "pairs": pairs}
    for name, times in (("processor", processor), ("wall", wall)):
        low, middle, high = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75])
        without, recorded = np.median(times, axis=0)
        row |= {f"{name}_ms": without, f"{name}_recorded_ms": recorded}
        row |= {f"{name}_ratio": middle, f"{name}_ratio_low": low, f"{name}_ratio_high": high}
    return row


def main() -> None:
    """Measure both sizes, and write them beside those of other backends."""
    cases = [tuple(map(int, case.split(":"))) for case in sys.argv[1:]] or CASES
    found = pd.DataFrame([compare(*case) for case in cases])
    if sys.argv[1:]:
        print(found.T.to_string())
        return
    before = pd.read_csv(FILE) if FILE.exists() else found[:0]
    others = before[before["backend"] != keras.backend.backend()]
    table = pd.concat([each for each in (others, found) if len(each)])
    table.sort_values(["backend", "filters", "batch"], ascending=[False, True, True]).to_csv(
        FILE, index=False, float_format="%.4g"
    )


if __name__ == "__main__":
    main()
