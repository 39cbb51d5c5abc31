"""The runs of a study: which there are, how each is trained, and which steps are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from quasarcurves import tasks
from quasarcurves.study.steps import STEPS, File, Step
from quasarcurves.tasks.declared import Declared, declared
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import (
    CurvatureSettings,
    Limits,
    ReplaySettings,
    SnapshotSettings,
    TrainingSettings,
)

WITHOUT = {"from_scratch": "start", "as_read": "augment"}
"""Keys of optimizers whose runs do without a key of the network, and that key."""

FROZEN = "frozen"
"""Key of optimizers that leave layers of the network as network.start has them."""

_OF_THE_NETWORK = {FROZEN, *WITHOUT}
"""Keys of optimizers that change the network which their runs train."""

_NOT_PACKED = {"training", "match", "fractions", *_OF_THE_NETWORK}
"""Keys of optimizers whose trainings are jobs of their own in any case."""

LENGTHS = {"epochs", "steps"}
"""Keys that say how long a training is; there may be one of them."""

ARMS_OF_USUAL = ("logits", "float64")
"""Arms of replays for which the usual task alone has another way to compute its loss."""


@dataclass(frozen=True)
class Run:
    """One training of a study.

    Parameters
    ----------
    fraction : float
        Size of the training set as a share of all examples.
    replicate : int
        Counted from 0.
    optimizer : str
        Its name in the study.
    """

    fraction: float
    replicate: int
    optimizer: str

    @property
    def subset(self) -> str:
        """Name of the subset it trains on, as it stands in paths."""
        return f"f{self.fraction}_r{self.replicate}"

    def n_train(self, n_examples: int) -> int:
        """Return the number of examples it trains on, of all that are prepared; roughly, where objects have several."""
        return round(self.fraction * n_examples)

    @property
    def name(self) -> str:
        """Name of the run, as it stands in paths."""
        return f"{self.subset}/{self.optimizer}"


@dataclass(frozen=True)
class Runs:
    """The runs that a configuration asks for.

    Parameters
    ----------
    config : mapping
        In canonical form, with all defaults.
    """

    config: Mapping[str, Any]

    @cached_property
    def task(self) -> Declared:
        """What is trained on what."""
        return declared(self.config.get("task", tasks.USUAL))

    @property
    def usual(self) -> bool:
        """Whether the task is the usual one: some tables and figures are of it alone."""
        return self.task.settings is None

    @property
    def draws_examples(self) -> bool:
        """Whether the task is a file that can draw an example; QuasarNET has figures of its own."""
        return self.task.draws

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.config["study"]["name"]

    @property
    def seed(self) -> int:
        """Everything random is drawn from it."""
        return self.config["study"]["seed"]

    @cached_property
    def fractions(self) -> list[float]:
        """Sizes of the training sets, the largest first."""
        return sorted(map(float, self.config["subsets"]["fractions"]), reverse=True)

    @property
    def optimizers(self) -> list[str]:
        """Names of the optimizers, sorted."""
        return list(self.config["optimizers"])

    @cached_property
    def runs(self) -> list[Run]:
        """Every run, by fraction, replicate and optimizer."""
        replicates = range(self.config["study"]["replicates"])
        runs = (Run(*key) for key in product(self.fractions, replicates, self.optimizers))
        return [run for run in runs if run.fraction in self.fractions_of(run.optimizer)]

    def fractions_of(self, optimizer: str) -> list[float]:
        """Sizes of the training sets of an optimizer, the largest first: those of the study, unless it has its own."""
        own = self.config["optimizers"][optimizer].get("fractions", self.fractions)
        return sorted(map(float, own), reverse=True)

    @property
    def subset_names(self) -> list[str]:
        """Names of the subsets, as they stand in paths."""
        return list(dict.fromkeys(run.subset for run in self.runs))

    @property
    def absent(self) -> list[str]:
        """Names of the runs that there are not, of every optimizer on every subset."""
        names = {run.name for run in self.runs}
        every = (f"{subset}/{optimizer}" for subset, optimizer in product(self.subset_names, self.optimizers))
        return [name for name in every if name not in names]

    def matched_run(self, run: Run) -> Run | None:
        """Return the run whose effective step a run is held to; None for most."""
        match = self.config["optimizers"][run.optimizer].get("match")
        return Run(run.fraction, run.replicate, match) if match else None

    @property
    def packs(self) -> bool:
        """Whether there are trainings that are one job."""
        return bool(self.packed)

    @cached_property
    def packed(self) -> list[str]:
        """Optimizers whose trainings on one fraction are one job: all that train as the study says, if it packs."""
        specs = self.config["optimizers"] if self.config["training"]["pack"] else {}
        return [name for name, spec in specs.items() if not _NOT_PACKED & spec.keys()]

    def pack(self, fraction: float) -> list[Run]:
        """Runs of a fraction that are one job, those with the same optimizer one after the other."""
        replicates = range(self.config["study"]["replicates"])
        return [Run(fraction, replicate, optimizer) for optimizer, replicate in product(self.packed, replicates)]

    @property
    def backend(self) -> str:
        """What computes the trainings."""
        return self.config["training"]["backend"]

    @cached_property
    def network(self) -> dict[str, Any]:
        """The `network` block as runs have it."""
        return self.task.network(self.config)

    def network_of(self, optimizer: str) -> dict[str, Any]:
        """Return the `network` block of an optimizer's runs: what the optimizer freezes, less what it does without."""
        spec = self.config["optimizers"][optimizer]
        without = {key for name, key in WITHOUT.items() if spec.get(name, False)}
        frozen = {FROZEN: spec[FROZEN]} if FROZEN in spec else {}
        return {**{key: value for key, value in self.network.items() if key not in without}, **frozen}

    def training_settings(self, optimizer: str) -> TrainingSettings:
        """How the runs of an optimizer are trained: the study's settings, and its own in their place."""
        own = self.config["optimizers"][optimizer].get("training", {})
        settings = {**self.config["training"], **own}
        length = next(key for key in ("steps", "epochs") if key in (own if LENGTHS & own.keys() else settings))
        keys = (length, "batch_size", "last_batch", "validate_every", "best", "backend", "precision")
        return TrainingSettings(**{key: settings[key] for key in keys}, pack=optimizer in self.packed)

    def run_settings(self, run: Run) -> RunSettings:
        """Everything but the examples that a run's result depends on."""
        specs, diagnosis = self.config["optimizers"], self.config["diagnosis"]
        spec = specs[run.optimizer]
        curvature = CurvatureSettings(diagnosis["curvature_every"], diagnosis["probe_size"], diagnosis["batches"])
        return RunSettings(
            study=self.name,
            seed=self.seed,
            fraction=run.fraction,
            replicate=run.replicate,
            optimizer=run.optimizer,
            optimizer_spec=spec_alone(spec),
            network=self.network_of(run.optimizer),
            training=self.training_settings(run.optimizer),
            matched_spec=spec_alone(specs[spec["match"]]) if "match" in spec else None,
            diagnosis=curvature if self.measures_curvature else None,
            snapshots=SnapshotSettings(diagnosis["snapshots"], _spike_limits()) if self.takes_snapshots else None,
            task=self.task.settings,
        )

    @property
    def measures_curvature(self) -> bool:
        """Whether the curvature is measured during training."""
        return self.config["diagnosis"]["curvature_every"] > 0

    @property
    def takes_snapshots(self) -> bool:
        """Whether models are kept from before and in spikes."""
        return self.config["diagnosis"]["snapshots"] > 0

    @property
    def replays(self) -> bool:
        """Whether trainings are replayed."""
        return "replays" in self.config["diagnosis"]

    @cached_property
    def replayed_runs(self) -> list[Run]:
        """Runs that are replayed; those of the largest fraction, unless the study names others."""
        chosen = self.config["diagnosis"]["replays"] if self.replays else {}
        fractions = set(map(float, chosen.get("fractions", self.fractions[:1])))
        optimizers = set(chosen.get("optimizers", self.optimizers))
        return [run for run in self.runs if self.replays and run.fraction in fractions and run.optimizer in optimizers]

    @cached_property
    def replay_settings(self) -> ReplaySettings:
        """Which replays are made of each; `as_it_is`, which the others are compared with, comes first."""
        chosen = self.config["diagnosis"]["replays"]
        values = {name: chosen[name] for name in ("every", "after_epoch", "before", "quiet", "replays", "steps")}
        arms = [arm for arm in chosen["arms"] if self.usual or arm not in ARMS_OF_USUAL]
        return ReplaySettings.from_json({**values, "arms": list(dict.fromkeys(["as_it_is", *arms]))})

    @property
    def replay_jobs(self) -> int:
        """Jobs that share the forks of a run."""
        return self.config["diagnosis"]["replays"]["jobs"]

    @property
    def magnified_spikes(self) -> int:
        """Sustained spikes of each replayed run that are looked at step by step."""
        return self.config["diagnosis"]["replays"]["microscope"] if self.replays else 0

    @property
    def magnifies_spikes(self) -> bool:
        """Whether spikes are looked at step by step."""
        return self.magnified_spikes > 0

    def has(self, what: Step | File) -> bool:
        """Whether the study asks for a step, or for a file of one that it asks for."""
        return not what.when or bool(getattr(self, what.when))

    @property
    def steps(self) -> list[Step]:
        """The steps that are done, in the order of the table."""
        return [step for step in STEPS.values() if self.has(step)]

    def share(self, n_examples: int, name: str) -> int:
        """Return the size of the test set or the validation set, by the name of its share in the study."""
        return round(self.config["subsets"][name] * n_examples)


def _spike_limits() -> Limits:
    """What counts as a spike while a training goes on: the same that is counted as a tall one afterwards."""
    from quasarcurves.analysis.spikes import finding  # noqa: PLC0415  (slow to import, and few studies need it)

    return Limits(finding.EPOCH_WINDOW, finding.SETTLED_EPOCH, course=finding.BACK_RATIO, high=finding.HIGH_RATIO)


def spec_alone(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes the optimizer, without how and on what it trains."""
    return {key: value for key, value in spec.items() if key not in ("training", "fractions", *_OF_THE_NETWORK)}
