"""A study: its configuration, its runs, and what each step of it needs."""

from quasarcurves.study.runs import Run
from quasarcurves.study.schema import StudyError
from quasarcurves.study.study import Study

__all__ = ["Run", "Study", "StudyError"]
