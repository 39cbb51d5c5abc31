"""The table of steps: what each rule of the workflow reads, makes and needs. Rules, requests and the report follow it.

A new table or figure is one line here, beside the module that makes it (CONTRIBUTING.md has the recipes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

PLACES = {
    "study": "",
    "subset": "f{fraction}_r{replicate}",
    "run": "f{fraction}_r{replicate}/{optimizer}",
    "replayed": "f{fraction}_r{replicate}/{optimizer}",
    "forks": "f{fraction}_r{replicate}/{optimizer}/{group}",
    "fraction": "f{fraction}",
    "optimizer": "{optimizer}",
}
"""What a step may be done for, and the name of each job's log, benchmark and receipt."""

WILDCARDS = {
    "study": (),
    "subset": ("fraction", "replicate"),
    "run": ("fraction", "replicate", "optimizer"),
    "replayed": ("fraction", "replicate", "optimizer"),
    "forks": ("fraction", "replicate", "optimizer", "group"),
    "fraction": ("fraction",),
    "optimizer": ("optimizer",),
}

FIGURE_FORMATS = ("svg", "pdf", "png")


class Need(NamedTuple):
    """What a job uses where nothing else runs: megabytes, and seconds on one core (a training on those it has)."""

    mb: float
    seconds: float


@dataclass(frozen=True)
class Sizes:
    """What the needs of a study's steps grow with.

    Parameters
    ----------
    spectra, tested : int
        Spectra in all, and in the test set.
    source_bytes : int
        Of the files that spectra are read from.
    runs, replicates : int
    groups : int
        Pairs of a fraction and an optimizer.
    steps, epochs : int
        Of all runs together.
    longest_steps, longest_epochs : int
        Of the longest run.
    """

    spectra: int
    tested: int
    source_bytes: int
    runs: int
    replicates: int
    groups: int
    steps: int
    epochs: int
    longest_steps: int
    longest_epochs: int

    @property
    def group_steps(self) -> int:
        """Steps of all replicates of one optimizer and fraction, at most."""
        return self.longest_steps * self.replicates

    @property
    def scored(self) -> int:
        """Test spectra of all runs."""
        return self.tested * self.runs


class File(NamedTuple):
    """A file that a step makes.

    Attributes
    ----------
    name : str
        The option of the scripts that read or make it.
    path : str
        Below the results, with the wildcards of the step.
    text : str
        What the report says of it; empty for what the report does not show.
    when : str
        The property of a study without which there is no such file; always there if empty.
    """

    name: str
    path: str
    text: str = ""
    when: str = ""


class Figure(NamedTuple):
    """How the report lists a figure: under `category`, as what it `shows`."""

    shows: str
    category: str


@dataclass(frozen=True)
class Step:
    """A rule of the workflow.

    Parameters
    ----------
    name : str
        Of the rule and of its script; a figure's is plot_ and the name of its module.
    need : callable, optional
        (Sizes) -> Need. Trainings and evaluations have estimates of their own.
    per : str
        What a job is done for, a key of `PLACES`.
    reads : tuple of str
        Names of files that other steps make. A step for the whole study reads those of all runs.
    makes : tuple of File
    light : bool
        Whether it takes seconds, so that on a cluster it runs beside Snakemake instead of being submitted.
    figure : Figure, optional
        Given where the step draws one.
    room : str
        The package that holds the module of its figure.
    through : mapping of str to str
        The step whose receipt speaks of a file that is read, where that is not the step that makes it.
    together : str
        The one option that names all files read, if they are alike; each has its own otherwise.
    when : str
        The property of a study without which the step is not done; always done if empty.
    figures : bool
        Whether it reads the figures of all steps as well, as PNG.
    """

    name: str
    need: Callable[[Sizes], Need] | None = None
    per: str = "study"
    reads: tuple[str, ...] = ()
    makes: tuple[File, ...] = ()
    light: bool = False
    figure: Figure | None = None
    room: str = "figures"
    through: Mapping[str, str] = field(default_factory=dict)
    together: str = ""
    when: str = ""
    figures: bool = False

    @property
    def module(self) -> str:
        """Name of the module that draws its figure."""
        return f"quasarcurves.{self.room}.{self.name.removeprefix('plot_')}"

    def about(self, kind: str, suffix: str) -> str:
        """Return the file of a kind that each job has beside what it makes, its log say, with the step's wildcards."""
        return "/".join(filter(None, (kind, self.name, PLACES[self.per]))) + suffix


def _table(name: str, text: str = "", when: str = "") -> File:
    return File(name, f"{name}.csv", text, when)


def _plot(
    figure: str, reads: tuple[str, ...], shows: str, category: str, need: Callable[[Sizes], Need], per: str = "study",
    when: str = "", room: str = "figures",
) -> Step:  # fmt: skip
    """Return the step that draws a figure: its file has the name of the figure and of what it is drawn for."""
    place = "_" + PLACES[per] if PLACES[per] else ""
    files = tuple(File("figures", f"figures/{figure}{place}.{suffix}") for suffix in FIGURE_FORMATS)
    return Step(
        f"plot_{figure}", need, per, reads, files, light=True, figure=Figure(shows, category), room=room, when=when
    )


_RUN = f"runs/{PLACES['run']}"
_ALL_PREDICTIONS = {"predictions": "collect_test_losses"}
"""The receipt of that step speaks of the predictions of all runs: thousands of receipts more would slow every start."""
_AS_DRAWN = {"spectra": "draw_subset"}
_AS_TRAINED = dict.fromkeys(("spectra", "subset"), "train")
"""A receipt speaks of what its job has read, too."""

_STEPS = (
    Step("prepare_spectra", lambda s: Need(75 + 0.025 * min(s.spectra, 4096), 2 + 1e-4 * s.spectra + 1e-7 * s.source_bytes),
        makes=(File("spectra", "data/spectra.h5"),)),
    Step("draw_subset", lambda s: Need(52 + 7e-5 * s.spectra, 1 + 1e-6 * s.spectra), per="subset", light=True,
        reads=("spectra",), makes=(File("subset", f"data/subsets/{PLACES['subset']}.h5"),)),
    Step("train", per="run", reads=("spectra", "subset"), through=_AS_DRAWN, makes=(
        File("history", f"{_RUN}/history.h5"), File("model", f"{_RUN}/model.keras"), File("best", f"{_RUN}/best.keras"),
        File("snapshots", f"{_RUN}/snapshots.h5", when="takes_snapshots"))),
    # what it makes is what `train` makes, of all runs of a fraction that are trained together
    Step("train_pack", per="fraction", reads=("spectra", "subset"), when="packs"),
    Step("replay", per="forks", reads=("spectra", "subset", "history"), through=_AS_TRAINED, when="replays", makes=(
        File("fork_replays", f"{_RUN}/replays/{{group}}.csv"), File("forks", f"{_RUN}/replays/forks_{{group}}.csv"))),
    Step("magnify_spikes", per="replayed", reads=("spectra", "subset", "history"), through=_AS_TRAINED,
        when="magnifies_spikes", makes=(
        File("magnified_steps", f"{_RUN}/microscope/steps.csv"), File("magnified_spectra", f"{_RUN}/microscope/spectra.csv"))),
    Step("collect_microscopes", lambda s: Need(150, 2 + 0.02 * s.runs), light=True,
        reads=("magnified_steps", "magnified_spectra"), when="magnifies_spikes", makes=(
        _table("microscope"),
        _table("spike_spectra", "a row per sustained spike and example that carries it, the largest share of the rise first: which one, its losses before, at the onset and at the peak; ``n_half`` of them make up half of the rise. It is no list of wrong labels: with 1 % of the labels of a simulated set made wrong, 3 of the 37 carriers of one spike had one, and none of the 6 of another."))),
    Step("evaluate", per="run", reads=("spectra", "subset", "model", "best", "snapshots"), through=_AS_TRAINED,
        makes=(File("predictions", f"{_RUN}/predictions.h5"),)),
    Step("collect_histories", lambda s: Need(155 + 6e-4 * s.longest_epochs + 0.03 * s.runs, 3 + 3e-6 * s.steps),
        reads=("history",), makes=(
        File("histories", "histories.h5"), _table("epochs"),
        _table("runs", "a row per run: sizes, last and lowest losses, highest excursion, whether and where it diverged."))),
    Step("collect_test_losses", lambda s: Need(145 + 1e-5 * s.tested, 2 + 0.01 * s.runs + 1e-7 * s.scored), light=True,
        reads=("predictions",), makes=(
        _table("test_losses", "the loss of each run's final and best model over the test set."),)),
    Step("compute_metrics", lambda s: Need(153 + 7e-3 * s.tested + 0.02 * s.runs, 2 + 0.7 * s.runs + 3e-4 * s.scored),
        reads=("spectra", "runs", "predictions"), through=_ALL_PREDICTIONS, makes=(
        _table("metrics", when="usual"),
        _table("test_metrics", "the same per run, with 95 % intervals over the objects of the test set."),
        _table("test_summary", "a row per fraction, optimizer, model, number of lines and sample of the test set: purity, completeness, their crossing point, dv, broad absorption lines; medians and spread over replicates, and which replicates have failed.", when="usual"),
        _table("dv_histogram", when="usual"))),
    Step("measure_spike_cost", lambda s: Need(150 + 2e-4 * s.tested, 2 + 0.2 * s.runs + 1e-5 * s.scored),
        reads=("spectra", "predictions"), through=_ALL_PREDICTIONS, when="takes_snapshots", makes=(
        _table("spike_cost", "a row per run and spike: what the models before, at the peak and at the end are worth on the test set."),
        _table("spike_cost_summary", "the comparison per optimizer, in plain words too (``sentence``)."))),
    Step("compare_stopping", lambda s: Need(153 + 7e-3 * s.tested, 2 + 0.1 * s.runs + 1e-4 * s.scored),
        reads=("spectra", "predictions"), through=_ALL_PREDICTIONS, makes=(
        _table("stopping", "a row per run and metric: is the model that the validation set calls the best better than the last, on the same test objects?"),)),
    Step("choose_examples", lambda s: Need(155 + 2e-3 * s.tested, 2 + 0.05 * s.runs + 5e-6 * s.scored), light=True,
        reads=("spectra", "predictions"), through=_ALL_PREDICTIONS, when="usual", makes=(
        _table("confusion", "a row per run, model, number of lines and class: test spectra called quasars with a right redshift or a wrong one, and not called."),
        _table("error_counts", "a row per run, model and kind of error: missed quasars, stars and galaxies called quasars, wrong redshifts, wrong on broad absorption, and among how many spectra."),
        _table("examples", "the worst spectra of each kind of error, of each optimizer at its largest size: which, their redshifts, confidences per line, which line was taken for which, and how many replicates make the same error."),
        _table("redshift_counts"))),
    Step("choose_worst_examples", lambda s: Need(155 + 4e-3 * s.tested, 2 + 0.05 * s.runs + 5e-6 * s.scored), light=True,
        reads=("spectra", "predictions"), through=_ALL_PREDICTIONS, when="draws_examples", makes=(
        _table("worst_examples", "the examples of the largest loss, of each optimizer at its largest size: which, their loss, and in how many replicates they are among the worst."),
        File("worst_arrays", "worst_examples.h5"))),
    Step("measure_calibration", lambda s: Need(190 + 8e-3 * s.tested, 2 + 0.1 * s.runs + 2e-4 * s.scored),
        reads=("spectra", "runs", "predictions"), through=_ALL_PREDICTIONS, when="usual", makes=(
        _table("calibration", "a row per run, model, number of lines and sample: how far confidences are from probabilities, what chance alone gives, and the same after they are scaled by what the validation set says."),
        _table("reliability"), File("scalings", "calibration.json"))),
    Step("locate_errors", lambda s: Need(160 + 5e-3 * s.tested, 2 + 0.01 * s.runs + 1e-5 * s.scored), light=True,
        reads=("spectra", "runs", "predictions"), through=_ALL_PREDICTIONS, when="usual", makes=(
        _table("errors_by_redshift", "a row per optimizer, size and fine bin in redshift: completeness by the true redshift and purity by the one found, over all replicates, with 95 % intervals over objects, and whether a bin differs from the others."),
        _table("redshift_wiggles", "a row per optimizer, size, line and eighth of a box: the redshift bias against the true place of the line within its box, and whether it goes up and down with it more than by chance."),
        _table("false_positives", "a row per optimizer, size, class and bin of S/N: stars, galaxies and fibres without an object that are called quasars, and how many that are of 1,000 such fibres, with 95 % intervals."))),
    Step("find_spikes", lambda s: Need(160 + 1e-5 * s.steps + 2.2e-5 * s.longest_steps, 2 + 0.1 * s.runs + 1e-5 * s.steps),
        reads=("histories",), makes=(
        _table("spikes", "a row per spike, found in the losses of epochs and of steps (``scale``): onset, peak and end, counted from 0; empty if the loss never came back."),
        _table("spike_statistics", "a row per run and scale: rates, median height, recovery and spacing with 95 % intervals, regularity against chance, share of the time in spikes; sustained spikes only, outliers are counted beside them."),
        _table("spike_trends", "a row per optimizer and scale: how rate and height change with steps per epoch, and whether spikes follow steps or epochs, over the steps and the epochs that all runs have."))),
    Step("diagnose_spikes", lambda s: Need(158 + s.groups + 3.4e-5 * s.group_steps, 2 + 0.1 * s.groups + 5e-6 * s.steps),
        reads=("histories", "spikes", "spike_trends"), makes=(
        _table("aligned"),
        _table("predictors", "per measure, how early it moves before spikes and how well it predicts them."),
        _table("hypotheses", "a row per hypothesis about the cause and optimizer: what it predicts, what was found, and a verdict."))),
    Step("compute_hazards", lambda s: Need(160 + 0.1 * s.runs, 5 + 0.5 * s.runs), light=True, reads=("fork_replays", "forks"),
        when="replays", makes=(
        _table("replays"), File("all_forks", "forks.csv"),
        _table("hazards", "a row per run, fork and arm of the replays: spikes, exposure and hazard per 1,000 steps, and its ratio to that as it is, with exact 95 % intervals."),
        _table("interventions", "a row per arm: its hazard on the grid of forks, its ratio to that as it is over all forks with a 95 % interval, a verdict adjusted for the number of arms, and the training loss at which its replays end."),
        _table("survival"),
        _table("hazard_model", "a row per measure: how the hazard depends on it, of what is known at a fork."),
        _table("replay_findings", "a row per decision rule: what was asked, yes, no or cannot say, the ratio that decides, and a sentence."))),
    Step("judge_convergence", lambda s: Need(165 + 2.5e-4 * s.epochs, 2 + 0.02 * s.runs + 1e-4 * s.longest_epochs), light=True,
        reads=("histories", "spikes", "test_losses", "stopping"), makes=(
        _table("convergence", "a row per run: has it converged, and what stopping late risks."),)),
    Step("compare_optimizers", lambda s: Need(165 + 2.5e-4 * s.epochs + 5e-5 * s.scored, 3 + 0.4 * s.runs + 1e-6 * s.scored),
        light=True, reads=("histories", "spike_statistics", "test_losses", "spectra", "predictions"),
        through=_ALL_PREDICTIONS, makes=(
        _table("cures", "a row per fraction, optimizer and reference: rates of spikes, losses and test metrics against the reference's, paired by replicate."),
        _table("cures_overall", "a row per optimizer and reference: the same over all fractions together."))),
    Step("fit_learning_curves", lambda s: Need(149 + 0.01 * s.runs, 3 + 0.1 * s.runs),
        reads=("runs", "test_losses", "test_metrics", "convergence"), makes=(
        _table("learning_curve", "a row per optimizer and metric: the gain per doubling seen, the fitted curve, examples needed for the target, floor and gain from doubling with 90 % intervals, or why the data cannot say; how many to label next, where costs are given."),
        _table("learning_curve_errors"), _table("learning_curve_bands"))),
    Step("write_answer", lambda s: Need(151, 3), light=True,
        reads=("runs", "spikes", "spike_statistics", "spike_trends", "hypotheses", "cures", "cures_overall", "convergence", "stopping", "learning_curve", "interventions", "replay_findings"),
        makes=(
        File("answer", "answer.md", "what the study found: why the loss spikes, what cures it, whether each model has converged, how much data is enough, what to do and what would settle what is open."),
        File("answer_json", "answer.json"))),
    _plot("loss_by_fraction", ("epochs", "runs"), "loss against epoch, by training-set size", "Losses",
        lambda s: Need(196 + 4e-4 * s.epochs, 5 + 1e-4 * s.epochs), per="optimizer"),
    _plot("loss_by_optimizer", ("epochs", "runs"), "loss against epoch, by optimizer", "Losses",
        lambda s: Need(200 + 4e-4 * s.epochs, 5 + 1e-4 * s.epochs)),
    _plot("train_validation", ("epochs", "runs", "spikes"), "training and validation loss together", "Losses",
        lambda s: Need(200 + 4e-4 * s.epochs, 5 + 1e-4 * s.epochs), per="optimizer"),
    _plot("detected_spikes", ("histories", "spikes"), "spikes found", "Spikes",
        lambda s: Need(203 + 0.1 * s.runs + 5e-6 * s.longest_steps, 5 + 0.1 * s.runs + 1e-6 * s.steps), per="optimizer"),
    _plot("spike_statistics", ("spike_statistics",), "rate, height and duration of spikes", "Spikes",
        lambda s: Need(200 + 0.1 * s.runs, 5 + 0.02 * s.runs)),
    _plot("curvature", ("histories", "spikes"), "curvature against its threshold", "Causes",
        lambda s: Need(205 + 0.2 * s.runs, 5 + 0.1 * s.runs), per="fraction", when="measures_curvature"),
    _plot("aligned", ("aligned",), "what moves around a spike", "Causes",
        lambda s: Need(195 + 1.2 * s.groups, 5 + 0.05 * s.groups), per="optimizer"),
    _plot("hazard", ("hazards", "all_forks", "survival"), "hazard of a spike along the training", "Causes",
        lambda s: Need(205 + 0.3 * s.runs, 5 + 0.3 * s.runs), when="replays"),
    _plot("interventions", ("interventions",), "what changes the hazard of a spike", "Causes",
        lambda s: Need(200 + 0.1 * s.groups, 5 + 0.05 * s.groups), when="replays"),
    _plot("microscope", ("microscope",), "sustained spikes, step by step", "Causes",
        lambda s: Need(205 + 0.2 * s.runs, 5 + 0.05 * s.runs), when="magnifies_spikes"),
    _plot("cures", ("cures",), "rate of spikes against final loss", "Cures",
        lambda s: Need(208 + 0.1 * s.groups, 5 + 0.02 * s.runs)),
    _plot("purity_completeness", ("metrics", "test_metrics", "dv_histogram"), "purity, completeness and dv on the test set",
        "Test set", lambda s: Need(175 + 0.2 * s.runs, 5 + 0.05 * s.runs), per="optimizer", when="usual", room="quasarnet.figures"),
    _plot("gallery", ("examples", "confusion", "error_counts", "redshift_counts", "spectra"), "the worst spectra of the test set",
        "Test set", lambda s: Need(190 + 1e-3 * s.tested, 6 + 0.02 * s.runs), per="optimizer", when="usual", room="quasarnet.figures"),
    _plot("worst_examples", ("worst_examples", "worst_arrays"), "the worst examples of the test set", "Test set",
        lambda s: Need(640 + 1e-3 * s.tested, 12 + 0.01 * s.runs), per="optimizer", when="draws_examples"),
    _plot("calibration", ("calibration", "reliability"), "do confidences mean probabilities", "Test set",
        lambda s: Need(195 + 0.1 * s.runs, 5 + 0.02 * s.runs), per="optimizer", when="usual", room="quasarnet.figures"),
    _plot("errors", ("errors_by_redshift", "redshift_wiggles", "false_positives"), "where the errors are", "Test set",
        lambda s: Need(195 + 0.1 * s.groups, 5 + 0.02 * s.groups), per="optimizer", when="usual", room="quasarnet.figures"),
    _plot("learning_curve", ("learning_curve", "learning_curve_errors", "learning_curve_bands"),
        "test errors against training-set size", "Learning curves", lambda s: Need(206 + 0.1 * s.groups, 5 + 0.1 * s.groups)),
    _plot("spike_cost", ("spike_cost", "spike_cost_summary", "runs"), "the test set before, in and after spikes", "Spikes",
        lambda s: Need(199 + 0.1 * s.runs, 5 + 0.02 * s.runs), when="takes_snapshots"),
)  # fmt: skip

_SHOWN = [(file, file.when or step.when) for step in _STEPS for file in step.makes if file.text]

_SHOW_TABLES = Step(
    "show_tables",
    lambda s: Need(148 + 0.02 * s.runs, 3 + 0.02 * s.runs),
    light=True,
    reads=tuple(file.name for file, _ in _SHOWN),
    together="tables",
    makes=tuple(File("pages", f"report/{file.path}.html", when=when) for file, when in _SHOWN),
)

_WRITE_PAGE = Step(
    "write_page",
    lambda s: Need(270 + 1.5e-5 * s.longest_steps + 0.1 * s.runs, 5 + 0.02 * s.runs + 0.5 * s.groups + 1e-7 * s.steps),
    light=True,
    reads=("answer_json", "histories", *(file.name for file, _ in _SHOWN)),
    together="files",
    figures=True,
    makes=(File("page", "index.html"),),
)

STEPS: Mapping[str, Step] = {step.name: step for step in (*_STEPS, _SHOW_TABLES, _WRITE_PAGE)}

MAKERS: Mapping[str, Step] = {file.name: step for step in _STEPS if not step.figure for file in step.makes}
"""The step that makes each file, by the file's name. Figures have no names: who reads them reads all (`Step.figures`)."""

FILES: Mapping[str, File] = {file.name: file for step in _STEPS if not step.figure for file in step.makes}

LIGHT = frozenset(step.name for step in STEPS.values() if step.light)
"""Names of the steps that take seconds."""
