"""A study: its configuration, its runs, and what each step of it needs."""

from quasarcurves.study.schema import StudyError
from quasarcurves.study.study import Run, Study

__all__ = ["Run", "Study", "StudyError"]
