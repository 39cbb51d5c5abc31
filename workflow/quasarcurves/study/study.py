"""Study: the validated configuration, the places of its files and the arguments of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from quasarcurves import tasks
from quasarcurves.files import workflow_root
from quasarcurves.study import checks, reading, resources
from quasarcurves.study.needs import Needs
from quasarcurves.study.runs import Run, Runs
from quasarcurves.study.schema import StudyError, validate
from quasarcurves.study.steps import FILES, WILDCARDS, Need
from quasarcurves.tasks.declared import declared
from quasarcurves.training import optimizer_specs
from quasarcurves.training.cost import Cost
from quasarcurves.training.run_settings import EvaluationSettings
from quasarcurves.training.settings import StateSettings

_BACKENDS = "quasarcurves.training.backends"

SCHEMA = workflow_root() / "workflow" / "schemas" / "config.schema.yaml"


@dataclass(frozen=True)
class Study(Runs):
    """A study that was checked and completed; make one with `from_config` or `load`."""

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
        try:
            checks.check(study, config)
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

    @property
    def results(self) -> Path:
        """Folder of its results, relative to where the workflow runs."""
        return Path("results", self.name)

    @property
    def log(self) -> Path:
        """Log of Snakemake, where `quasarcurves run` calls it."""
        return self.results / "logs" / "snakemake.log"

    @property
    def prepared(self) -> Path:
        """The file of prepared examples."""
        return self.results / FILES["spectra"].path

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
        folder = str(self.results)  # paths one by one would take a large study seconds
        return [f"{folder}/{pattern.format(**each)}" for each in self.wildcards(per)]

    @property
    def data(self) -> dict[str, Any]:
        """The `data` block as the task prepares examples from it."""
        return self.task.data(self.config, self.seed)

    def data_files(self) -> list[Path]:
        """Files that the examples are read from; none where they are simulated."""
        return self.task.files(self.data)

    def n_examples(self, spectra: Path) -> int:
        """Return the number of prepared examples, from their file, or a rough guess before there is one."""
        known = self.task.known_examples(self.config["data"])
        return self.task.count(spectra, self.data, self._source_bytes) if known is None else known

    @property
    def preparing_modules(self) -> tuple[str, ...]:
        """Modules that preparing the examples imports by names known only then."""
        return tasks.module_of("prepare", self.task.settings), *self.task.data_modules(self.data)

    @property
    def evaluating_modules(self) -> tuple[str, ...]:
        """Modules that evaluating a model imports by names known only then."""
        backend = () if self.usual else (f"{_BACKENDS}.{self.backend}",)
        return tasks.module_of("evaluate", self.task.settings), *backend

    def training_modules(self, *runs: Run) -> tuple[str, ...]:
        """Return the modules that training some runs together imports by names known only then: sorted."""
        specs = [self.config["optimizers"][run.optimizer] for run in runs]
        own = {kind.module for kind in map(optimizer_specs.own_class, specs) if kind}
        backend = f"{_BACKENDS}.{'packed' if len(runs) > 1 else self.backend}"
        by_start = {name for run in runs for name in self.task.training_modules(self.network_of(run.optimizer))}
        return tasks.module_of("train", self.task.settings), backend, *sorted(own | by_start)

    def subset_params(self, fraction: float, replicate: int) -> dict[str, Any]:
        """Arguments of `subsets.draw`."""
        keys = ("test_fraction", "validation_fraction", "scheme")
        settings = {key: self.config["subsets"][key] for key in keys}
        return {"fraction": fraction, "replicate": replicate, "seed": self.seed, **settings}

    def run_params(self, run: Run) -> dict[str, Any]:
        """Settings of a run as a command line has them."""
        return self.run_settings(run).to_json()

    def evaluation_params(self, run: Run) -> dict[str, Any]:
        """What is evaluated of a run, and how, as a command line has it."""
        how = self.network_of(run.optimizer), self.task.settings
        return EvaluationSettings(run.fraction, run.replicate, run.optimizer, *how).to_json()

    def state_settings(self) -> dict[str, Any]:
        """How the training state is kept, as a command line has it; no result depends on it."""
        return asdict(StateSettings(self.config["training"]["checkpoint_every"], self.config["training"]["keep_state"]))

    @cached_property
    def cost(self) -> Cost:
        """What an example costs runs whose network is the study's; those of an optimizer may freeze layers of it."""
        return self.task.cost(self.network, self.prepared)

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
        return self._needs.of(rule, n_examples, run)

    @cached_property
    def _needs(self) -> Needs:
        return Needs(self, self.prepared, self._source_bytes)

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


def _where_from(block: Mapping[str, Any]) -> str:
    """Return what a study says of files that are not there."""
    return f"\n{block['data_from']}" if "data_from" in block else ""
