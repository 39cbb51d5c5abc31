"""Study: the validated configuration, its runs, the places of their files and the arguments of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from quasarcurves import tasks
from quasarcurves.files import workflow_root
from quasarcurves.spectra import subsets
from quasarcurves.study import reading, resources
from quasarcurves.study.schema import StudyError, validate
from quasarcurves.study.steps import FILES, STEPS, WILDCARDS, File, Need, Sizes, Step
from quasarcurves.tasks.declared import Declared, declared
from quasarcurves.training import optimizer_specs
from quasarcurves.training.cost import Cost
from quasarcurves.training.extras import install_hint
from quasarcurves.training.run_settings import EvaluationSettings, RunSettings
from quasarcurves.training.settings import (
    LOSS,
    CurvatureSettings,
    Limits,
    ReplaySettings,
    SnapshotSettings,
    StateSettings,
    TrainingSettings,
)

_MISSING = {"NA", "NULL", "NaN", "None", "nan", "null"}
"""Names that tables take for a missing value."""

_WITHOUT = {"from_scratch": "start", "as_read": "augment"}
"""Keys of optimizers whose runs do without a key of the network, and that key."""

_FROZEN = "frozen"
"""Key of optimizers that leave layers of the network as network.start has them."""

_OF_THE_NETWORK = {_FROZEN, *_WITHOUT}
"""Keys of optimizers that change the network which their runs train."""

_NOT_PACKED = {"training", "match", "fractions", *_OF_THE_NETWORK}
"""Keys of optimizers whose trainings are jobs of their own in any case."""

_LENGTHS = {"epochs", "steps"}
"""Keys that say how long a training is; there may be one of them."""

_LARGEST_PACK = 200
"""Trainings in one job: its command line names the files of each, and may have 128 kB on Linux."""

_MOST_RUNS = 100_000
"""Trainings of a study: Snakemake takes 100 kB for each (docs/scale.md)."""

_BACKENDS = "quasarcurves.training.backends"

_PREPARING = Need(1000, 60)
"""Of a task file's `examples`: an allowance, nothing is known of it."""

_ARMS_OF_USUAL = ("logits", "float64")
"""Arms of replays for which the usual task alone has another way to compute its loss."""

SCHEMA = workflow_root() / "workflow" / "schemas" / "config.schema.yaml"


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
class Study:
    """A study that was checked and completed; make one with `from_config` or `load`.

    Parameters
    ----------
    config : mapping
        In canonical form, with all defaults.
    """

    config: Mapping[str, Any]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Study:
        """Check a configuration and complete it.

        Raises
        ------
        StudyError
            With every fault that can be known before any example is read.
        """
        with SCHEMA.open() as file:
            schema = yaml.safe_load(file)
        study = cls(validate(config, _completed(schema, config)))
        _check_lengths(config)
        try:
            study._check_number()
            study._check_task(config)
            study._check_subsets()
            study._check_known_sizes()
            study._check_optimizers()
            study._check_backend()
            study._check_best()
            study._check_pack()
            study._check_replays()
            study.task.check({**study.config, "data": study.data, "network": study.network})
        except FileNotFoundError as error:
            raise StudyError(f"{error}{_where_from(study.config['study'])}") from error
        except (ValueError, OSError) as error:
            raise StudyError(str(error)) from error
        return study

    @classmethod
    def load(cls, path: str | Path) -> Study:
        """Read a study from a YAML file; `reading.read` says what is refused besides what `from_config` refuses."""
        return cls.from_config(reading.read(path))

    def _check_optimizers(self) -> None:
        specs = self.config["optimizers"]
        _check_names(specs)
        for name, spec in specs.items():
            optimizer_specs.check(_spec_alone(spec), f"optimizers.{name}")
            if "match" in spec:
                optimizer_specs.check_match(specs, name)
            self._check_fractions(name)
            for key, without in _WITHOUT.items():
                if key in spec and without not in self.config["network"]:
                    raise StudyError(
                        f"optimizers.{name}.{key}: expected network.{without}, without which all runs are so"
                    )
            self._check_frozen(name)

    def _check_frozen(self, optimizer: str) -> None:
        """Refuse to keep layers of a file that a run does not start from, and more than there are."""
        spec, key = self.config["optimizers"][optimizer], f"optimizers.{optimizer}.{_FROZEN}"
        if _FROZEN not in spec:
            return
        if "start" not in self.network_of(optimizer):
            raise StudyError(f"{key}: expected a run from the weights of network.start, found one from fresh weights")
        most = self.config["network"]["layers"] + 1
        if spec[_FROZEN] > most:
            raise StudyError(
                f"{key}: expected at most {most}, the convolutions and the common layer, found {spec[_FROZEN]}"
            )

    def _check_fractions(self, optimizer: str) -> None:
        """Refuse fractions of an optimizer that the study, or the optimizer it is matched to, does not have."""
        match = self.config["optimizers"][optimizer].get("match")
        others = {"subsets.fractions": self.fractions}
        if match:
            others[f"the fractions of {match}, which it is matched to"] = self.fractions_of(match)
        for fraction in self.fractions_of(optimizer):
            for where, known in others.items():
                if fraction not in known:
                    found = f"optimizers.{optimizer}.fractions: {fraction:g} is none of {where}"
                    raise StudyError(f"{found}, expected some of {', '.join(f'{each:g}' for each in known)}")

    def _check_backend(self) -> None:
        # TensorFlow, the default, is asked for where it is needed: what looks after results does without
        if self.backend == "jax" and find_spec("jax") is None:
            raise StudyError(
                f"training.backend is 'jax', which is not installed: {install_hint('jax')}, "
                "or in a checkout `sh requirements/install.sh jax`"
            )

    def _check_best(self) -> None:
        share = self.config["subsets"]["validation_fraction"]
        n = self.task.known_examples(self.config["data"])
        best = self.config["training"]["best"]
        if best != LOSS and (not share or (n and not round(share * n))):
            raise StudyError(
                f"training.best is {best!r} and subsets.validation_fraction is {share:g}: expected a validation set to "
                "choose the best weights by"
            )

    def _check_task(self, config: Mapping[str, Any]) -> None:
        """Refuse what the task cannot do; `config` is without defaults, which are left out silently."""
        if self.usual:
            return
        replays = config.get("diagnosis", {}).get("replays") or {}
        for arm in _ARMS_OF_USUAL:
            if arm in replays.get("arms", []):
                raise StudyError(
                    f"diagnosis.replays.arms: {arm} needs another way to compute QuasarNET's loss, which the task "
                    f"{self.task.name} does not have"
                )
        for figure in config.get("figures") or {}:
            if not self.has(STEPS[f"plot_{figure}"]):
                raise StudyError(f"figures.{figure}: there is no such figure of the task {self.task.name}")

    def _check_pack(self) -> None:
        if self.config["training"]["pack"] and self.backend != "jax":
            raise StudyError(
                f"training.pack is true and training.backend is {self.backend!r}, expected 'jax': it alone can pack"
            )
        n, replicates = len(self.pack(self.fractions[0])), self.config["study"]["replicates"]
        if n > _LARGEST_PACK:
            raise StudyError(
                f"training.pack: {len(self.packed)} optimizers with {replicates} replicates are {n} trainings in one "
                f"program, expected at most {_LARGEST_PACK}"
            )

    def _check_replays(self) -> None:
        """Refuse replays of trainings that there are not."""
        chosen = self.config["diagnosis"].get("replays", {})
        known: dict[str, list[Any]] = {"optimizers": self.optimizers, "fractions": self.fractions}
        for key, names in known.items():
            for name in chosen.get(key, []):
                if name not in names:
                    raise StudyError(
                        f"diagnosis.replays.{key}: {name} is none of the study's, expected some of "
                        f"{', '.join(map(str, names))}"
                    )
        if self.replays and not self.replayed_runs:
            raise StudyError("diagnosis.replays: no run has both an optimizer and a fraction of those named")

    def _check_subsets(self) -> None:
        subset, replicates = self.config["subsets"], self.config["study"]["replicates"]
        available = subsets.available_fraction(subset["test_fraction"], subset["validation_fraction"])
        shares = (
            f"test_fraction {subset['test_fraction']} and validation_fraction {subset['validation_fraction']} "
            f"leave {available:g} of the {self.task.examples}"
        )
        for fraction in self.fractions:
            if fraction > available:
                raise StudyError(f"subsets.fractions: {fraction} is too large, {shares}")
            if subset["scheme"] == "independent" and round(fraction * replicates, 12) > available:
                raise StudyError(
                    f"subsets.fractions: {replicates} independent replicates of {fraction} do not fit, {shares}"
                )

    def _check_number(self) -> None:
        replicates = self.config["study"]["replicates"]
        n = replicates * sum(len(self.fractions_of(name)) for name in self.optimizers)
        if n > _MOST_RUNS:
            raise StudyError(
                f"study.replicates: {replicates:,} replicates of every optimizer and fraction are {n:,} trainings, "
                f"expected at most {_MOST_RUNS:,}"
            )

    def _check_known_sizes(self) -> None:
        """Refuse sets without examples, and epochs without a whole batch, where the number of examples is known."""
        n = self.task.known_examples(self.config["data"])
        if n is None:
            return
        share = self.config["subsets"]["test_fraction"]
        if not self._share(n, "test_fraction"):
            raise StudyError(
                f"subsets.test_fraction: {share:g} of {n} {self.task.examples} are none, expected a test set"
            )
        for run in self.runs:
            if not run.n_train(n):
                raise StudyError(
                    f"subsets.fractions: {run.fraction:g} of {n} {self.task.examples} are none, expected a training set"
                )
            training = self.training_settings(run.optimizer)
            if training.last_batch == "drop" and training.batch_size > run.n_train(n):
                raise StudyError(
                    f"training.last_batch is 'drop' and batches of {run.optimizer} have {training.batch_size}, "
                    f"expected at most the {run.n_train(n)} of a training set: an epoch would have no step"
                )

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
    def results(self) -> Path:
        """Folder of its results, relative to where the workflow runs."""
        return Path("results", self.name)

    @property
    def log(self) -> Path:
        """Log of Snakemake, where `quasarcurves run` calls it."""
        return self.results / "logs" / "snakemake.log"

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
        arms = [arm for arm in chosen["arms"] if self.usual or arm not in _ARMS_OF_USUAL]
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

    @property
    def packs(self) -> bool:
        """Whether there are trainings that are one job."""
        return bool(self.packed)

    def has(self, what: Step | File) -> bool:
        """Whether the study asks for a step, or for a file of one that it asks for."""
        return not what.when or bool(getattr(self, what.when))

    @property
    def steps(self) -> list[Step]:
        """The steps that are done, in the order of the table."""
        return [step for step in STEPS.values() if self.has(step)]

    def wildcards(self, per: str) -> list[dict[str, Any]]:
        """Return the wildcards of every job of a step that is done per study, subset, run, fraction and so on."""
        if per == "forks":
            groups = range(self.replay_jobs) if self.replays else ()
            return [{**vars(run), "group": group} for run, group in product(self.replayed_runs, groups)]
        runs = self.replayed_runs if per == "replayed" else self.runs
        values = {tuple(getattr(run, name) for name in WILDCARDS[per]): None for run in runs}
        return [dict(zip(WILDCARDS[per], each, strict=True)) for each in values]

    def paths(self, pattern: str, per: str) -> list[str]:
        """Return the files of all jobs of a step, from a path below the results with the step's wildcards."""
        return [str(self.results / pattern.format(**each)) for each in self.wildcards(per)]

    @property
    def data(self) -> dict[str, Any]:
        """The `data` block as the task prepares examples from it."""
        return self.task.data(self.config, self.seed)

    def data_files(self) -> list[Path]:
        """Files that the examples are read from; none where they are simulated."""
        return self.task.files(self.data)

    @property
    def preparing_modules(self) -> tuple[str, ...]:
        """Modules that preparing the examples imports by names known only then."""
        return tasks.module_of("prepare", self.task.settings), *self.task.data_modules(self.data)

    @property
    def evaluating_modules(self) -> tuple[str, ...]:
        """Modules that evaluating a model imports by names known only then."""
        backend = () if self.usual else (f"{_BACKENDS}.{self.backend}",)
        return tasks.module_of("evaluate", self.task.settings), *backend

    @property
    def backend(self) -> str:
        """What computes the trainings."""
        return self.config["training"]["backend"]

    def training_modules(self, *runs: Run) -> tuple[str, ...]:
        """Return the modules that training some runs together imports by names known only then: sorted."""
        specs = [self.config["optimizers"][run.optimizer] for run in runs]
        own = {kind.module for kind in map(optimizer_specs.own_class, specs) if kind}
        backend = f"{_BACKENDS}.{'packed' if len(runs) > 1 else self.backend}"
        by_start = {name for run in runs for name in self.task.training_modules(self.network_of(run.optimizer))}
        return tasks.module_of("train", self.task.settings), backend, *sorted(own | by_start)

    @cached_property
    def packed(self) -> list[str]:
        """Optimizers whose trainings on one fraction are one job: all that train as the study says, if it packs."""
        specs = self.config["optimizers"] if self.config["training"]["pack"] else {}
        return [name for name, spec in specs.items() if not _NOT_PACKED & spec.keys()]

    def pack(self, fraction: float) -> list[Run]:
        """Runs of a fraction that are one job, those with the same optimizer one after the other."""
        replicates = range(self.config["study"]["replicates"])
        return [Run(fraction, replicate, optimizer) for optimizer, replicate in product(self.packed, replicates)]

    def subset_params(self, fraction: float, replicate: int) -> dict[str, Any]:
        """Arguments of `subsets.draw`."""
        keys = ("test_fraction", "validation_fraction", "scheme")
        settings = {key: self.config["subsets"][key] for key in keys}
        return {"fraction": fraction, "replicate": replicate, "seed": self.seed, **settings}

    @cached_property
    def cost(self) -> Cost:
        """What an example costs runs whose network is the study's; those of an optimizer may freeze layers of it."""
        return self.task.cost(self.network, self.prepared)

    @cached_property
    def network(self) -> dict[str, Any]:
        """The `network` block as runs have it."""
        return self.task.network(self.config)

    def network_of(self, optimizer: str) -> dict[str, Any]:
        """Return the `network` block of an optimizer's runs: what the optimizer freezes, less what it does without."""
        spec = self.config["optimizers"][optimizer]
        without = {key for name, key in _WITHOUT.items() if spec.get(name, False)}
        frozen = {_FROZEN: spec[_FROZEN]} if _FROZEN in spec else {}
        return {**{key: value for key, value in self.network.items() if key not in without}, **frozen}

    @property
    def prepared(self) -> Path:
        """The file of prepared examples."""
        return self.results / FILES["spectra"].path

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
            optimizer_spec=_spec_alone(spec),
            network=self.network_of(run.optimizer),
            training=self.training_settings(run.optimizer),
            matched_spec=_spec_alone(specs[spec["match"]]) if "match" in spec else None,
            diagnosis=curvature if self.measures_curvature else None,
            snapshots=SnapshotSettings(diagnosis["snapshots"], _spike_limits()) if self.takes_snapshots else None,
            task=self.task.settings,
        )

    def run_params(self, run: Run) -> dict[str, Any]:
        """Settings of a run as a command line has them."""
        return self.run_settings(run).to_json()

    def evaluation_params(self, run: Run) -> dict[str, Any]:
        """What is evaluated of a run, and how, as a command line has it."""
        how = self.network_of(run.optimizer), self.task.settings
        return EvaluationSettings(run.fraction, run.replicate, run.optimizer, *how).to_json()

    def training_settings(self, optimizer: str) -> TrainingSettings:
        """How the runs of an optimizer are trained: the study's settings, and its own in their place."""
        own = self.config["optimizers"][optimizer].get("training", {})
        settings = {**self.config["training"], **own}
        length = next(key for key in ("steps", "epochs") if key in (own if _LENGTHS & own.keys() else settings))
        keys = (length, "batch_size", "last_batch", "validate_every", "best", "backend", "precision")
        return TrainingSettings(**{key: settings[key] for key in keys}, pack=optimizer in self.packed)

    def matched_run(self, run: Run) -> Run | None:
        """Return the run whose effective step a run is held to; None for most."""
        match = self.config["optimizers"][run.optimizer].get("match")
        return Run(run.fraction, run.replicate, match) if match else None

    def state_settings(self) -> dict[str, Any]:
        """How the training state is kept, as a command line has it; no result depends on it."""
        return asdict(StateSettings(self.config["training"]["checkpoint_every"], self.config["training"]["keep_state"]))

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

    def n_examples(self, spectra: Path) -> int:
        """Return the number of prepared examples, from their file, or a rough guess before there is one."""
        known = self.task.known_examples(self.config["data"])
        return self.task.count(spectra, self.data, self._source_bytes) if known is None else known

    def resources(
        self, rule: str, n_examples: int, run: Run | None = None, attempt: int = 1, gpu: bool = False
    ) -> dict[str, int]:
        """Return the memory (`mem_mb`, MB) and time (`runtime`, minutes) to ask for.

        Parameters
        ----------
        rule : str
        n_examples : int
            Prepared examples.
        run : Run, optional
            For rules train and evaluate; one of the pack for rule train_pack.
        attempt : int
            From 1.
        gpu : bool
            Whether the job is given one.
        """
        return resources.request(rule, self.need(rule, n_examples, run), len(self.runs), attempt, gpu)

    def seconds(self, rule: str, n_examples: int, run: Run) -> float:
        """Return the time that a training, or a job of replays, of a run is expected to take."""
        return self.need(rule, n_examples, run).seconds

    def need(self, rule: str, n_examples: int, run: Run | None = None) -> Need:
        """Return the memory and time that a job is expected to take; `run` as `resources` has it."""
        # replicates need the same, and thousands of jobs ask
        key = rule, n_examples, run and (run.fraction, run.optimizer)
        if key not in self._needs:
            self._needs[key] = self._estimated_need(rule, n_examples, run)
        return self._needs[key]

    @cached_property
    def _needs(self) -> dict[tuple, Need]:
        return {}

    def _estimated_need(self, rule: str, n_examples: int, run: Run | None) -> Need:
        need = STEPS[rule].need
        if rule == "prepare_spectra" and not self.usual:
            return _PREPARING
        if need:
            return need(self._sizes(n_examples))
        if run is None:
            raise ValueError(f"the need of {rule} depends on the run, and none is given")
        return self._need_of_run(rule, n_examples, run)

    def _need_of_run(self, rule: str, n_examples: int, run: Run) -> Need:
        """Estimate the need of a training, of a pack of them, or of an evaluation."""
        training, n_validation = self.config["training"], self._share(n_examples, "validation_fraction")
        cost = self.task.cost(self.network_of(run.optimizer), self.prepared)
        if rule == "train":
            how = {"checkpoint_every": training["checkpoint_every"], "threads": training["threads"]}
            return resources.training_need(self.run_settings(run), cost, run.n_train(n_examples), n_validation, **how)
        if rule == "train_pack":
            alone = [self.need("train", n_examples, each) for each in self.pack(run.fraction)]
            n_train, replicates = run.n_train(n_examples), self.config["study"]["replicates"]
            held = (resources.held_mb(cost, n, n_validation) for n in (n_train, min(replicates * n_train, n_examples)))
            return resources.pack_need(alone, *held)
        if rule == "replay":
            how = {"jobs": self.replay_jobs, "threads": training["threads"]}
            again = self.need("train", n_examples, run)
            replayed, n_train = self.run_settings(run), run.n_train(n_examples)
            return resources.replay_need(again, replayed, cost, self.replay_settings, n_train, **how)
        if rule == "magnify_spikes":
            again, looked_at = self.need("train", n_examples, run), self.run_settings(run)
            how = {"spikes": self.magnified_spikes, "threads": training["threads"]}
            return resources.microscope_need(again, looked_at, cost, run.n_train(n_examples), **how)
        models = 2 + 2 * self.config["diagnosis"]["snapshots"]
        n = self._share(n_examples, "test_fraction")
        # confidences are calibrated on the validation set
        n += self._share(n_examples, "validation_fraction") if self.usual else 0
        return resources.evaluation_need(cost, n_examples, n, models)

    def _share(self, n_examples: int, name: str) -> int:
        return round(self.config["subsets"][name] * n_examples)

    def _sizes(self, n_examples: int) -> Sizes:
        """What the needs of the steps after the trainings grow with."""
        groups = [
            (self.training_settings(optimizer), round(fraction * n_examples))
            for fraction, optimizer in dict.fromkeys((run.fraction, run.optimizer) for run in self.runs)
        ]
        steps = [settings.n_steps(n_train) for settings, n_train in groups]
        epochs = [settings.n_epochs(n_train) for settings, n_train in groups]
        replicates = self.config["study"]["replicates"]
        return Sizes(
            spectra=n_examples,
            tested=self._share(n_examples, "test_fraction"),
            source_bytes=self._source_bytes,
            runs=len(self.runs),
            replicates=replicates,
            groups=len(groups),
            steps=replicates * sum(steps),
            epochs=replicates * sum(epochs),
            longest_steps=max(steps),
            longest_epochs=max(epochs),
        )

    @cached_property
    def _source_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.data_files())


def _completed(schema: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with the keys of the task that a configuration names; it refuses what is no name."""
    name = config.get("task", tasks.USUAL)
    try:
        return declared(name if isinstance(name, str) else tasks.USUAL).complete(schema)
    except (ValueError, OSError) as error:
        raise StudyError(str(error)) from error


def _spike_limits() -> Limits:
    """What counts as a spike while a training goes on: the same that is counted as a tall one afterwards."""
    from quasarcurves.analysis.spikes import finding  # noqa: PLC0415  (slow to import, and few studies need it)

    return Limits(finding.EPOCH_WINDOW, finding.SETTLED_EPOCH, course=finding.BACK_RATIO, high=finding.HIGH_RATIO)


def _where_from(block: Mapping[str, Any]) -> str:
    """Return what a study says of files that are not there."""
    return f"\n{block['data_from']}" if "data_from" in block else ""


def _spec_alone(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes the optimizer, without how and on what it trains."""
    return {key: value for key, value in spec.items() if key not in ("training", "fractions", *_OF_THE_NETWORK)}


def _check_names(optimizers: Mapping[str, Any]) -> None:
    """Refuse names of optimizers that paths or tables cannot tell apart."""
    known: dict[str, str] = {}
    for name in optimizers:
        if name in _MISSING:
            raise StudyError(f"optimizers.{name}: tables take this name for a missing value, expected another one")
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise StudyError(
                f"optimizers.{name} and {other} differ by capital letters alone; some disks have one file for both"
            )


def _check_lengths(config: Mapping[str, Any]) -> None:
    """Refuse two lengths of one training, before defaults are filled in."""
    blocks = {f"optimizers.{name}.training": spec.get("training") for name, spec in config["optimizers"].items()}
    for where, block in {"training": config.get("training"), **blocks}.items():
        if block and block.keys() >= _LENGTHS:
            raise StudyError(f"{where}: epochs and steps are both given, expected one of them")
