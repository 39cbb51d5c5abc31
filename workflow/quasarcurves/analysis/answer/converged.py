"""Has each model converged, and is the one that validation calls best the better one?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from quasarcurves.analysis.answer.replies import CANNOT_SAY, NO, YES, Reply, Study, bounds, count, listed, takes
from quasarcurves.analysis.wording import number

_BETTER, _WORSE = "best is better", "best is worse"
_BY = "completeness"
"""The metric that tells which of two models is the better one."""


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
    parts = [_PHRASES[str(each)].format(n=_of_all(int(k), n)) for each, k in verdicts.items()]
    middle = _middle(runs)
    change = (
        f"; over the last quarter the loss of the middle run goes to {number(middle['change_train'])} "
        f"{bounds(middle['change_train_low'], middle['change_train_high'])} times what it was"
        if middle is not None
        else "; no run is long enough to tell its change"
    )
    value, low, high = (np.nan if middle is None else middle[f"change_train{end}"] for end in ("", "_low", "_high"))
    stop, do = _stopping(study, name)
    short = f"{name}: {parts[0]}."
    training = runs[runs["convergence"].isin(["still falling", CANNOT_SAY])]
    return Reply(
        name,
        verdict,
        f"{name}: {listed(parts)}{change}. {stop}",
        short,
        value,
        low,
        high,
        do=do,
        needs=_needs(study, name, training),
    )


_PHRASES = {
    "converged": "the training loss of {n} has converged",
    "still falling": "the training loss of {n} still falls",
    "rising": "the training loss of {n} rises",
    CANNOT_SAY: "of {n} it cannot be said whether the training loss has converged",
    "diverged": "{n} diverged",
}


def _of_all(k: int, n: int) -> str:
    return f"{k} of {count(n, 'run')}"


def _middle(runs: pd.DataFrame) -> pd.Series | None:
    known = runs[np.isfinite(runs["change_train"])].sort_values("change_train")
    return None if known.empty else known.iloc[(len(known) - 1) // 2]


def _stopping(study: Study, name: str) -> tuple[str, str]:
    """Return which of the two models is the better one in how many runs, and what to do."""
    runs = study.of(study.runs, name)
    if runs["val_loss_lowest"].isna().all():
        return "No run has a validation loss, so no model was kept as the best.", ""
    rows = study.of(study.stopping, name)
    rows = rows[rows["metric"] == _BY]
    n, worse, better = len(rows), int((rows["verdict"] == _WORSE).sum()), int((rows["verdict"] == _BETTER).sum())
    if not worse + better:
        return f"Whether the model that validation calls best has another {_BY} than the last cannot be said.", ""
    told = (
        f"the model that validation calls best has worse {_BY} in {worse} and better {_BY} in {better} "
        f"of {count(n, 'run')}"
    )
    if worse > n / 2:
        return f"Use the last model: {told}.", f"use the last model of {name}"
    if better > n / 2:
        return (
            f"Use the model that validation calls best: {told}.",
            f"use the model of {name} that validation calls best",
        )
    return f"Neither is surely the better model: {told}.", ""


def _needs(study: Study, name: str, training: pd.DataFrame) -> str:
    if training.empty:
        return ""
    keys = ["fraction", "replicate", "optimizer"]
    seconds = training[keys].merge(study.runs, on=keys)["seconds"].sum(min_count=1)
    return f"twice the training of {count(len(training), 'run')} of {name}{takes(2 * seconds)}"
