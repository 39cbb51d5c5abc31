"""The histories and predictions of all runs as tables: one row per epoch, per run, or per model on the test set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from quasarcurves.analysis.spikes import count_excursions, settled_ratio
from quasarcurves.analysis.tables import RUN_KEYS, best_epoch, by_run, run_key, write, write_parts
from quasarcurves.training.history import History

_FIRST_COLUMNS = ["n_train", "epoch", "step", "loss", "val_loss", "learning_rate", "seconds"]


def write_epochs(histories: Path, path: Path) -> None:
    """Write one tidy row per run and epoch, from a collection of histories to CSV."""
    write_parts((_epochs_of(history) for history in by_run(histories)), path, digits=8)


def write_runs(histories: Path, path: Path) -> None:
    """Write one row per run, from a collection of histories to CSV."""
    write(pd.DataFrame([_run_of(history) for history in by_run(histories)]), path)


def write_test_losses(predictions: Iterable[Path], path: Path) -> None:
    """Write one row per run and model with its mean loss over the test set, from files of predictions to CSV.

    The column `predictions` is a hash of the run's file. Other rules that read all predictions depend on this table
    instead, because Snakemake is slow with thousands of input files.
    """
    write(pd.DataFrame([row for each in predictions for row in _test_losses_of(each)]), path)


def _epochs_of(history: History) -> pd.DataFrame:
    epochs = pd.DataFrame(dict(history.epochs))
    epochs.insert(0, "epoch", np.arange(1, len(epochs) + 1))
    epochs.insert(0, "n_train", history.params["outcome"]["n_train"])
    columns = _FIRST_COLUMNS + sorted(set(epochs.columns) - set(_FIRST_COLUMNS))
    epochs["fraction"], epochs["replicate"], epochs["optimizer"] = run_key(history.params)
    return epochs[RUN_KEYS + columns]


def _run_of(history: History) -> dict[str, Any]:
    outcome = history.params["outcome"]
    loss, val_loss = history.epochs["loss"], history.epochs["val_loss"]
    ratio = settled_ratio(loss)
    validated = np.isfinite(val_loss).any()
    return {
        **dict(zip(RUN_KEYS, run_key(history.params), strict=True)),
        "n_train": outcome["n_train"],
        "steps_per_epoch": outcome["steps_per_epoch"],
        "epochs": outcome["epochs"],
        "loss_last": loss[-1],
        "loss_lowest": np.nanmin(loss) if np.isfinite(loss).any() else np.nan,
        "val_loss_last": val_loss[-1],
        "val_loss_lowest": np.nanmin(val_loss) if validated else np.nan,
        "epoch_best": best_epoch(history) or outcome["epochs"],
        "highest_ratio": ratio.max() if len(ratio) else np.nan,
        "spikes_above_3x": count_excursions(ratio),
        "diverged": outcome["diverged"],
        "diverged_step": outcome["diverged_step"],
        "seconds": history.epochs["seconds"].sum(),
    }


def _test_losses_of(predictions: Path) -> Iterator[dict[str, Any]]:
    with predictions.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    with h5py.File(predictions, "r") as file:
        run = json.loads(file.attrs["run"])
        # a group without losses of its own holds the snapshots taken during training
        models = (name for name, item in file.items() if isinstance(item, h5py.Group) and "loss" in item)
        for model in sorted(models):
            loss = file[model]["loss"][:].astype(np.float64)
            keys = {key: run[key] for key in RUN_KEYS}
            yield {**keys, "model": model, "n_test": len(loss), "test_loss": loss.mean(), "predictions": digest}
