"""Examples that a network is trained or validated on: prepared spectra with their targets."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np

from quasarcurves.quasarnet.objective import line_targets
from quasarcurves.quasarnet.settings import AUGMENTATION, NetworkSettings
from quasarcurves.spectra.table import UNKNOWN, check_grid, is_quasar, load_column

_VERSIONS = 7
"""Tag that keeps the random streams of versions apart from those of a study's other draws."""


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
        Flux (n, bins, 1) float32, aligned so that the training loop need not copy it; box, offset and weight (n, L) of
        `objective.line_targets`.

    Raises
    ------
    ValueError
        If a spectrum has no truth, or spectra are on another grid than the network's.
    """
    check_grid(spectra, settings.wavelength_grid)
    z, label, bal = (load_column(spectra, name, rows) for name in ("z", "label", "bal"))
    unknown = int((label == UNKNOWN).sum())
    if unknown:
        raise ValueError(f"{spectra}: {unknown} of {len(label)} spectra have no truth, they cannot be trained on")
    targets = _targets(z, label, bal, settings)
    # last: what making targets takes for a while is free again by then
    return load_column(spectra, "flux", rows)[..., None], *targets


def load_varied(spectra: Path, rows: np.ndarray, settings: NetworkSettings, seed: int) -> tuple[np.ndarray, ...]:
    """Read spectra in all the versions that training draws from.

    Parameters
    ----------
    spectra, rows, settings
        As of `load_examples`.
    seed : int
        Of the study; each version draws from a stream of its own.

    Returns
    -------
    tuple of arrays
        As of `load_examples`, of n spectra as they are, then of all n in each further version.
    """
    found = load_examples(spectra, rows, settings)
    if settings.augment is None:
        return found
    # by its name: for other runs it is no part of what the training depends on
    varied = import_module(AUGMENTATION).varied
    flux = found[0][..., 0]
    z, label, bal = (load_column(spectra, name, rows) for name in ("z", "label", "bal"))
    versions = [found]
    for number in range(1, settings.augment.copies):
        rng = np.random.default_rng([seed, _VERSIONS, number])
        changed, moved = varied(flux, z, settings.augment, settings.wavelength_grid.step, rng)
        versions.append((changed[..., None], *_targets(moved, label, bal, settings)))
    return tuple(np.concatenate(arrays) for arrays in zip(*versions, strict=True))


def _targets(
    z: np.ndarray, label: np.ndarray, bal: np.ndarray, settings: NetworkSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return line_targets(
        z, is_quasar(label), bal, settings.lines, settings.bal_lines, settings.boxes, settings.wavelength_grid
    )
