"""How the models of the task of a study are scored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from quasarcurves.analysis.metrics.own import OwnScorer
from quasarcurves.analysis.metrics.scorer import Scorer
from quasarcurves.quasarnet.analysis.scorer import QuasarNetScorer
from quasarcurves.steps.describing import description
from quasarcurves.tasks.own_file import TaskFile


def scorer(task: Mapping[str, Any], words: Mapping[str, Any]) -> Scorer:
    """Return what scores the task's models.

    Parameters
    ----------
    task : mapping
        `TaskSettings` as JSON; empty for the usual task.
    words : mapping
        As `describing.description` takes them.
    """
    return own_scorer(TaskFile(task["name"]), words) if task else QuasarNetScorer()


def own_scorer(file: TaskFile, words: Mapping[str, Any]) -> OwnScorer:
    """Return what scores models by the function `measure` of a task file, if it has one."""
    measure = partial(file.call, "measure") if "measure" in file else None
    return OwnScorer(measure, description(words), file.name)
