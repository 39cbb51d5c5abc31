"""From redshifts to the targets of the network, and from its outputs to redshifts.

The wavelength range is cut into boxes; a line that falls into the grid marks its box and its place within it.
Definitions follow Busca & Balland (2018), arXiv:1808.09955, section 3.

Training needs one box number, one offset and one weight per line and spectrum (`line_targets`); the dense form that
the loss is written in (`encode`) is 26 numbers per line and is made from these batch by batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quasarcurves.spectra.grid import LOGARITHMIC, Grid

LINES = {
    "LYA": 1215.67,
    "CIV(1548)": 1548.2049,
    "CIII(1909)": 1908.734,
    "MgII(2796)": 2796.3511,
    "Hbeta": 4862.68,
    "Halpha": 6562.8,
}
"""Rest wavelength in Angstrom (vacuum) of the lines a study may name, in QuasarNET's order."""

NO_BOX = -1
OFFSET_SCALE, OFFSET_SHIFT = 1.2, -0.1
"""The network's offsets are `OFFSET_SHIFT + OFFSET_SCALE * sigmoid`, so that both ends of a box can be reached."""


@dataclass(frozen=True)
class Decoded:
    """Confidences and redshifts of n spectra, read off the network's outputs.

    Parameters
    ----------
    confidence : (n, lines) array
        Highest box probability of each emission line.
    z_line : (n, lines) array
        Redshift from that line, if the identification of the line is right.
    z_best : (n,) array
        Redshift of the most confident emission line.
    bal_confidence, bal_z_line : (n, bal_lines) array
        The same of the absorption lines.
    """

    confidence: np.ndarray
    z_line: np.ndarray
    z_best: np.ndarray
    bal_confidence: np.ndarray
    bal_z_line: np.ndarray

    def is_quasar(self, threshold: float = 0.5, n_detect: int = 1) -> np.ndarray:
        """(n,) bool: at least `n_detect` emission lines have a confidence above `threshold`."""
        return (self.confidence > threshold).sum(axis=1) >= n_detect


def rest_wavelengths(names: Sequence[str]) -> np.ndarray:
    """(lines,) Angstrom of named lines.

    Raises
    ------
    ValueError
        If a name is not in `LINES`.
    """
    unknown = [name for name in names if name not in LINES]
    if unknown:
        raise ValueError(f"unknown line {unknown[0]!r}, expected one of {', '.join(LINES)}")
    return np.array([LINES[name] for name in names], np.float64)


def line_targets(
    z: np.ndarray,
    is_quasar: np.ndarray,
    bal: np.ndarray,
    lines: Sequence[str],
    bal_lines: Sequence[str],
    boxes: int = 13,
    grid: Grid = LOGARITHMIC,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Box, offset and sample weight of every line of every spectrum, the BAL lines last.

    Parameters
    ----------
    z : (n,) array
        Redshift; any value (NaN too) for what is no quasar.
    is_quasar : (n,) bool array
        Trusted quasars: all others have no box and weight 1.
    bal : (n,) array
        1, -1 or 0 (unknown): a quasar with 0 has weight 0 for the BAL lines.
    lines, bal_lines : sequences of str
        Names in `LINES`.
    boxes : int
        Number of boxes the grid is cut into.
    grid : Grid

    Returns
    -------
    box : (n, L) int8 array
        -1 where the line has no box.
    offset : (n, L) float32 array
        Place within the box, 0 to 1; 0 where there is none.
    weight : (n, L) float32 array
    """
    z, bal = np.asarray(z, np.float64), np.asarray(bal)
    is_quasar = np.asarray(is_quasar, bool)
    observed = (1 + z[:, None]) * rest_wavelengths([*lines, *bal_lines])
    bins = np.interp(observed, grid.wavelength, np.arange(grid.n), left=np.nan, right=np.nan)
    position = bins / grid.n * boxes
    has_box = is_quasar[:, None] & np.isfinite(position)
    has_box[:, len(lines) :] &= (bal == 1)[:, None]
    position = np.where(has_box, position, 0.0)
    box = np.floor(position)
    weight = np.ones(box.shape, np.float32)
    weight[is_quasar & (bal == 0), len(lines) :] = 0.0
    return (
        np.where(has_box, box, NO_BOX).astype(np.int8),
        (position - box).astype(np.float32),
        weight,
    )


def encode(
    z: np.ndarray,
    is_quasar: np.ndarray,
    bal: np.ndarray,
    lines: Sequence[str],
    bal_lines: Sequence[str],
    boxes: int = 13,
    grid: Grid = LOGARITHMIC,
) -> tuple[np.ndarray, np.ndarray]:
    """Dense targets: for each line a one-hot box, then the offset in the place of that box.

    Parameters
    ----------
    z, is_quasar, bal, lines, bal_lines, boxes, grid
        As in `line_targets`.

    Returns
    -------
    targets : (n, L, 2 * boxes) float32 array
        L lines, the BAL lines last.
    weights : (n, L) float32 array
    """
    box, offset, weight = line_targets(z, is_quasar, bal, lines, bal_lines, boxes, grid)
    one_hot = (box[..., None] == np.arange(boxes)).astype(np.float32)
    return np.concatenate([one_hot, one_hot * offset[..., None]], axis=-1), weight


def decode(outputs: np.ndarray, lines: Sequence[str], bal_lines: Sequence[str], grid: Grid = LOGARITHMIC) -> Decoded:
    """Read confidences and redshifts off the network's outputs.

    Parameters
    ----------
    outputs : (n, L, 2B) array
        Box probabilities and offsets of L lines, the BAL lines last.
    lines, bal_lines : sequences of str
        Names in `LINES`, at least one emission line.
    grid : Grid
        That of the spectra.

    Raises
    ------
    ValueError
        If L is not the number of lines named.
    """
    outputs = np.asarray(outputs, np.float64)
    n_lines, boxes = len(lines), outputs.shape[-1] // 2
    if outputs.shape[1] != n_lines + len(bal_lines):
        raise ValueError(f"outputs of {outputs.shape[1]} lines, {n_lines + len(bal_lines)} named")
    probability, offset = outputs[..., :boxes], outputs[..., boxes:]
    box = probability.argmax(axis=-1)
    place = box + np.take_along_axis(offset, box[..., None], axis=-1)[..., 0]
    wavelength = _wavelength_at(place * grid.n / boxes, grid)
    z = wavelength / rest_wavelengths([*lines, *bal_lines]) - 1
    confidence = probability.max(axis=-1)
    best = confidence[:, :n_lines].argmax(axis=1)
    return Decoded(
        confidence=confidence[:, :n_lines],
        z_line=z[:, :n_lines],
        z_best=z[np.arange(len(z)), best],
        bal_confidence=confidence[:, n_lines:],
        bal_z_line=z[:, n_lines:],
    )


def _wavelength_at(bins: np.ndarray, grid: Grid) -> np.ndarray:
    """Wavelength (Angstrom) at fractional bin numbers: linear between bins, extrapolated beyond the ends."""
    left = np.clip(np.floor(bins).astype(int), 0, grid.n - 2)
    edges = grid.wavelength
    return edges[left] + (bins - left) * (edges[left + 1] - edges[left])
