"""QuasarNET applied to spectra of the test set: the columns of its predictions, with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quasarcurves.quasarnet.loss_formula import line_losses
from quasarcurves.quasarnet.numpy_network import NumpyNetwork
from quasarcurves.quasarnet.objective import decode, encode
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra.table import UNKNOWN, Spectra, check_grid
from quasarcurves.training.run_settings import TaskSettings
from quasarcurves.training.snapshots import Snapshot

_COLUMNS = ("confidence", "z_line", "z_best", "bal_confidence", "bal_z_line")


class Evaluator:
    """A trained network with what its outputs mean: see `tasks.protocol.Evaluator`."""

    calibrates = True

    def __init__(self, network: NumpyNetwork, settings: NetworkSettings) -> None:
        self._network, self._settings = network, settings

    def with_snapshot(self, snapshot: Snapshot) -> Evaluator:
        """Return the same with the weights of a snapshot."""
        return Evaluator(self._network.with_weights(snapshot.weights), self._settings)

    def predict(self, spectra: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of the predictions for some spectra, and the losses; by name.

        `confidence` and `z_line` (n, lines), `z_best` (n,), `bal_confidence` and `bal_z_line` (n, bal_lines), `loss`
        (n,), the loss summed over lines.
        """
        settings, table = self._settings, Spectra.load(spectra, rows)
        check_grid(spectra, settings.wavelength_grid)
        lines, bal_lines = settings.lines, settings.bal_lines
        unknown = int((table.label == UNKNOWN).sum())
        if unknown:
            raise ValueError(f"{spectra}: {unknown} of {len(table)} spectra have no truth, no loss can be computed")
        outputs = self._network(table.flux)
        targets, weights = encode(table.z, table.is_quasar, table.bal, lines, bal_lines, settings.boxes, table.grid)
        decoded = decode(outputs, lines, bal_lines, table.grid)
        loss = (weights * line_losses(targets, outputs, np)).sum(axis=1)
        return {**{name: getattr(decoded, name) for name in _COLUMNS}, "loss": loss}


def evaluator(task: TaskSettings | None, settings: Mapping[str, Any], model: Path, threads: int) -> Evaluator:
    """Return what applies the network of a model file; numpy takes one thread."""
    return Evaluator(NumpyNetwork.load(model), NetworkSettings.from_json(settings))
