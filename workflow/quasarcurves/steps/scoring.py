"""How the models of the task of a study are scored."""

from __future__ import annotations

from quasarcurves.analysis.metrics.scorer import Scorer
from quasarcurves.quasarnet.analysis.scorer import QuasarNetScorer


def scorer() -> Scorer:
    """Return what scores the task's models."""
    return QuasarNetScorer()
