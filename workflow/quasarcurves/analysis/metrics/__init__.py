"""Scores of models on the test set: purity, completeness, redshift errors."""

from quasarcurves.quasarnet.metrics import (
    DV_MAX,
    SPEED_OF_LIGHT,
    THRESHOLDS,
    crossing,
    has_good_redshift,
    purity_completeness,
    velocity,
)

__all__ = [
    "DV_MAX",
    "SPEED_OF_LIGHT",
    "THRESHOLDS",
    "crossing",
    "has_good_redshift",
    "purity_completeness",
    "velocity",
]
