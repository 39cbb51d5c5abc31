"""Replays: hazards of spikes, by state and by what was done differently."""

AS_IT_IS = "as_it_is"
"""The arm that all others are compared with: other orders of batches, nothing else."""

GRID, BEFORE, QUIET = "grid", "before", "quiet"
"""Kinds of forks. Those before spikes and at quiet times were chosen by what the training did next, those of the grid
were not: they alone tell how high a hazard is. Ratios within a fork may use all."""

GROUP = ["optimizer", "n_train", "learning_rate"]
"""What is the same for all runs that are pooled."""

YES, NO, CANNOT_SAY = "yes", "no", "cannot say"
"""Answers to what was asked before any replay was made."""

TWICE = 2.0
"""A ratio of hazards within a factor of this counts as no difference, if its whole interval is."""

PER = 1000.0
"""Hazards are told per so many steps."""
