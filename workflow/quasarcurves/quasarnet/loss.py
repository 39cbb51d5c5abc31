"""QuasarNET's loss as it is trained with: the formula on tensors of Keras, and its targets made batch by batch."""

from __future__ import annotations

from typing import Any

from keras import ops

from quasarcurves.quasarnet.loss_formula import EPSILON, line_losses
from quasarcurves.quasarnet.objective import OFFSET_SCALE, OFFSET_SHIFT


def quasarnet_loss(y_true: Any, y_pred: Any) -> Any:
    """Loss per spectrum and line: `loss_formula.line_losses`.

    Parameters
    ----------
    y_true, y_pred : (n, L, 2B) float32 tensor
        B boxes followed by B offsets.

    Returns
    -------
    (n, L) float32 tensor
    """
    return line_losses(ops.convert_to_tensor(y_true, "float32"), ops.convert_to_tensor(y_pred, "float32"), ops)


def dense_targets(box: Any, offset: Any, boxes: int) -> Any:
    """Dense targets of a batch from box numbers and offsets, as `objective.encode` gives them.

    Parameters
    ----------
    box : (n, L) integer tensor
        -1 where there is none.
    offset : (n, L) float32 tensor
    boxes : int

    Returns
    -------
    (n, L, 2 * boxes) float32 tensor
    """
    one_hot = ops.one_hot(ops.cast(box, "int32"), boxes, dtype="float32")
    return ops.concatenate([one_hot, one_hot * ops.expand_dims(offset, -1)], axis=-1)


def weighted_line_losses(outputs: Any, box: Any, offset: Any, weight: Any) -> Any:
    """Loss per spectrum and line against compact targets, times the sample weights; (n, L) float32 tensor."""
    return weight * quasarnet_loss(dense_targets(box, offset, outputs.shape[-1] // 2), outputs)


def clipped_share(outputs: Any, box: Any, offset: Any, weight: Any) -> Any:
    """Share of the boxes beyond the clip of the loss's logarithms, where the gradient is exactly 0.

    Parameters
    ----------
    outputs : (n, L, 2B) float32 tensor
        B boxes followed by B offsets.
    box, offset, weight : (n, L) tensors
        Targets; lines of weight 0 do not count.

    Returns
    -------
    scalar float32 tensor
        NaN if no line counts.
    """
    boxes, _ = ops.split(ops.convert_to_tensor(outputs, "float32"), 2, axis=-1)
    beyond = ops.cast((boxes < EPSILON) | (boxes > 1.0 - EPSILON), "float32")
    counts = ops.cast(ops.convert_to_tensor(weight) > 0, "float32")
    return ops.sum(ops.mean(beyond, axis=-1) * counts) / ops.sum(counts)


def unclipped_line_losses(y_true: Any, logits: Any) -> Any:
    """Loss per spectrum and line from logits: `loss_formula.line_losses` in exact arithmetic, without its clip.

    Parameters
    ----------
    y_true : (n, L, 2B) float32 tensor
        B boxes followed by B offsets.
    logits : (n, L, 2B) float32 tensor
        Outputs before the sigmoid.

    Returns
    -------
    (n, L) float32 tensor
    """
    y, o = ops.split(y_true, 2, axis=-1)
    boxes, offsets = ops.split(logits, 2, axis=-1)
    q = OFFSET_SCALE * ops.sigmoid(offsets) + OFFSET_SHIFT
    filled, empty = ops.sum(y, axis=-1) + EPSILON, ops.sum(1.0 - y, axis=-1) + EPSILON
    hits = ops.sum(y * ops.log_sigmoid(boxes), axis=-1) / filled
    misses = ops.sum((1.0 - y) * ops.log_sigmoid(-boxes), axis=-1) / empty
    return ops.sum(y * ops.square(o - q), axis=-1) / filled - hits - misses
