"""The arms of replays in words, as figures name them; docs/replays.md says what each does."""

from __future__ import annotations

from collections.abc import Mapping

from quasarcurves.analysis.replays import AS_IT_IS

ARMS: Mapping[str, str] = {
    AS_IT_IS: "as it is",
    "step_x0.3": "learning rate x 0.3",
    "step_x0.5": "learning rate x 0.5",
    "step_x0.7": "learning rate x 0.7",
    "step_x1.4": "learning rate x 1.4",
    "v_x4": "v x 4",
    "v_held": "v held",
    "v_restarted": "optimizer restarted",
    "m_0": "m = 0",
    "amsgrad": "AMSGrad from here",
    "adam": "Adam from here",
    "batch_x0.5": "batch size x 0.5",
    "batch_x2": "batch size x 2",
    "batch_x4": "batch size x 4",
    "batch_all": "all {examples} in a batch",
    "norm_256": "normalised by 256 {examples}",
    "logits": "loss without its clip",
    "float64": "in float64",
    "worst_out": "10 worst {examples} left out",
    "random_out": "10 random {examples} left out",
    "re_dealt": "batches dealt out anew",
    "pushed": "weights pushed at random",
}


def in_words(arm: str, examples: str) -> str:
    """Return an arm of the study's file in words; one that is not known as it stands.

    Parameters
    ----------
    arm : str
    examples : str
        What several examples are called.
    """
    return ARMS[arm].format(examples=examples) if arm in ARMS else arm
