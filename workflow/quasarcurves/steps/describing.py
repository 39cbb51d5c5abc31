"""What the task of a study calls its examples and metrics."""

from __future__ import annotations

from quasarcurves.analysis.metrics.description import Description
from quasarcurves.quasarnet.analysis.description import DESCRIPTION


def description() -> Description:
    """Return what the task calls its examples and metrics; nothing of it is run."""
    return DESCRIPTION
