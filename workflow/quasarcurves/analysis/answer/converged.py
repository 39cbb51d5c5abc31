"""Has each model converged, and is the one that validation calls best the better one?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from quasarcurves.analysis.answer.replies import CANNOT_SAY, NO, YES, Reply, Study, bounds, count, listed, takes
from quasarcurves.analysis.metrics.description import LOSS
from quasarcurves.analysis.wording import number

_BETTER, _WORSE = "best is better", "best is worse"


def answers(study: Study) -> list[Reply]:
    """Return for each optimizer how many runs have converged.

    `yes` if all have, `no` if one has not or diverged, else `cannot say`. The estimate is the change of the training
    loss over the last quarter, with its interval, of the run in the middle.
    """
    return [_of(study, name) for name in study.optimizers]


def _of(study: Study, name: str) -> Reply:
    runs = study.of(study.convergence, name)
    n, verdicts = len(runs), runs["convergence"].value_counts()
    if not n:
        return Reply(name, CANNOT_SAY, f"Of {name} no run was judged.", f"Of {name} no run was judged.")
    known = verdicts.drop(CANNOT_SAY, errors="ignore")
    done = int(verdicts.get("converged", 0))
    verdict = YES if done == n else NO if known.sum() > done else CANNOT_SAY
    middle = _middle(runs)
    change = (
        f"; over the last quarter the loss of the middle run goes to {number(middle['change_train'])} "
        f"{bounds(middle['change_train_low'], middle['change_train_high'])} times what it was"
        if middle is not None
        else "; how much it changes over the last quarter is not known"
    )
    value, low, high = (np.nan if middle is None else middle[f"change_train{end}"] for end in ("", "_low", "_high"))
    stop, do = _stopping(study, name)
    stop = " ".join([*_late_stops(runs), stop])
    training = runs[runs["convergence"].isin(["still falling", CANNOT_SAY])]
    return Reply(
        name,
        verdict,
        f"{name}: {judged(runs)}{change}. {stop}",
        f"{name}: {judged(runs)}.",
        value,
        low,
        high,
        do=do,
        needs=_needs(study, name, training),
    )


_PHRASES = {
    "converged": "has converged in",
    "still falling": "still falls in",
    "rising": "rises in",
    CANNOT_SAY: "cannot be judged in",
    "diverged": "diverged in",
}


def judged(runs: pd.DataFrame) -> str:
    """Write how many of some runs have each verdict, the most frequent first."""
    counts = runs["convergence"].value_counts()
    return (
        f"of {count(len(runs), 'run')} the training loss {listed(f'{_PHRASES[str(v)]} {k}' for v, k in counts.items())}"
    )


def _middle(runs: pd.DataFrame) -> pd.Series | None:
    known = runs[np.isfinite(runs["change_train"])].sort_values("change_train")
    return None if known.empty else known.iloc[(len(known) - 1) // 2]


def _late_stops(runs: pd.DataFrame) -> Iterator[str]:
    """Say how many of the late epochs are bad ones to stop at."""
    runs = runs[runs["stop_late_epochs"] > 0]
    if runs.empty:
        return
    worse, epochs = (int(runs[f"stop_late_{what}"].sum()) for what in ("worse", "epochs"))
    validated = runs["validations_late"] > 0
    loss = "validation loss" if validated.all() else "loss" if validated.any() else "training loss"
    yield (
        f"Of {count(epochs, 'late epoch')}, {worse:,} would be bad to stop at, with a {loss} more than 10 % above "
        "their run's median there."
    )


def _stopping(study: Study, name: str) -> tuple[str, str]:
    """Return which of the two models is the better one in how many runs, and what to do."""
    runs = study.of(study.runs, name)
    if runs["val_loss_lowest"].isna().all():
        return "No run has a validation loss, so no model was kept as the best.", ""
    rows = study.of(study.stopping, name)
    # the metric that tells which of two models is the better one
    by = next(iter(study.description.judges(study.stopping["metric"])), LOSS)
    rows = rows[rows["metric"] == by]
    words = study.description.metric(by).words
    n, worse, better = len(rows), int((rows["verdict"] == _WORSE).sum()), int((rows["verdict"] == _BETTER).sum())
    if not worse + better:
        return f"Whether the model that validation calls best has another {words} than the last cannot be said.", ""
    told = (
        f"the model that validation calls best has worse {words} in {worse} and better {words} in {better} "
        f"of {count(n, 'run')}"
    )
    if worse > n / 2:
        return f"Use the last model: {told}.", "use the last model, not the one that validation calls best"
    if better > n / 2:
        return (
            f"Use the model that validation calls best: {told}.",
            "use the model that validation calls best",
        )
    return f"Neither is surely the better model: {told}.", ""


def _needs(study: Study, name: str, training: pd.DataFrame) -> str:
    if training.empty:
        return ""
    keys = ["fraction", "replicate", "optimizer"]
    seconds = training[keys].merge(study.runs, on=keys)["seconds"].sum(min_count=1)
    return f"twice the training of {count(len(training), 'run')} of {name}{takes(2 * seconds)}"
