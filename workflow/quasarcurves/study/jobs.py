"""What the jobs of a study read, make and are told: the parts of their rules that need no Snakemake."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from quasarcurves.study import told
from quasarcurves.study.runs import Run
from quasarcurves.study.schema import StudyError
from quasarcurves.study.steps import FILES, MAKERS, STEPS, WILDCARDS, File, Step
from quasarcurves.study.study import Study

Files = Mapping[str, str | Iterable[str]]
"""Files by name, one or several."""

_RECEIPTS = "receipts"
"""Folder of them, below the results."""


def refuse_unquotable(paths: Iterable[Path]) -> None:
    """Refuse paths that another machine's shell would not read as names.

    Snakemake (9.27) puts them between quotes as Python does: those with a single quote between double ones, where the
    shell runs `$(...)`.

    Raises
    ------
    StudyError
    """
    for path in map(str, paths):
        found = [character for character in '$`"\\' if character in path]
        if "'" in path and found:
            raise StudyError(
                f"{path}: a path with ' and {found[0]}, which Snakemake does not quote for jobs of a cluster; "
                "expected another name of the folder or the file, or a run without --jobs"
            )


def receipt(step: Step) -> str:
    """Return the receipt of a step's jobs, below the results."""
    return step.about(_RECEIPTS, ".json")


def pngs(step: Step) -> list[File]:
    """Return the files of a figure that every browser shows alike."""
    return [file for file in step.makes if file.path.endswith(".png")]


def read(study: Study, step: Step) -> list[str]:
    """Return the names of the files that a step reads, without what the study does not have."""
    return [name for name in step.reads if study.has(MAKERS[name]) and study.has(FILES[name])]


def named(study: Study, step: Step, brought: bool) -> dict[str, list[str]]:
    """Return the files that a job names as read, by their name.

    Parameters
    ----------
    study : Study
    step : Step
    brought : bool
        Whether a job has only the files that it names. Otherwise it learns of files of many jobs through the receipt of
        another step.
    """
    files = {name: _for_job(study, FILES[name].path, MAKERS[name], step) for name in _names(study, step, brought)}
    if step.figures:
        files["figures"] = [
            path for each in _drawing(study) for file in pngs(each) for path in study.paths(file.path, each.per)
        ]
    return files


def receipts(study: Study, step: Step) -> list[str]:
    """Return the receipts of all that a job reads."""
    makers = dict.fromkeys(step.through.get(name) or MAKERS[name].name for name in read(study, step))
    found = [path for name in makers for path in _for_job(study, receipt(STEPS[name]), STEPS[name], step)]
    if step.figures:
        found += [path for each in _drawing(study) for path in study.paths(receipt(each), each.per)]
    return found


def made(study: Study, step: Step) -> dict[str, list[str]]:
    """Return the files that a job makes, by their name, with the step's wildcards."""
    files: dict[str, list[str]] = {}
    for file in filter(study.has, step.makes):
        files.setdefault(file.name, []).append(str(study.results / file.path))
    return files


def wanted(study: Study, stored: bool) -> list[str]:
    """Return the files that the whole study is asked for.

    Those that no job reads lead to all others: to ask for the rest would take a large study seconds at every start. But
    Snakemake (9.27) does not see that a file is gone that none but finished jobs read: those are asked for as well.

    Parameters
    ----------
    study : Study
    stored : bool
        Whether files are on object storage, where what is gone cannot be told here: then all are asked for.
    """
    begun = (study.results / _RECEIPTS).exists()
    asked = {name for step in study.steps for name in _names(study, step, brought=False)}
    files = [(step, file) for step in study.steps for file in step.makes if study.has(file)]
    found = []
    for step, file in files:
        paths = study.paths(file.path, step.per)
        if file.name not in asked or stored:
            found += paths
        elif begun:
            found += [path for path in paths if not Path(path).exists()]
    return found


def of_trainings(study: Study) -> list[str]:
    """Return the files that trainings make, and their receipts: those of one that was stopped are kept from before."""
    step = STEPS["train"]
    patterns = [file.path for file in step.makes if study.has(file)]
    return [path for pattern in [*patterns, receipt(step)] for path in study.paths(pattern, "run")]


def options(step: Step, given: Files, results: Files) -> dict[str, list]:
    """Return the options that name the files of a job; of a file that there is not, an option without value.

    Parameters
    ----------
    step : Step
    given, results : mapping of str to str or iterable of str
        Files that the job reads and makes; Snakemake's own objects are such mappings.
    """
    # thousands of paths would not fit on a command line: `own` has what they are made of
    several = {name for name in step.reads if step.per == "study" and MAKERS[name].per in ("run", "subset")}
    found: dict[str, list[str]] = {}
    # of Snakemake's named lists, iterating gives the files
    for name, paths in dict(given).items():
        if name not in several:
            option = step.together if step.together and name != "receipts" else name
            found.setdefault(option, []).extend(_listed(paths))
    found |= {name: _listed(paths) for name, paths in dict(results).items()}
    told_of = [file.name for file in step.makes] + [n for n in step.reads if n not in several and not step.together]
    return {**found, **{name: [] for name in told_of if name not in found}}


def _listed(paths: str | Iterable[str]) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)


def own(study: Study, step: Step, wildcards: Mapping[str, str], first_made: str) -> dict[str, Any]:
    """Return what a job is done for, as options: one optimizer, say, or the runs whose files it reads."""
    if step.figure:
        return {name: wildcards[name] for name in WILDCARDS[step.per]}
    if runs := told.runs(study, step):
        return {"folder": str(Path(first_made).parent / "runs"), **runs}
    return {}


def run_settings(study: Study, run: Run) -> tuple[str, str]:
    """Return what a run's result depends on, as a command line has it: what all of a pack share, and its own."""
    params = study.run_params(run)
    alone = {name: params.pop(name) for name in ("replicate", "optimizer", "optimizer_spec")}
    return json.dumps(params), json.dumps(alone)


def of_pack(study: Study, pattern: str) -> list[str]:
    """Return a file of every run that is trained together with others, with the wildcard of their fraction."""
    path = str(study.results / pattern)
    return [
        path.format(fraction="{fraction}", replicate=run.replicate, optimizer=run.optimizer) for run in study.pack(0)
    ]


def shown(study: Study) -> dict[str, dict[str, Any]]:
    """Return what the page says of tables and figures, by their paths below the results."""
    texts = {FILES[name].path: FILES[name].text for name in read(study, STEPS["write_page"])}
    figures = {
        file.path.format(**each): {**step.figure._asdict(), "module": step.module, "of": each}
        for step in study.steps
        if step.figure
        for file in pngs(step)
        for each in study.wildcards(step.per)
    }
    return {"tables": {path: text for path, text in texts.items() if text}, "figures": figures}


def _names(study: Study, step: Step, brought: bool) -> list[str]:
    return [name for name in read(study, step) if brought or name not in step.through or _one(MAKERS[name], step)]


def _for_job(study: Study, pattern: str, maker: Step, reader: Step) -> list[str]:
    """Return the files that a job reads: those with its own wildcards, or those of all jobs that make some."""
    return [str(study.results / pattern)] if _one(maker, reader) else study.paths(pattern, maker.per)


def _one(maker: Step, reader: Step) -> bool:
    """Return whether a job reads the files of one job of a maker, which has its own wildcards."""
    return set(WILDCARDS[maker.per]) <= set(WILDCARDS[reader.per])


def _drawing(study: Study) -> list[Step]:
    return [step for step in study.steps if step.figure]
