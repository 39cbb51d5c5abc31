"""Finding spikes in a loss, and measuring them."""

from quasarcurves.analysis.spikes.finding import (
    COLUMNS,
    EPOCH_WINDOW,
    HIGH_RATIO,
    PER_EPOCH,
    PER_STEP,
    SETTLED_EPOCH,
    count_excursions,
    find_spikes,
    height_ratio,
    loss_ratio,
    olmo_spike_score,
    settled_ratio,
)

__all__ = [
    "COLUMNS",
    "EPOCH_WINDOW",
    "HIGH_RATIO",
    "PER_EPOCH",
    "PER_STEP",
    "SETTLED_EPOCH",
    "count_excursions",
    "find_spikes",
    "height_ratio",
    "loss_ratio",
    "olmo_spike_score",
    "settled_ratio",
]
