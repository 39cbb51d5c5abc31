"""Commands that begin a study, run it and show what it found."""

from __future__ import annotations

import argparse
import logging
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import yaml
from rich.console import Console

from quasarcurves.cli import monitor, summary
from quasarcurves.cli.snakemake_log import SnakemakeLog
from quasarcurves.files import workflow_root
from quasarcurves.provenance import outdated, status
from quasarcurves.study import Study, StudyError, limits
from quasarcurves.terminal.command import DEFAULT_STUDY, Command, add_configfile
from quasarcurves.training.extras import install_hint

_LOG = logging.getLogger(__name__)

_TEMPLATE, _TASK_TEMPLATE = (Path(__file__).with_name(f"{name}_template.yaml") for name in ("study", "task"))
_DRY_RUN = {"-n", "--dry-run", "--dryrun"}

_CHANGE_STUDY = {"--configfile", "--configfiles", "--config", "-C"}

_RUN_USAGE = "quasarcurves run [STUDY] [--cores CORES] [-n] [-- TARGETS_AND_OPTIONS_OF_SNAKEMAKE]"
_RUN_EPILOG = """\
Targets and options that stand behind -- go to Snakemake:
  quasarcurves run my-study.yaml -- train_all
  quasarcurves run my-study.yaml -- --forcerun train --keep-going
"""


def _init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", type=Path, help="name of the study, or a file to write")
    parser.add_argument("--task", metavar="FILE", help="a Python file of your own model (default: QuasarNET)")


def _init(options: argparse.Namespace) -> int:
    given: Path = options.study
    path = given if given.suffix in {".yaml", ".yml"} else given.with_name(f"{given.name}.yaml")
    template = _TASK_TEMPLATE if options.task else _TEMPLATE
    text = template.read_text().format(name=path.stem, file=path, task=options.task)
    Study.from_config(yaml.safe_load(text))  # refuses a name that no study may have
    if path.exists():
        raise FileExistsError(f"{path} exists; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"{path}: a study to begin with. Run it: quasarcurves run {path}")
    return 0


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    # STUDY is not for argparse: it would take the value of an option of Snakemake for it
    parser.usage = _RUN_USAGE
    add_configfile(parser)
    parser.add_argument("--cores", default="all", help="cores to use (default: all)")
    parser.add_argument("-n", "--dry-run", action="store_true", help="show what would run, and run nothing")


def _run(options: argparse.Namespace) -> int:
    path, further = _study_and_rest(options)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; quasarcurves run STUDY takes the file of a study")
    study = Study.load(path)
    # Snakemake takes every word after --configfile for a file to merge, so an option of another kind follows it
    command = ["--configfile", str(path), "--cores", options.cores, *_workflow_options(further), *further]
    if options.dry_run or _DRY_RUN & set(further):
        return monitor.ask([*command, "--dry-run"] if options.dry_run else command)
    _require_backend(study)
    if unanswered := limits.warning(study, study.n_examples(study.results / "data" / "spectra.h5")):
        _LOG.warning(unanswered)
    code = monitor.run(study, command)
    found = status.standings(study)
    outdated.mark(study, found)  # also where nothing was to be done, or the run was stopped
    if code == 0:
        _show_end(study, outdated.reason(found), only_some=bool(further))
    return code


def _show_end(study: Study, not_current: str, only_some: bool) -> None:
    """Print what was found, unless only some steps were asked for: the answer may be an old one then."""
    log = SnakemakeLog(study.log)
    log.update()
    if (study.results / "runs.csv").exists() and (log.begun("write_answer") or not only_some):
        summary.show(study.results, Console(), not_current)
    else:
        print(f"Done: all that was asked for is in {study.results}")


def _study_and_rest(options: argparse.Namespace) -> tuple[Path, list[str]]:
    """Split off the study, which stands before all options of Snakemake, from these.

    Raises
    ------
    ValueError
        If something else may be meant to be the study, or to change it: it would be ignored, or merged into the other.
    """
    rest: list[str] = options.rest
    end = rest.index("--") if "--" in rest else len(rest)
    before, behind = rest[:end], rest[end + 1 :]
    named = bool(before) and not before[0].startswith("-")
    path, before = (Path(before[0]), before[1:]) if named else (options.configfile, before)
    for word in before:
        if word.endswith((".yaml", ".yml")):
            raise ValueError(f"{word}: the study is {path}; another one stands first: quasarcurves run {word} ...")
    if before and not before[0].startswith("-"):
        raise ValueError(f"{before[0]}: targets stand behind --: quasarcurves run {path} -- {before[0]}")
    further = [*before, *behind]
    for word in further:
        if word.split("=")[0] in _CHANGE_STUDY:
            raise ValueError(f"{word}: would change the study, which is what {path} says; write it there")
    return path, further


def _workflow_options(further: list[str]) -> list[str]:
    """Return the options by which Snakemake finds this workflow from any folder, but for those that the user gives."""
    given = {option.split("=")[0] for option in further}
    if not given.isdisjoint({"-s", "--snakefile"}):
        return []
    root = workflow_root()
    snakefile = next(place for place in (root / "Snakefile", root / "workflow" / "Snakefile") if place.exists())
    options = ["--snakefile", str(snakefile)]
    if "--workflow-profile" not in given and not Path("profiles", "default").exists():
        options += ["--workflow-profile", str(root / "profiles" / "default")]
    return options


def _require_backend(study: Study) -> None:
    """Refuse to start trainings that cannot run.

    Raises
    ------
    ModuleNotFoundError
        If a training is still to be done, or to be done again, and what trains is not installed.
    """
    if find_spec(study.backend) is None and not status.is_current(study, "train"):
        raise ModuleNotFoundError(install_hint(study.backend), name=study.backend)


def _summary_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results", metavar="STUDY", type=Path, help="the study's file, or its folder of results, such as results/NAME"
    )


def _summary(options: argparse.Namespace) -> int:
    study = _study_of(options.results)
    if study is None:
        summary.show(options.results, Console())
        return 0
    found = status.standings(study)
    with suppress(OSError):  # results may lie where this user cannot write
        outdated.mark(study, found)
    summary.show(study.results, Console(), outdated.reason(found))
    return 0


def _study_of(given: Path) -> Study | None:
    """Return the study of a file; of a folder of results, that of config.yaml if its results are there."""
    if given.suffix in {".yaml", ".yml"}:
        return Study.load(given)
    with suppress(StudyError, OSError):
        study = Study.load(DEFAULT_STUDY)
        if study.results.resolve() == given.resolve():
            return study
    return None


COMMANDS = {
    "init": Command(_init_arguments, _init),
    "run": Command(_run_arguments, _run, epilog=_RUN_EPILOG, takes_rest=True),
    "summary": Command(_summary_arguments, _summary),
}
