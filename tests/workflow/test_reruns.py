"""What a change to a finished study reruns: exactly the steps it touches.

Snakemake is asked what it would run after each change by itself. Changes that are alike are then made together and run.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from quasarcurves.training.history import History
from support import snakemake_server

pytestmark = pytest.mark.slow

_PARTS = 4
"""Groups that the scenarios are divided into, so that processes share them."""

ROOT = Path(__file__).parents[2]
RUNS = [(fraction, optimizer) for fraction in ("0.8", "0.2") for optimizer in ("adam", "amsgrad")]

Job = tuple[str, ...]

PREPARE: set[Job] = {("prepare_spectra",)}
DRAW: set[Job] = {("draw_subset", "0.8", "0"), ("draw_subset", "0.2", "0")}
COLLECT: set[Job] = {("collect_histories",)}
SPIKES: set[Job] = {("find_spikes",), ("diagnose_spikes",), ("write_answer",)}
FRACTIONS: set[Job] = {("plot_loss_by_fraction", "adam"), ("plot_loss_by_fraction", "amsgrad")}
OPTIMIZERS: set[Job] = {("plot_loss_by_optimizer",)}
DETECTED: set[Job] = {
    (rule, optimizer) for rule in ("plot_detected_spikes", "plot_train_validation") for optimizer in ("adam", "amsgrad")
}
OF_SPIKES: set[Job] = DETECTED | {("plot_spike_statistics",)}
STOPPING: set[Job] = {("compare_stopping",)}
JUDGE: set[Job] = {("judge_convergence",), ("compare_optimizers",), ("write_answer",)}
CURES: set[Job] = {("plot_cures",)}
ALIGNED: set[Job] = {("plot_aligned", "adam"), ("plot_aligned", "amsgrad")}
PAGE: set[Job] = {("write_page",)}
TABLES: set[Job] = {("show_tables",)} | PAGE
TEST_LOSSES: set[Job] = {("collect_test_losses",)}
PURITY: set[Job] = {("plot_purity_completeness", "adam"), ("plot_purity_completeness", "amsgrad")}
GALLERY: set[Job] = {("choose_examples",), ("plot_gallery", "adam"), ("plot_gallery", "amsgrad")}
LEARNING_CURVES: set[Job] = {("fit_learning_curves",), ("plot_learning_curve",), ("write_answer",)}
METRICS: set[Job] = {("compute_metrics",)} | PURITY | LEARNING_CURVES
CALIBRATION: set[Job] = {("measure_calibration",), ("plot_calibration", "adam"), ("plot_calibration", "amsgrad")}
LOCATED: set[Job] = {("locate_errors",), ("plot_errors", "adam"), ("plot_errors", "amsgrad")}
SCORES = METRICS | CALIBRATION | LOCATED
OF_HISTORIES = COLLECT | SPIKES | FRACTIONS | OPTIMIZERS | OF_SPIKES | JUDGE | CURES | ALIGNED | SCORES | TABLES
OF_PREDICTIONS = TEST_LOSSES | STOPPING | JUDGE | CURES | SCORES | GALLERY | TABLES
DOWNSTREAM = OF_HISTORIES | OF_PREDICTIONS


def trainings(runs=RUNS, replicate="0") -> set[Job]:
    """Trainings, and what reads their models."""
    return {(rule, fraction, replicate, optimizer) for rule in ("train", "evaluate") for fraction, optimizer in runs}


def plots_of(optimizer: str) -> set[Job]:
    return {
        (rule, optimizer)
        for rule in (
            "plot_loss_by_fraction",
            "plot_train_validation",
            "plot_detected_spikes",
            "plot_aligned",
            "plot_purity_completeness",
            "plot_calibration",
            "plot_errors",
            "plot_gallery",
        )
    }


TRAIN = trainings()
ALL = PREPARE | DRAW | TRAIN | DOWNSTREAM


@dataclass
class Project:
    """A copy of the project's workflow with a study that has run in it."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results" / "smoke"

    @property
    def library(self) -> Path:
        return self.folder / "workflow" / "quasarcurves"

    @property
    def config(self) -> dict:
        return yaml.safe_load((self.folder / "study.yaml").read_text())

    def configure(self, change: Callable[[dict], object]) -> None:
        config = self.config
        change(config)
        (self.folder / "study.yaml").write_text(yaml.safe_dump(config))

    def snakemake(self, *arguments: str) -> str:
        options = ["--workflow-profile", "none", "--configfile", "study.yaml", "--cores", "2"]
        result = snakemake_server.snakemake([*options, *arguments], self.folder)
        assert result.returncode == 0, result.stdout
        return result.stdout

    def train(self) -> None:
        """Run the trainings alone, where a test asks nothing of what comes after."""
        self.snakemake("train_all")

    def quasarcurves(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "quasarcurves.cli", *arguments, "--configfile", "study.yaml"]
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "workflow")}
        result = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert not result.stderr, result.stderr
        return result.stdout

    def log(self, fraction: str, optimizer: str) -> str:
        return (self.results / "logs" / "train" / f"f{fraction}_r0" / f"{optimizer}.log").read_text()

    def history(self, fraction: str, optimizer: str) -> History:
        return History.load(self.results / "runs" / f"f{fraction}_r0" / optimizer / "history.h5")

    def add_code(self, module: str, code: str = "\n\n_CHANGED = 1\n") -> None:
        with (self.folder / "workflow" / module).open("a") as file:
            file.write(code)

    def epochs_computed(self) -> dict[Job, int]:
        """Epochs that the last training of each run really went through."""
        found = {}
        for fraction, optimizer in RUNS:
            log = self.log(fraction, optimizer)
            found[fraction, optimizer] = int(re.findall(r"(\d+) epochs computed", log)[-1])
        return found


def jobs_of(output: str) -> set[Job]:
    """Jobs that Snakemake's output speaks of: rule and wildcards."""
    found = set()
    for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", output, re.MULTILINE):
        wildcards = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
        values = [part.split("=")[1] for part in wildcards[1].split(", ")] if wildcards else []
        if rule != "all":
            found.add((rule, *values))
    return found


def run_and_count(project: Project) -> set[Job]:
    """Ask what would run, run it, and check that it is the same, and that nothing is left to do."""
    planned = jobs_of(project.snakemake("-n"))
    done = jobs_of(project.snakemake())
    assert done == planned
    assert "Nothing to be done" in project.snakemake("-n")
    return done


@pytest.fixture
def project(finished, tmp_path) -> Project:
    """Return a copy of the finished smoke study, with the age of every file, beside a copy of the workflow."""
    folder = tmp_path / "project"
    shutil.copytree(
        finished, folder, symlinks=True, ignore=lambda at, _: {"locks"} if at.endswith(".snakemake") else ()
    )
    shutil.copy(ROOT / "Snakefile", folder)
    shutil.copytree(ROOT / "workflow", folder / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "envs", folder / "envs")
    shutil.copy(ROOT / "workflow" / "studies" / "smoke.yaml", folder / "study.yaml")
    return Project(folder)


def test_the_finished_study_has_run_every_job(project):
    log = (project.results / "logs" / "snakemake.log").read_text()
    assert jobs_of(log) == ALL


def touch_everything(project: Project) -> None:
    for path in [
        *(project.folder / "workflow").rglob("*"),
        project.folder / "Snakefile",
        project.folder / "study.yaml",
    ]:
        os.utime(path)


def copy_without_ages(project: Project) -> None:
    """Copy as `cp -r` does: the files are as old as the order of copying has it."""
    elsewhere = project.folder.parent / "elsewhere"
    shutil.copytree(project.folder, elsewhere, symlinks=True, copy_function=shutil.copyfile)
    project.folder = elsewhere


def edit_without_effect(project: Project) -> None:
    """Comments, docstrings, layout and type hints in every module of the library."""
    for path in sorted(project.library.rglob("*.py")):
        source = re.sub(r'"""', '"""Said otherwise. ', path.read_text(), count=1)
        source = source.replace("from __future__ import annotations\n", "from __future__ import annotations\n\n# why\n")
        source = re.sub(r"\) -> None:", ") -> object:", source)
        path.write_text(source + "\n\n# the end\n")


def reword_log_lines(project: Project) -> None:
    """Log lines and texts of exceptions in every module of the library and every script; one line more in each."""
    reworded = 0
    for path in sorted((project.folder / "workflow").rglob("*.py")):
        source, here = re.subn(r'(logger\.\w+\(|raise \w+\(f?)"', r'\1"in other words: ', path.read_text())
        more = 'import logging\nlogger = logging.getLogger(__name__)\nlogger.debug("imported")\n'
        path.write_text(f"{source}\n{more}")
        reworded += here
    assert reworded > 50


def reorder_and_rewrite(project: Project) -> None:
    config = project.config
    text = yaml.safe_dump(dict(reversed(config.items())), sort_keys=False)
    assert "learning_rate: 0.001" in text
    assert "batch_size: 32" in text
    text = text.replace("learning_rate: 0.001", "learning_rate: 1e-3").replace("batch_size: 32", "batch_size: 32.0")
    (project.folder / "study.yaml").write_text(text)


def set_optimizer(name: str, **arguments) -> Callable[[Project], None]:
    return lambda project: project.configure(lambda c: c["optimizers"].setdefault(name, {}).update(arguments))


def set_fractions(*fractions: float) -> Callable[[Project], None]:
    return lambda project: project.configure(lambda c: c["subsets"].update(fractions=list(fractions)))


def change_code(module: str) -> Callable[[Project], None]:
    return lambda project: project.add_code(module)


def change_formula(module: str, old: str, new: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        path = project.library / module
        source = path.read_text()
        assert source.count(old) == 1
        path.write_text(source.replace(old, new))

    return change


def delete(name: str) -> Callable[[Project], None]:
    return lambda project: (project.results / name).unlink()


SCENARIOS = {
    "nothing": (lambda project: None, set()),
    "every file touched, as a git pull does": (touch_everything, set()),
    "comments, docstrings, layout, type hints": (edit_without_effect, set()),
    "log lines": (reword_log_lines, set()),
    "how a training is reported": (change_code("quasarcurves/training/progress.py"), set()),
    "a figure module": (change_code("quasarcurves/figures/loss_by_optimizer.py"), OPTIMIZERS | PAGE),
    "a figure's style in the config": (
        lambda p: p.configure(lambda c: c.update(figures={"loss_by_optimizer": {"loss_range": [0.1, 10]}})),
        OPTIMIZERS | PAGE,
    ),
    "spikes": (change_code("quasarcurves/analysis/spikes/finding.py"), DOWNSTREAM),
    "alignment of spikes": (
        change_formula("analysis/causes/alignment.py", "CLEAR_AFTER = 150", "CLEAR_AFTER = 140"),
        {("diagnose_spikes",), ("write_answer",)} | ALIGNED | TABLES,
    ),
    "failed seeds": (change_formula("quasarnet/analysis/seeds.py", "SIGMAS = 5.0", "SIGMAS = 4.0"), METRICS | TABLES),
    "the loss": (
        change_formula("quasarnet/loss_formula.py", "total(y) + EPSILON", "total(y) + 2 * EPSILON"),
        TRAIN | DOWNSTREAM,
    ),
    "the training loop": (change_code("quasarcurves/training/loop.py"), TRAIN | DOWNSTREAM),
    "optimizers": (change_code("quasarcurves/training/optimizers/__init__.py"), TRAIN | DOWNSTREAM),
    "the network": (change_code("quasarcurves/quasarnet/network.py"), TRAIN | DOWNSTREAM),
    "whose numbers the figure of purity shows": (
        lambda p: p.configure(lambda c: c.update(figures={"purity_completeness": {"published": "farr2020"}})),
        PURITY | PAGE,
    ),
    "the answer": (
        change_code("quasarcurves/analysis/answer/why.py"),
        {("write_answer",)} | TABLES,
    ),
    "learning curves": (change_code("quasarcurves/analysis/learning_curve/families.py"), LEARNING_CURVES | TABLES),
    "a target": (
        lambda p: p.configure(lambda c: c.update(learning_curve={"targets": {"test_loss": 0.5}})),
        LEARNING_CURVES | TABLES,
    ),
    "evaluation": (
        change_code("quasarcurves/steps/evaluation.py"),
        {job for job in TRAIN if job[0] == "evaluate"} | OF_PREDICTIONS,
    ),
    "a source that is not used": (change_code("quasarcurves/spectra/sources/sdss.py"), set()),
    "study.py": (change_code("quasarcurves/study/study.py"), set()),
    "the command line": (change_code("quasarcurves/terminal/command.py"), set()),
    "the simulator": (change_code("quasarcurves/spectra/sources/simulated/quasars.py"), ALL),
    "a learning rate": (
        set_optimizer("adam", learning_rate=2e-3),
        trainings([("0.8", "adam"), ("0.2", "adam")]) | DOWNSTREAM,
    ),
    "an optimizer added": (
        set_optimizer("lion", **{"class": "Lion", "learning_rate": 1e-4}),
        trainings([("0.8", "lion"), ("0.2", "lion")]) | DOWNSTREAM | plots_of("lion"),
    ),
    "a fraction added": (
        set_fractions(0.8, 0.4, 0.2),
        {("draw_subset", "0.4", "0")} | trainings([("0.4", "adam"), ("0.4", "amsgrad")]) | DOWNSTREAM,
    ),
    "a replicate added": (
        lambda p: p.configure(lambda c: c["study"].update(replicates=2)),
        {("draw_subset", "0.8", "1"), ("draw_subset", "0.2", "1")} | trainings(replicate="1") | DOWNSTREAM,
    ),
    "snapshots written out as none": (lambda p: p.configure(lambda c: c.update(diagnosis={"snapshots": 0})), set()),
    "how often the state is saved": (
        lambda p: p.configure(lambda c: c["training"].update(checkpoint_every=7)),
        set(),
    ),
    "config keys reordered, numbers written differently": (reorder_and_rewrite, set()),
    "results and .snakemake copied elsewhere": (copy_without_ages, set()),
    "a history deleted": (delete("runs/f0.8_r0/adam/history.h5"), trainings([("0.8", "adam")]) | DOWNSTREAM),
    "a model deleted": (delete("runs/f0.2_r0/amsgrad/model.keras"), trainings([("0.2", "amsgrad")]) | DOWNSTREAM),
    "a figure deleted": (delete("figures/loss_by_optimizer.svg"), OPTIMIZERS | PAGE),
    "predictions deleted": (
        delete("runs/f0.8_r0/adam/predictions.h5"),
        {("evaluate", "0.8", "0", "adam")} | OF_PREDICTIONS,
    ),
    "the table deleted": (delete("epochs.csv"), OF_HISTORIES),
    "the spectra deleted": (delete("data/spectra.h5"), ALL),
}


TOGETHER = {
    "all that changes no result": [name for name, (_, expected) in SCENARIOS.items() if not expected],
    "a little of the analysis": ["a figure module", "alignment of spikes", "a target", "a figure deleted"],
    "runs": [
        "a learning rate",
        "an optimizer added",
        "a model deleted",
        "evaluation",
        "spikes",
        "predictions deleted",
        "the table deleted",
    ],
    "everything": ["the simulator", "the spectra deleted"],
}
"""Scenarios that are run, all those of a list in one study."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.xdist_group(f"scenarios {i % _PARTS}")) for i, name in enumerate(SCENARIOS)],
)
def test_plan(project, name):
    change, expected = SCENARIOS[name]
    change(project)
    output = project.snakemake("-n")
    assert jobs_of(output) == expected
    assert ("Nothing to be done" in output) == (not expected)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.xdist_group(f"run {name}")) for name in TOGETHER],
)
def test_run(project, name):
    scenarios = [SCENARIOS[scenario] for scenario in TOGETHER[name]]
    for change, _ in scenarios:
        change(project)
    assert run_and_count(project) == set().union(*(expected for _, expected in scenarios))


def test_code_put_back_reruns_nothing(project):
    path = project.library / "training" / "loop.py"
    source = path.read_text()
    project.add_code("quasarcurves/training/loop.py")
    assert jobs_of(project.snakemake("-n")) == TRAIN | DOWNSTREAM
    path.write_text(source)
    assert "Nothing to be done" in project.snakemake("-n")


def test_removed_runs_show_nowhere_and_can_be_pruned(project):
    project.configure(lambda c: c["optimizers"].pop("amsgrad"))
    assert run_and_count(project) == DOWNSTREAM - plots_of("amsgrad")
    for table in ("epochs.csv", "runs.csv"):
        assert set(pd.read_csv(project.results / table)["optimizer"]) == {"adam"}
    assert "amsgrad" not in (project.results / "figures" / "loss_by_optimizer.svg").read_text()
    listed = project.quasarcurves("orphans")
    left = {str(path.relative_to(project.folder)) for path in project.results.rglob("*amsgrad*")}
    assert len(left) >= 10
    top = {path for path in left if not any(path.startswith(f"{other}/") for other in left)}
    assert {line.split()[-1] for line in listed.splitlines()[:-1]} == top
    assert "removed" in project.quasarcurves("prune", "--yes")
    assert not list(project.results.rglob("*amsgrad*"))
    assert "0 files" in project.quasarcurves("orphans")
    states = list(project.results.glob("state/*/*/*/*.h5"))
    assert f"{len(states)} states of finished trainings" in project.quasarcurves("prune", "--yes", "--states")
    assert states
    assert not any(path.exists() for path in states)
    assert "Nothing to be done" in project.snakemake("-n")


def test_removed_fraction_can_be_pruned(project):
    set_fractions(0.8)(project)
    assert jobs_of(project.snakemake("-n")) == DOWNSTREAM
    project.snakemake("results/smoke/runs.csv")
    assert set(pd.read_csv(project.results / "runs.csv")["fraction"]) == {0.8}
    project.quasarcurves("prune", "--yes")
    assert not list(project.results.rglob("*f0.2_r0*"))


def test_more_epochs_go_on(project):
    """60 -> 120 computes 60 epochs, and gives what an uninterrupted training of 120 gives."""
    project.configure(lambda c: c["training"].update(epochs=120))
    assert jobs_of(project.snakemake("-n")) == TRAIN | DOWNSTREAM
    project.train()
    assert set(project.epochs_computed().values()) == {60}
    extended = project.history("0.8", "adam")
    shutil.rmtree(project.results / "state")
    (project.results / "runs" / "f0.8_r0" / "adam" / "history.h5").unlink()
    project.train()
    assert project.epochs_computed()["0.8", "adam"] == 120
    assert_same_record(extended, project.history("0.8", "adam"))


def test_fewer_epochs_come_back_to_a_kept_state(project):
    before = {run: project.history(*run) for run in RUNS}
    project.configure(lambda c: c["training"].update(epochs=120))
    project.train()
    project.configure(lambda c: c["training"].update(epochs=60))
    assert jobs_of(project.snakemake("-n")) == TRAIN | DOWNSTREAM
    project.train()
    assert set(project.epochs_computed().values()) == {0}
    for run in RUNS:
        assert_same_record(before[run], project.history(*run))
    project.configure(lambda c: c["training"].update(epochs=30))
    project.train()
    assert set(project.epochs_computed().values()) == {30}
    assert "no state of at most 30 epochs is kept, training from the start" in project.log("0.8", "adam")


def test_schedule_over_the_whole_training_starts_again(project):
    set_optimizer("adam", schedule={"class": "CosineDecay"})(project)
    project.train()
    project.configure(lambda c: c["training"].update(epochs=90))
    assert jobs_of(project.snakemake("-n")) == TRAIN | DOWNSTREAM
    project.train()
    computed = project.epochs_computed()
    assert computed["0.8", "adam"] == 90
    assert computed["0.8", "amsgrad"] == 30


def test_a_run_held_to_another_follows_it(project):
    """It is trained after the other and again with it, and goes on with it; nothing else does."""
    project.configure(lambda c: c["subsets"].update(fractions=[0.2]))
    set_optimizer("held", **{"class": "Adam", "match": "amsgrad"})(project)
    held, other = trainings([("0.2", "held")]), trainings([("0.2", "amsgrad")])
    assert jobs_of(project.snakemake("-n")) == held | DOWNSTREAM | plots_of("held")
    project.train()
    steps = [project.history("0.2", name).steps["effective_step_q50"] for name in ("held", "amsgrad")]
    np.testing.assert_allclose(*steps, rtol=1e-4)
    set_optimizer("amsgrad", learning_rate=2e-3)(project)
    assert jobs_of(project.snakemake("-n")) == held | other | DOWNSTREAM | plots_of("held")
    project.train()
    assert "Nothing to be done" in project.snakemake("-n", "train_all")
    project.configure(lambda c: c["training"].update(epochs=90))
    project.train()
    assert "30 epochs computed" in project.log("0.2", "held")
    steps = [project.history("0.2", name).steps["effective_step_q50"] for name in ("held", "amsgrad")]
    np.testing.assert_allclose(*steps, rtol=1e-4)


def test_input_files_count_by_content(project, made_up):
    """Touching an input reruns nothing, changing it reruns all."""
    from astropy.io import fits

    for name in ("data", "truth"):
        shutil.copyfile(made_up / "boss_like" / f"{name}.fits", project.folder / f"{name}.fits")
    data = {"source": "quasarnet_fits", "spectra": ["data.fits"], "truth": ["truth.fits"]}
    project.configure(lambda c: c.update(data=data))
    project.configure(lambda c: c["subsets"].update(fractions=[0.02], test_fraction=0.9))
    project.configure(lambda c: c["training"].update(epochs=2))
    project.snakemake()
    os.utime(project.folder / "data.fits")
    os.utime(project.folder / "truth.fits")
    assert "Nothing to be done" in project.snakemake("-n")
    with fits.open(project.folder / "truth.fits", mode="update") as hdus:
        hdus[1].data["Z_VI"][100:] += 0.001
    mine = {("draw_subset", "0.02", "0")} | trainings([("0.02", "adam"), ("0.02", "amsgrad")])
    assert jobs_of(project.snakemake("-n")) == PREPARE | mine | DOWNSTREAM


def test_damaged_files_are_found_named_and_made_again(project):
    names = ("runs/f0.8_r0/adam/model.keras", "epochs.csv", "figures/loss_by_optimizer.pdf")
    for name in names:
        path = project.results / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    command = [sys.executable, "-m", "quasarcurves.cli", "verify", "--configfile", "study.yaml"]
    found = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    lines = {f"results/smoke/{name}: its content has changed since it was made" for name in names}
    assert set(found.stdout.splitlines()[: len(names)]) == lines
    assert f"{len(names)} damaged" in found.stdout
    project.quasarcurves("verify", "--remove")
    assert run_and_count(project) == trainings([("0.8", "adam")]) | DOWNSTREAM
    assert "every file is as it was made" in project.quasarcurves("verify")


def test_why_names_what_has_changed(project):
    project.add_code("quasarcurves/quasarnet/loss.py")
    set_optimizer("adam", learning_rate=5e-4)(project)
    lines = project.quasarcurves("why", "f0.8_r0/adam").splitlines()
    changed = {" ".join(line.split()[:2]) for line in lines if "NOW" in line}
    assert changed == {"code quasarcurves.quasarnet.loss", "setting optimizer_spec.learning_rate"}
    assert any(line.startswith("version keras") for line in lines)
    assert any(line.startswith("data results/smoke/data/spectra.h5") for line in lines)


def assert_same_record(one: History, other: History) -> None:
    for group in ("steps", "epochs"):
        columns, others = getattr(one, group), getattr(other, group)
        assert columns.keys() == others.keys()
        for name in columns:
            if name != "seconds":
                np.testing.assert_array_equal(columns[name], others[name], err_msg=name)
