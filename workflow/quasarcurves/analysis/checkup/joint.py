"""What several curves tell together: whether spikes follow steps or epochs, and what more data brings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from quasarcurves.analysis.answer.replies import CANNOT_SAY, NO, YES, Reply, bounds, count
from quasarcurves.analysis.checkup.measures import Measured
from quasarcurves.analysis.convergence import STILL_FALLING
from quasarcurves.analysis.learning_curve.fitting import FEWEST_DOUBLINGS, LearningCurve, fit
from quasarcurves.analysis.spikes.statistics import locking
from quasarcurves.analysis.wording import number

QUESTIONS = {"locked": "Do spikes follow steps or epochs?", "data": "Would more data help?"}
"""What is asked of all curves together."""

_FEWEST_STEPS = 20
"""Steps of an epoch whose mean one hard batch, of up to so many times the course, does not double."""


def answers(found: Sequence[Measured]) -> dict[str, Reply]:
    """Return the replies to those of `QUESTIONS` that the curves allow to ask."""
    replies = {}
    if len(found) > 1 and (reply := _locked([each for each in found if each.searched])):
        replies["locked"] = reply
    if reply := _data([each for each in found if not each.problem]):
        replies["data"] = reply
    return replies


def _locked(found: Sequence[Measured]) -> Reply | None:
    """Compare curves of different steps per epoch; None where nothing is known of these, or no curve spikes."""
    spiking = sum(len(each.tall) for each in found)
    if not spiking:
        return None
    known = [each for each in found if np.isfinite(each.curve.steps_per_epoch)]
    if any(not each.kinds and each.curve.steps_per_epoch < _FEWEST_STEPS for each in known):
        text = (
            f"Losses of epochs of fewer than {_FEWEST_STEPS} steps do not tell: single hard batches raise them, the "
            "more so the fewer steps an epoch has."
        )
        return Reply("", CANNOT_SAY, text, "steps or epochs: not told", needs="the losses of single steps")
    if len(known) < 2 or len({each.curve.steps_per_epoch for each in known}) < 2:
        text = "Only curves with different numbers of steps per epoch tell; there are no two such with spikes."
        needs = "curves of other training-set sizes or batch sizes, with --examples and --batch-size"
        return Reply("", CANNOT_SAY, text, "steps or epochs: not told", needs=needs)
    onsets, steps = zip(*(each.at_risk for each in known), strict=True)
    runs = pd.DataFrame({"steps": steps, "steps_per_epoch": [each.curve.steps_per_epoch for each in known]})
    row = locking(runs, onsets, covariates=("steps_per_epoch",))
    verdict = row["verdict"]
    if verdict == "undecided":
        return Reply("", CANNOT_SAY, f"That cannot be told: {row['reason']}.", "steps or epochs: not told")
    p = f"p = {number(row['steps_p'])} for steps, {number(row['epochs_p'])} for epochs"
    same = "if the curves differ in nothing else"
    text = {
        "steps": f"They follow steps, not epochs ({p}): with more steps per epoch they come more often per epoch",
        "epochs": f"They follow epochs, not steps ({p}): look at the data",
        "neither": f"They follow neither steps nor epochs ({p})",
    }[verdict]
    return Reply("", verdict, f"{text}, {same}.", f"spikes follow {verdict}")


def _data(found: Sequence[Measured]) -> Reply | None:
    """Fit the validation losses of several sizes; None where fewer than two sizes are known."""
    sized = [each for each in found if np.isfinite(each.curve.examples)]
    sizes = {each.curve.examples for each in sized}
    if len(sizes) < 2:
        return None
    usable = [each for each in sized if each.late_validation > 0 and each.diverged is None]
    if len({each.curve.examples for each in usable}) < FEWEST_DOUBLINGS:
        if len(sizes) < FEWEST_DOUBLINGS:
            text = f"{count(len(sizes), 'training-set size')}: {FEWEST_DOUBLINGS} are needed."
        else:
            text = (
                "That takes the validation losses of three sizes or more, outside of spikes; training losses of fewer "
                "examples are lower."
            )
        return Reply("", CANNOT_SAY, text, "more data: not told", needs="validation losses of three sizes or more")
    n = np.array([each.curve.examples for each in usable])
    error = np.array([each.late_validation for each in usable])
    return _of_fit(fit(n, error), usable)


def _of_fit(curve: LearningCurve, used: Sequence[Measured]) -> Reply:
    smallest, largest = curve.sizes[0], curve.sizes[-1]
    low, high = curve.gain_per_doubling_interval
    seen = (
        f"From {smallest:,.0f} to {largest:,.0f} examples each doubling has taken {_percent(curve.gain_per_doubling)} "
        f"{bounds(low, high, 100, ' %')} off the validation loss"
    )
    if curve.reasons:
        reasons = "; ".join(curve.reasons)
        ahead, answer = f"what the next one brings cannot be said ({reasons})", CANNOT_SAY
    else:
        low, high = curve.doubling_gain_interval
        ahead = f"doubling the largest set takes {_percent(curve.doubling_gain)} {bounds(low, high, 100, ' %')} off"
        answer = YES if curve.certain_gain else CANNOT_SAY if high > 0.05 else NO
    falling = sum(each.end.get("convergence") == STILL_FALLING for each in used)
    more = [f"{falling} of {count(len(used), 'curve')} still fall: trained longer, this moves"] if falling else []
    if len({each.curve.examples for each in used}) == len(used):
        more.append("with one training per size, 10 % of noise between trainings is assumed")
    caveats = "; ".join([*more, "all have to be measured on one validation set, and to differ in nothing else"])
    return Reply("", answer, f"{seen}; {ahead}. Intervals at 90 %; {caveats}.", _short(curve, answer))


def _short(curve: LearningCurve, answer: str) -> str:
    return {YES: "more data helps", NO: "more data hardly helps"}.get(answer, "more data: not told")


def _percent(share: float) -> str:
    return f"{number(100 * share)} %"
