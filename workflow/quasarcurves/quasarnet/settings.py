"""Settings of the network as plain values: the `network` block of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


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
    """

    filters: int
    layers: int
    boxes: int
    lines: tuple[str, ...]
    bal_lines: tuple[str, ...]
    dropout: float = 0

    @property
    def n_lines(self) -> int:
        """Number of outputs: lines and BAL lines."""
        return len(self.lines) + len(self.bal_lines)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them, in the order of a study's canonical form."""
        values = {**asdict(self), "lines": list(self.lines), "bal_lines": list(self.bal_lines)}
        # sorted: files that hold the settings stay the same to the byte, however the class is written
        return dict(sorted(values.items()))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NetworkSettings:
        """Return the settings that `to_json` wrote."""
        return cls(**{**values, "lines": tuple(values["lines"]), "bal_lines": tuple(values["bal_lines"])})
