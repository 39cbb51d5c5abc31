"""The memory and time that each job of a study is expected to take."""

from __future__ import annotations

from pathlib import Path

from quasarcurves.study import resources
from quasarcurves.study.runs import Run, Runs
from quasarcurves.study.steps import STEPS, Need, Sizes
from quasarcurves.training.cost import Cost

_PREPARING = Need(1000, 60)
"""Of a task file's `examples`: an allowance, nothing is known of it."""


class Needs:
    """What the jobs of a study take; estimates are kept, as replicates need the same and thousands of jobs ask.

    Parameters
    ----------
    runs : Runs
    prepared : Path
        The prepared examples, which may not be there yet.
    source_bytes : int
        Of the files that they are read from.
    """

    def __init__(self, runs: Runs, prepared: Path, source_bytes: int) -> None:
        self._runs, self._prepared, self._source_bytes = runs, prepared, source_bytes
        self._known: dict[tuple, Need] = {}

    def of(self, rule: str, n_examples: int, run: Run | None = None) -> Need:
        """Return the need of a job; arguments as `Study.resources` has them."""
        key = rule, n_examples, run and (run.fraction, run.optimizer)
        if key not in self._known:
            self._known[key] = self._estimate(rule, n_examples, run)
        return self._known[key]

    def _estimate(self, rule: str, n_examples: int, run: Run | None) -> Need:
        need = STEPS[rule].need
        if rule == "prepare_spectra" and not self._runs.usual:
            return _PREPARING
        if need:
            return need(self._sizes(n_examples))
        if run is None:
            raise ValueError(f"the need of {rule} depends on the run, and none is given")
        return self._of_run(rule, n_examples, run)

    def _of_run(self, rule: str, n_examples: int, run: Run) -> Need:
        """Estimate the need of a training, of a pack of them, of what looks at one again, or of an evaluation."""
        cost = self._runs.task.cost(self._runs.network_of(run.optimizer), self._prepared)
        if rule == "train":
            return self._training(n_examples, run, cost)
        if rule == "train_pack":
            return self._pack(n_examples, run, cost)
        if rule in ("replay", "magnify_spikes"):
            return self._again(rule, n_examples, run, cost)
        return self._evaluation(n_examples, cost)

    def _training(self, n_examples: int, run: Run, cost: Cost) -> Need:
        n_train, n_validation = run.n_train(n_examples), self._runs.share(n_examples, "validation_fraction")
        how = {name: self._runs.config["training"][name] for name in ("checkpoint_every", "threads")}
        return resources.training_need(self._runs.run_settings(run), cost, n_train, n_validation, **how)

    def _pack(self, n_examples: int, run: Run, cost: Cost) -> Need:
        alone = [self.of("train", n_examples, each) for each in self._runs.pack(run.fraction)]
        n_train, replicates = run.n_train(n_examples), self._runs.config["study"]["replicates"]
        n_validation = self._runs.share(n_examples, "validation_fraction")
        held = (resources.held_mb(cost, n, n_validation) for n in (n_train, min(replicates * n_train, n_examples)))
        return resources.pack_need(alone, *held)

    def _again(self, rule: str, n_examples: int, run: Run, cost: Cost) -> Need:
        """Estimate the need of going through a training again, to replay it or to look at its spikes."""
        alone, settings = self.of("train", n_examples, run), self._runs.run_settings(run)
        n_train, threads = run.n_train(n_examples), self._runs.config["training"]["threads"]
        if rule == "replay":
            replays, jobs = self._runs.replay_settings, self._runs.replay_jobs
            return resources.replay_need(alone, settings, cost, replays, n_train, jobs=jobs, threads=threads)
        spikes = self._runs.magnified_spikes
        return resources.microscope_need(alone, settings, cost, n_train, spikes=spikes, threads=threads)

    def _evaluation(self, n_examples: int, cost: Cost) -> Need:
        models = 2 + 2 * self._runs.config["diagnosis"]["snapshots"]
        n = self._runs.share(n_examples, "test_fraction")
        # confidences are calibrated on the validation set
        n += self._runs.share(n_examples, "validation_fraction") if self._runs.usual else 0
        return resources.evaluation_need(cost, n_examples, n, models)

    def _sizes(self, n_examples: int) -> Sizes:
        """What the needs of the steps after the trainings grow with."""
        groups = [
            (self._runs.training_settings(optimizer), round(fraction * n_examples))
            for fraction, optimizer in dict.fromkeys((run.fraction, run.optimizer) for run in self._runs.runs)
        ]
        steps = [settings.n_steps(n_train) for settings, n_train in groups]
        epochs = [settings.n_epochs(n_train) for settings, n_train in groups]
        replicates = self._runs.config["study"]["replicates"]
        return Sizes(
            spectra=n_examples,
            tested=self._runs.share(n_examples, "test_fraction"),
            source_bytes=self._source_bytes,
            runs=len(self._runs.runs),
            replicates=replicates,
            groups=len(groups),
            steps=replicates * sum(steps),
            epochs=replicates * sum(epochs),
            longest_steps=max(steps),
            longest_epochs=max(epochs),
        )
