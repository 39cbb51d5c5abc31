"""How the models of the task of a study are scored."""

from __future__ import annotations

from quasarcurves.analysis.metrics.quasarnet_scorer import QuasarNetScorer
from quasarcurves.analysis.metrics.scorer import Scorer


def scorer() -> Scorer:
    """Return what scores the task's models."""
    return QuasarNetScorer()
