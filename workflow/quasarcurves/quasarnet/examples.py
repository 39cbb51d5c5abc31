"""Examples that a network is trained or validated on: prepared spectra with their targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quasarcurves.quasarnet.objective import line_targets
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra.table import UNKNOWN, is_quasar, load_column


def load_examples(spectra: Path, rows: np.ndarray, settings: NetworkSettings) -> tuple[np.ndarray, ...]:
    """Read spectra with their targets, as the training loop takes them.

    Parameters
    ----------
    spectra : Path
        The prepared spectra.
    rows : (n,) int array
    settings : NetworkSettings

    Returns
    -------
    tuple of arrays
        Flux (n, 443, 1) float32, aligned so that the training loop need not copy it; box, offset and weight (n, L) of
        `objective.line_targets`.

    Raises
    ------
    ValueError
        If a spectrum has no truth.
    """
    z, label, bal = (load_column(spectra, name, rows) for name in ("z", "label", "bal"))
    unknown = int((label == UNKNOWN).sum())
    if unknown:
        raise ValueError(f"{spectra}: {unknown} of {len(label)} spectra have no truth, they cannot be trained on")
    targets = line_targets(z, is_quasar(label), bal, settings.lines, settings.bal_lines, settings.boxes)
    # last: what making targets takes for a while is free again by then
    return load_column(spectra, "flux", rows)[..., None], *targets
