"""What is said of one curve, question by question."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quasarcurves.analysis.answer.replies import CANNOT_SAY, NO, YES, Reply, bounds, count, listed
from quasarcurves.analysis.checkup.measures import SHORTEST, Measured
from quasarcurves.analysis.checkup.overfitting import FEWEST
from quasarcurves.analysis.convergence import MATTERS, STILL_FALLING
from quasarcurves.analysis.curves import STEP
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.analysis.wording import interval, number, percent

QUESTIONS = {
    "spikes": "Does the loss spike?",
    "converged": "Has it converged?",
    "overfitting": "Does it overfit?",
    "last": "Is the end a bad point to stop at?",
}
"""What is asked of each curve."""

_FEWEST_SPACED = 10
"""Spikes from which on their spacing is told (docs/findings.md)."""

_FALSE_PER_STEP = 1e-5
"""Steps that noise alone makes stand out, at most (`find_spikes`)."""

_SHOWN = 5
_TELLING_CHANCE = 0.01
"""Probability by chance below which single high steps are said to stand at the end of epochs."""


def answers(found: Measured) -> dict[str, Reply]:
    """Return the reply to each of `QUESTIONS`."""
    if found.problem:
        text = f"Nothing can be told: {found.problem}."
        return {name: _reply(found, CANNOT_SAY, text, "nothing can be told") for name in QUESTIONS}
    return {
        "spikes": _spikes(found),
        "converged": _converged(found),
        "overfitting": _overfitting(found),
        "last": _last(found),
    }


def _reply(found: Measured, answer: str | float, text: str, short: str, needs: str = "") -> Reply:
    return Reply(found.curve.label, answer, text, short, needs=needs)


def at(found: Measured, index: float) -> str:
    """Write an epoch or step as the file counts them."""
    return f"{found.curve.per} {found.curve.place(index):,.10g}"


def _spikes(found: Measured) -> Reply:
    curve = found.curve
    if not found.searched:
        text = f"{count(len(curve.loss), 'value')} are too few to search for spikes: {SHORTEST} are needed."
        return _reply(found, CANNOT_SAY, f"{text} {_highest(found)}", "too short to search for spikes")
    tall, small = len(found.tall), len(found.small)
    # where the loss is lost, the rate of spikes says nothing
    first = [] if np.isfinite(found.lasting) and not tall else _tall(found)
    parts = [*first, *_small(found), *_last_batch(found), *_lasting(found)]
    noun = "sustained spike" if found.kinds else "rise"
    if tall:
        return _reply(found, YES, " ".join(parts), count(tall, noun if found.kinds else "tall rise"))
    if small:
        short = f"no {'sustained spike' if found.kinds else 'tall rise'}, {_small_count(found)}"
        return _reply(found, NO, " ".join(parts), short)
    short = "a rise that lasts" if np.isfinite(found.lasting) else "no spike"
    return _reply(found, NO, " ".join(parts), short)


def _highest(found: Measured) -> str:
    """Say how far a short curve rises above what came before."""
    loss = found.curve.loss
    ratio = loss / np.fmin.accumulate(np.where(np.isfinite(loss), loss, np.inf))
    ratio = np.where(np.isfinite(ratio), ratio, 0)
    place = int(np.argmax(ratio))
    if ratio[place] <= MATTERS:
        return "The loss never stands more than 10 % above its lowest so far."
    return f"At most it stands {number(ratio[place])} times above its lowest so far, at {at(found, place)}."


def _tall(found: Measured) -> list[str]:
    tall, told = found.tall, found.described
    what = "sustained spike" if found.kinds else "rise"
    unit = found.curve.per
    if tall.empty:
        high = told["per_1000_steps_high"] if unit == STEP else told["per_epoch_high"] * 100
        of = "1,000 steps" if unit == STEP else f"100 {_points(found)}"
        kind = "No sustained spike" if found.kinds else "No rise above twice the loss's course"
        return [f"{kind} in {count(found.described['points'], 'value')}: fewer than {number(high)} per {of} at 95 %."]
    heights = tall["height_ratio"]
    places = listed(at(found, peak).removeprefix(f"{unit} ") for peak in tall["peak"][:_SHOWN])
    more = f" and {len(tall) - _SHOWN} more" if len(tall) > _SHOWN else ""
    first = (
        f"{count(len(tall), what)}{'' if found.kinds else ' above twice the course'}, highest at {unit} {places}{more}"
    )
    high = f"; {'height' if len(tall) == 1 else 'heights'} {_range(heights)} times the course"
    parts = [f"{first}{high}.", _often(found)]
    if found.ends_in_spike:
        parts.append("The last one is not over where the curve ends.")
    return [*parts, _regular(found)]


def _points(found: Measured) -> str:
    return "epochs" if found.curve.stride == 1 else "values"


def _range(values: pd.Series) -> str:
    low, high = float(values.min()), float(values.max())
    return number(low) if number(low) == number(high) else f"{number(low)} to {number(high)}"


def _often(found: Measured) -> str:
    told, curve = found.described, found.curve
    recovery = told["recovery"]
    back = ""
    if np.isfinite(recovery):
        after = _many(recovery * curve.stride)
        unit = curve.per if after == "1" else f"{curve.per}s"
        back = f" Back within 10 % of the course after {after} {unit} (median)."
    if curve.per == STEP:
        return f"That is {interval(told, 'per_1000_steps')} per 1,000 steps, within this run.{back}"
    # of epochs, whatever is known of their steps
    per = {name: 100 * told[name] for name in ("per_epoch", "per_epoch_low", "per_epoch_high")}
    return f"That is {interval(per, 'per_epoch')} per 100 epochs, within this run.{back}"


def _many(n: float) -> str:
    return f"{n:,.0f}" if n >= 1000 else number(n)


def _regular(found: Measured) -> str:
    told, n = found.described, len(found.tall)
    if n < 2:
        return "One says nothing of how they are spaced."
    typical = f"{_many(told['spacing'] * found.curve.stride)} {found.curve.per}s apart (median)"
    if n < _FEWEST_SPACED:
        return f"They are {typical}; fewer than {_FEWEST_SPACED} do not tell whether that is regular."
    p = told["regularity_p"]
    if p < ALPHA:
        varies = percent(told["spacing_cv"])
        return f"They are {typical}, more evenly than by chance: spacings vary by {varies} (p = {number(p)})."
    return f"They are {typical}; spikes placed at random are as evenly spaced (p = {number(p)})."


def _small_count(found: Measured) -> str:
    n = len(found.small)
    return f"{n} single high {'step' if n == 1 else 'steps'}" if found.kinds else count(n, "low rise")


def _small(found: Measured) -> list[str]:
    if found.small.empty:
        return []
    heights = _range(found.small["height_ratio"])
    if found.kinds:
        by_noise = len(found.curve.loss) * _FALSE_PER_STEP
        noise = f" Noise alone makes up to {count(by_noise, 'such step')}." if by_noise >= 1 else ""
        what = f"Besides {_small_count(found)} ({heights} times the course): hard batches, such as any optimizer has."
        return [what + noise]
    return [f"{'Besides ' if len(found.tall) else ''}{_small_count(found)}, of {heights} times the course."]


def _last_batch(found: Measured) -> list[str]:
    place = found.last_batch
    if place is not None and place.last and place.p < _TELLING_CHANCE:
        return [
            f"{place.last} of {place.singles} single high steps are the last of their epoch (p = {number(place.p)} by "
            "chance): suspect the last batch, which is smaller where the examples do not fill it."
        ]
    if (rest := left_over(found)) and len(found.spikes):
        n, batch = found.curve.examples, found.curve.batch_size
        return [
            f"{n:,.0f} examples in batches of {batch:g} leave a last batch of {rest:g}: if it is trained on, it is a "
            "suspect for rises."
        ]
    return []


def left_over(found: Measured) -> float:
    """Return the examples of a last batch that is less than a quarter full; 0 if it is fuller or not known."""
    curve = found.curve
    if not np.isfinite(curve.examples * curve.batch_size) or found.last_batch is not None:
        return 0.0
    rest = curve.examples % curve.batch_size
    return rest if rest < curve.batch_size / 4 else 0.0


def _lasting(found: Measured) -> list[str]:
    if np.isnan(found.lasting):
        return []
    return [f"From {at(found, found.lasting)} on the loss rises and does not come back: that is no spike."]


def _converged(found: Measured) -> Reply:
    end = found.end
    if found.diverged is not None:
        text = f"From {at(found, found.diverged)} to the end the loss is no number: it diverged, or the record is cut."
        return _reply(found, NO, text, "ends without a number")
    verdict = end["convergence"]
    change = f"{number(end['change_train'])} {bounds(end['change_train_low'], end['change_train_high'])} times"
    if verdict == "cannot say" and np.isnan(end["change_train"]):
        masked = f", {end['masked_late']} of them in spikes and their wakes" if end["masked_late"] else ""
        quarter = round(0.25 * len(found.course))
        text = f"The last quarter has {count(quarter, 'value')}{masked}: too few to judge."
        return _reply(found, CANNOT_SAY, text, "too few values to judge its end", "a longer training")
    text = f"Over the last quarter the training loss goes to {change} what it was, spikes aside."
    what = {
        "converged": (YES, "It has converged.", "converged"),
        STILL_FALLING: (NO, "It still falls.", "still falling"),
        "rising": (NO, "It rises.", "rising"),
    }.get(verdict, (CANNOT_SAY, "Whether it still falls cannot be told.", "cannot say whether it falls"))
    needs = "a longer training" if what[0] != YES else ""
    return _reply(found, what[0], f"{what[1]} {text}", what[2], needs)


def _overfitting(found: Measured) -> Reply:
    rise = found.overfitting
    if rise is None:
        text = "There is no validation loss, and without one nobody can tell."
        return _reply(found, CANNOT_SAY, text, "no validation loss", "a validation loss")
    if np.isnan(rise.ratio):
        aside = " outside of spikes and their wakes" if found.masked.any() else ""
        text = f"{count(rise.values, 'validation loss', 'validation losses')}{aside}: {FEWEST} are needed."
        return _reply(found, CANNOT_SAY, text, "too few validation losses", "more validation losses")
    best = at(found, rise.best * found.blocks)
    change = f"goes to {number(rise.ratio)} {bounds(rise.low, rise.high)} times what it is at its lowest, near {best}"
    if rise.verdict == "yes":
        falls = f"while the training loss falls to {number(rise.training)} times"
        return _reply(found, YES, f"The validation loss {change}, {falls}.", "overfits")
    if rise.verdict == "both rise":
        text = f"The validation loss {change}, but the training loss rises too: that is no overfitting."
        return _reply(found, NO, text, "validation and training loss both rise")
    if rise.verdict == "no":
        text = (
            "The validation loss is lowest at its end."
            if rise.low == rise.high
            else f"The validation loss {change}: no rise of 10 %."
        )
        return _reply(found, NO, text, "no overfitting seen")
    return _reply(found, CANNOT_SAY, f"The validation loss {change}: too uncertain to tell.", "overfitting open")


def _last(found: Measured) -> Reply:
    end = found.end
    ratio, held = found.last_over_late
    if found.diverged is not None:
        return _reply(found, YES, "It ends without a number: there is no model to use.", "no model at the end")
    if np.isnan(ratio):
        return _reply(found, CANNOT_SAY, "Too few values at the end to compare the last with.", "end not judged")
    loss = "validation loss" if held else "training loss"
    kind = "val" if held else "train"
    chance, low, high = (end[f"stop_chance_{kind}{suffix}"] for suffix in ("", "_low", "_high"))
    n = end["stop_late_epochs"]
    share = (
        f"Of {count(n, 'value')} of the last fifth, {end['stop_late_worse']:,} lie more than 10 % above their median: "
        f"{percent(chance)} {bounds(low, high, 100, ' %')}"
    )
    point = f"The last {loss} is {number(ratio)} times the median of the last fifth"
    if ratio > MATTERS or found.ends_in_spike:
        spike = ", in a spike that is not over" if found.ends_in_spike else ""
        return _reply(found, YES, f"{point}{spike}. {share}.", "ends at a bad point")
    return _reply(found, NO, f"{point}. {share}.", "ends at a usual point")
