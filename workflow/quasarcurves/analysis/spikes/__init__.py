"""Finding spikes in a loss, and what they are like."""

from quasarcurves.analysis.spikes.finding import (
    COLUMNS,
    HIGH_RATIO,
    PER_EPOCH,
    PER_STEP,
    SETTLED_EPOCH,
    count_excursions,
    find_spikes,
    height_ratio,
    loss_ratio,
    olmo_spike_score,
)

__all__ = [
    "COLUMNS",
    "HIGH_RATIO",
    "PER_EPOCH",
    "PER_STEP",
    "SETTLED_EPOCH",
    "count_excursions",
    "find_spikes",
    "height_ratio",
    "loss_ratio",
    "olmo_spike_score",
]
