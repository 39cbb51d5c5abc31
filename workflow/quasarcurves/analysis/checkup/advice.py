"""What to try first, and what a loss curve cannot tell. Evidence is that of docs/findings.md, and no stronger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from quasarcurves.analysis.checkup.measures import Measured
from quasarcurves.analysis.checkup.replies import left_over
from quasarcurves.analysis.convergence import STILL_FALLING
from quasarcurves.analysis.curves import STEP

SCOPE = (
    "Measured with Adam on a convolutional network of 16 filters and simulated spectra (docs/findings.md). Whether it "
    "holds for other networks and data was not tried."
)

EVIDENCE = {
    "go on": (
        "use a model from after the spike, not from within it: models from the peak of a spike had 1.41 (1.11 "
        "to 1.74) times the test loss of those from just before it, models trained on 1.00 (0.77 to 1.35) times"
    ),
    "no worry": (
        "do not worry about a model that is trained on after spikes: it had 1.00 (0.77 to 1.35) times the test "
        "loss from before them"
    ),
    "smaller step": (
        "if the spikes disturb, make the step smaller, late in training first: a learning rate that falls as a "
        "cosine left 0.21 (0.07 to 0.51) times the tall spikes and 0.60 (0.51 to 0.71) times the final training loss; "
        "AMSGrad left 0.10 (0.02 to 0.33) times; plain Adam at AMSGrad's smaller step had none, 0 against 29; in a "
        "short training that step cost quality"
    ),
    "last batch": "drop the incomplete last batch: it made spikes of its own",
    "longer": "train longer before anything else is compared: what still falls may change its order",
    "overfitting": (
        "compare the last model with that of the lowest validation loss by what the model is for, not by the loss: "
        "the second was surely worse in completeness in 15 of 25 runs, surely better in 1"
    ),
    "diverged": "nothing that was measured speaks of a loss that is no number at the end",
}
"""What to try, with what was measured."""


def advise(found: Sequence[Measured]) -> list[str]:
    """Return what to try, first things first."""
    tried = {name: None for each in found for name in _of(each)}
    order = [name for name in EVIDENCE if name in tried]
    return [EVIDENCE[name] for name in order]


def _of(found: Measured) -> Iterator[str]:
    if found.problem:
        return
    if found.diverged is not None:
        yield "diverged"
        return
    if len(found.tall):
        yield "go on" if found.ends_in_spike else "no worry"
        yield "smaller step"
    place = found.last_batch
    if len(found.spikes) and ((place is not None and place.p < 0.01) or left_over(found)):
        yield "last batch"
    overfits = found.overfitting is not None and found.overfitting.verdict == "yes"
    if overfits:
        yield "overfitting"
    elif found.end.get("convergence") == STILL_FALLING:
        yield "longer"


def untold(found: Sequence[Measured]) -> list[str]:
    """Return what cannot be told from these curves."""
    return list(_untold([each for each in found if not each.problem]))


def _untold(found: Sequence[Measured]) -> Iterator[str]:
    if any(len(each.spikes) for each in found):
        yield "why it spikes: that takes a record of every step, or replays (docs/replays.md)"
    if len(found) == 1 and len(found[0].tall) > 0:
        yield "whether spikes follow steps or epochs: that takes curves with different numbers of steps per epoch"
    if any(not each.kinds for each in found):
        yield "whether a rise in one value was one hard batch or lasted: that takes the losses of single steps"
    if any(each.curve.per == STEP and not each.curve.single for each in found):
        yield (
            "whether these are losses of single steps: what Keras hands to callbacks during an epoch is the mean of "
            "the epoch so far, which hides short spikes and starts anew with each epoch"
        )
    if any(not np.isfinite(each.held_out).any() for each in found):
        yield "how good the model is on data that it has not seen, without a validation loss"
    yield "what the model is worth: that is measured on a test set, by what the model is for; a loss is not that"
    yield "whether another seed does the same: one training is one draw"
