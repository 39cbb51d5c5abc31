"""Finding spikes in a loss, and measuring them."""

from quasarcurves.analysis.spikes.finding import (
    COLUMNS,
    EPOCH_WINDOW,
    HIGH_RATIO,
    PER_EPOCH,
    PER_STEP,
    SETTLED_EPOCH,
    SHORTEST,
    count_excursions,
    find_spikes,
    height_ratio,
    loss_ratio,
    olmo_spike_score,
    settled_ratio,
)
from quasarcurves.analysis.spikes.splitting import KINDS, OUTLIER, SUSTAINED

__all__ = [
    "COLUMNS",
    "EPOCH_WINDOW",
    "HIGH_RATIO",
    "KINDS",
    "OUTLIER",
    "PER_EPOCH",
    "PER_STEP",
    "SETTLED_EPOCH",
    "SHORTEST",
    "SUSTAINED",
    "count_excursions",
    "find_spikes",
    "height_ratio",
    "loss_ratio",
    "olmo_spike_score",
    "settled_ratio",
]
