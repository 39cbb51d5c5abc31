"""What the task of a study calls its examples and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quasarcurves.analysis.metrics.description import Description
from quasarcurves.quasarnet.analysis.description import DESCRIPTION


def description(words: Mapping[str, Any]) -> Description:
    """Return what the task calls its examples and metrics; nothing of it is run.

    Parameters
    ----------
    words : mapping
        `example`, `examples` and `better`, as the task file has them; empty for the usual task.
    """
    return Description(**words) if words else DESCRIPTION
