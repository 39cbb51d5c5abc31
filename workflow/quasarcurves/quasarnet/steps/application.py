"""What several networks say of the same spectra, each on its own grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quasarcurves.quasarnet.analysis.test_set import Predicted
from quasarcurves.quasarnet.trained_network import Trained
from quasarcurves.spectra import sources
from quasarcurves.spectra.grid import median_snr, normalise

_ROWS = 512
"""Input spectra in memory at a time."""

Progress = Callable[[float, int], None]


def nothing_to_say(done: float, spectra: int) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Read:
    """What a network says of the spectra with a signal, in the order of their files.

    Parameters
    ----------
    predicted : Predicted
        Of n spectra.
    usable : (n,) bool array
        Which have a signal on the network's grid.
    key : (n,) int64 array
        What catalogues know them by.
    snr : (n,) float32 array
        Per bin of the network's grid.
    """

    predicted: Predicted
    usable: np.ndarray
    key: np.ndarray
    snr: np.ndarray


def apply_networks(
    networks: Sequence[Trained], config: Mapping[str, Any], progress: Progress = nothing_to_say
) -> list[Read]:
    """Apply networks to the same spectra; those of one grid read each spectrum once.

    Parameters
    ----------
    networks : sequence of Trained
    config : mapping
        `source` and `spectra`, as in a study's `data` block.
    progress : callable
        Called with the share of the work that is done, and the number of spectra read by then.

    Returns
    -------
    list of Read
        Of each network.

    Raises
    ------
    ValueError, OSError
        If a file cannot be read, or there is no spectrum.
    """
    grids = list(dict.fromkeys(network.grid for network in networks))
    found: dict[int, Read] = {}
    for number, grid in enumerate(grids):
        group = [i for i, network in enumerate(networks) if network.grid == grid]
        read = _read([networks[i] for i in group], config, _part_of(progress, number, len(grids)))
        found |= dict(zip(group, read, strict=True))
    return [found[i] for i in range(len(networks))]


def _part_of(progress: Progress, number: int, parts: int) -> Progress:
    return lambda done, n: progress((number + done) / parts, n)


def _read(networks: Sequence[Trained], config: Mapping[str, Any], progress: Progress) -> list[Read]:
    parts: list[list[Predicted]] = [[] for _ in networks]
    common: list[tuple[np.ndarray, ...]] = []
    n = 0
    for binned in sources.read_binned({**config, "grid": networks[0].grid.to_json()}, _ROWS):
        flux, usable = normalise(binned.flux, binned.ivar)
        common.append((usable, binned.key, median_snr(binned.flux, binned.ivar)))
        for network, own in zip(networks, parts, strict=True):
            said = network.apply(flux)
            own.append(
                Predicted(said.confidence.astype(np.float32), said.z_best, said.bal_confidence.astype(np.float32))
            )
        n += len(flux)
        progress(binned.done, n)
    if not n:
        raise ValueError(f"{', '.join(config['spectra'])}: no spectrum found")
    usable, key, snr = (np.concatenate(column) for column in zip(*common, strict=True))
    return [Read(_joined(own), usable, key, snr) for own in parts]


def _joined(parts: Sequence[Predicted]) -> Predicted:
    return Predicted(
        *(
            np.concatenate([getattr(each, name) for each in parts])
            for name in ("confidence", "z_best", "bal_confidence")
        )
    )
