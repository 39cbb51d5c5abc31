"""Settings of the network as plain values: the `network` block of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from quasarcurves.spectra.grid import GRIDS, LOGARITHMIC_SPACING, Grid

WARM_START = "quasarcurves.quasarnet.warm_start"
"""Module that trainings from a file import; it is no part of others."""

AUGMENTATION = "quasarcurves.quasarnet.augmentation"
"""Module that trainings on varied spectra import."""


@dataclass(frozen=True)
class Start:
    """A file of weights to start from.

    Parameters
    ----------
    file : str
        As the study says it.
    sha256 : str
        Of its content: other weights make other runs.
    """

    file: str
    sha256: str


@dataclass(frozen=True)
class Augment:
    """How training spectra are varied.

    Parameters
    ----------
    copies : int
        Versions of each spectrum, the one that was read among them.
    noise : float
        Largest standard deviation of the noise added, in units of the normalised flux.
    mask : float
        Largest share of the bins that are set to zero, in one gap.
    shift : int
        Largest shift in bins, either way; the redshift moves with it.
    """

    copies: int
    noise: float = 0
    mask: float = 0
    shift: int = 0


@dataclass(frozen=True)
class NetworkSettings:
    """A study's `network` block.

    Parameters
    ----------
    filters : int
        Filters of each convolution, and units of the common layer.
    layers : int
        Convolutions.
    boxes : int
        Boxes that the wavelength range is cut into.
    lines, bal_lines : tuples of str
        Emission lines, and lines to find broad absorption in.
    dropout : float
        Share of activations dropped after each convolution.
    grid : {"logarithmic", "linear"}
        Wavelength grid of the spectra.
    start : Start, optional
        File whose weights training starts from; None: fresh ones.
    augment : Augment, optional
        How training spectra are varied; None: they are not.
    frozen : int
        Layers that keep the weights of the start: the first of the convolutions and, last, the common layer.
    """

    filters: int
    layers: int
    boxes: int
    lines: tuple[str, ...]
    bal_lines: tuple[str, ...]
    dropout: float = 0
    grid: str = LOGARITHMIC_SPACING
    start: Start | None = None
    augment: Augment | None = None
    frozen: int = 0

    @property
    def n_lines(self) -> int:
        """Number of outputs: lines and BAL lines."""
        return len(self.lines) + len(self.bal_lines)

    @property
    def wavelength_grid(self) -> Grid:
        """The grid of the spectra."""
        return GRIDS[self.grid]

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them, in the order of a study's canonical form.

        The usual grid and start, spectra that are not varied and no frozen layers are left out: training states from
        before there were others fit.
        """
        values = {**asdict(self), "lines": list(self.lines), "bal_lines": list(self.bal_lines)}
        if self.grid == LOGARITHMIC_SPACING:
            del values["grid"]
        for name in ("start", "augment", "frozen"):
            if not values[name]:
                del values[name]
        # sorted: files that hold the settings stay the same to the byte, however the class is written
        return dict(sorted(values.items()))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NetworkSettings:
        """Return the settings that `to_json` wrote."""
        start = Start(**values["start"]) if "start" in values else None
        augment = Augment(**values["augment"]) if "augment" in values else None
        lines, bal_lines = tuple(values["lines"]), tuple(values["bal_lines"])
        return cls(**{**values, "lines": lines, "bal_lines": bal_lines, "start": start, "augment": augment})
