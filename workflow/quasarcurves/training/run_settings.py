"""Settings of a run as plain values: what a study hands to a training, and what is stored with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from quasarcurves.training.settings import CurvatureSettings, SnapshotSettings, TrainingSettings

FINAL, BEST = "final", "best"
"""The models of a run: at the end of training, and the best by the validation set."""


@dataclass(frozen=True)
class TaskSettings:
    """The task file of a study.

    Parameters
    ----------
    name : str
        As the study says: a path, or the name of a task that is built in.
    code : str
        Hash of the file and of the modules beside it that it imports. A change of it reruns what uses them.
    """

    name: str
    code: str

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TaskSettings | None:
        """Return the settings within those of a run; None for the usual task, which no file says."""
        return cls(**values["task"]) if values.get("task") else None


@dataclass(frozen=True)
class RunSettings:
    """Everything but the examples that a run's result depends on.

    Parameters
    ----------
    study : str
        Name of the study.
    seed : int
        Everything random in the study is drawn from it.
    fraction : float
        Size of the training set as a share of all examples.
    replicate : int
        Counted from 0.
    optimizer : str
        Name of the optimizer in the study.
    optimizer_spec : mapping
        Specification of the optimizer (`training.optimizer_specs`).
    network : mapping
        The study's `network` block, as JSON can hold it; the task knows what it means.
    training : TrainingSettings
    matched_spec : mapping, optional
        Specification of the optimizer whose effective step this run is held to.
    diagnosis : CurvatureSettings, optional
        None: the curvature is not measured.
    snapshots : SnapshotSettings, optional
        None: no snapshots are taken.
    task : TaskSettings, optional
        None: the usual task.
    """

    study: str
    seed: int
    fraction: float
    replicate: int
    optimizer: str
    optimizer_spec: Mapping[str, Any]
    network: Mapping[str, Any]
    training: TrainingSettings
    matched_spec: Mapping[str, Any] | None = None
    diagnosis: CurvatureSettings | None = None
    snapshots: SnapshotSettings | None = None
    task: TaskSettings | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them, without what the run does not have."""
        values = {**asdict(self), "training": self.training.to_json()}
        if self.snapshots is not None:
            values["snapshots"] = self.snapshots.to_json()
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunSettings:
        """Return the settings that `to_json` wrote."""
        nested: dict[str, Any] = {
            "training": TrainingSettings.from_json(values["training"]),
            "task": TaskSettings.from_json(values),
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
    fraction, replicate, optimizer, network, task
        As in `RunSettings`.
    """

    fraction: float
    replicate: int
    optimizer: str
    network: Mapping[str, Any]
    task: TaskSettings | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EvaluationSettings:
        """Return the settings that `to_json` wrote."""
        return cls(**{**values, "task": TaskSettings.from_json(values)})
