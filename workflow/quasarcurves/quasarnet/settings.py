"""Settings of a network and of a run, as plain values: what a study hands to a training, and what is stored with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from quasarcurves.spectra.grid import GRIDS, LOGARITHMIC_SPACING, Grid
from quasarcurves.training.settings import CurvatureSettings, SnapshotSettings, TrainingSettings


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
    """

    filters: int
    layers: int
    boxes: int
    lines: tuple[str, ...]
    bal_lines: tuple[str, ...]
    dropout: float = 0
    grid: str = LOGARITHMIC_SPACING

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

        The usual grid is left out: training states from before there was another fit.
        """
        values = {**asdict(self), "lines": list(self.lines), "bal_lines": list(self.bal_lines)}
        if self.grid == LOGARITHMIC_SPACING:
            del values["grid"]
        # sorted: files that hold the settings stay the same to the byte, however the class is written
        return dict(sorted(values.items()))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NetworkSettings:
        """Return the settings that `to_json` wrote."""
        return cls(**{**values, "lines": tuple(values["lines"]), "bal_lines": tuple(values["bal_lines"])})


@dataclass(frozen=True)
class RunSettings:
    """Everything but the spectra that a run's result depends on.

    Parameters
    ----------
    study : str
        Name of the study.
    seed : int
        Everything random in the study is drawn from it.
    fraction : float
        Size of the training set as a share of all spectra.
    replicate : int
        Counted from 0.
    optimizer : str
        Name of the optimizer in the study.
    optimizer_spec : mapping
        Specification of the optimizer (`training.optimizer_specs`).
    network : NetworkSettings
    training : TrainingSettings
    matched_spec : mapping, optional
        Specification of the optimizer whose effective step this run is held to.
    diagnosis : CurvatureSettings, optional
        None: the curvature is not measured.
    snapshots : SnapshotSettings, optional
        None: no snapshots are taken.
    """

    study: str
    seed: int
    fraction: float
    replicate: int
    optimizer: str
    optimizer_spec: Mapping[str, Any]
    network: NetworkSettings
    training: TrainingSettings
    matched_spec: Mapping[str, Any] | None = None
    diagnosis: CurvatureSettings | None = None
    snapshots: SnapshotSettings | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them, without what the run does not have."""
        values = {**asdict(self), "network": self.network.to_json(), "training": self.training.to_json()}
        if self.snapshots is not None:
            values["snapshots"] = self.snapshots.to_json()
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunSettings:
        """Return the settings that `to_json` wrote."""
        nested: dict[str, Any] = {
            "network": NetworkSettings.from_json(values["network"]),
            "training": TrainingSettings.from_json(values["training"]),
        }
        if "diagnosis" in values:
            nested["diagnosis"] = CurvatureSettings(**values["diagnosis"])
        if "snapshots" in values:
            nested["snapshots"] = SnapshotSettings.from_json(values["snapshots"])
        return cls(**{**values, **nested})


@dataclass(frozen=True)
class EvaluationSettings:
    """What is evaluated of a run, and how.

    Parameters
    ----------
    fraction, replicate, optimizer, network
        As in `RunSettings`.
    """

    fraction: float
    replicate: int
    optimizer: str
    network: NetworkSettings

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        return {**asdict(self), "network": self.network.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EvaluationSettings:
        """Return the settings that `to_json` wrote."""
        return cls(**{**values, "network": NetworkSettings.from_json(values["network"])})
