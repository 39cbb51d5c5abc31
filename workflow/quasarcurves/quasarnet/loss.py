"""QuasarNET's loss: cross-entropy of the boxes, filled and empty ones weighted alike, and the offsets' squared error.

Busca & Balland (2018), arXiv:1808.09955, equation 2, in the form of the code published with it.
"""

from __future__ import annotations

from keras import ops

EPSILON = 1e-7


def quasarnet_loss(y_true: object, y_pred: object) -> object:
    """Loss per spectrum and line.

    L = -sum(y log p)/(sum y + e) - sum((1-y) log(1-p))/(sum(1-y) + e) + sum(y (o-q)^2)/(sum y + e), with boxes y and p,
    offsets o and q, e = 1e-7; p and 1-p are each clipped to [e, 1-e] before the logarithm.

    Parameters
    ----------
    y_true, y_pred : (n, L, 2B) float32 tensor
        B boxes followed by B offsets.

    Returns
    -------
    (n, L) float32 tensor
    """
    y_true, y_pred = ops.convert_to_tensor(y_true, "float32"), ops.convert_to_tensor(y_pred, "float32")
    y, o = ops.split(y_true, 2, axis=-1)
    p, q = ops.split(y_pred, 2, axis=-1)
    filled = ops.sum(y, axis=-1) + EPSILON
    empty = ops.sum(1.0 - y, axis=-1) + EPSILON
    hits = ops.sum(y * _safe_log(p), axis=-1) / filled
    misses = ops.sum((1.0 - y) * _safe_log(1.0 - p), axis=-1) / empty
    offsets = ops.sum(y * ops.square(o - q), axis=-1) / filled
    return offsets - hits - misses


def dense_targets(box: object, offset: object, boxes: int) -> object:
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


def weighted_line_losses(outputs: object, box: object, offset: object, weight: object) -> object:
    """Loss per spectrum and line against compact targets, times the sample weights; (n, L) float32 tensor."""
    return weight * quasarnet_loss(dense_targets(box, offset, outputs.shape[-1] // 2), outputs)


def _safe_log(p: object) -> object:
    return ops.log(ops.clip(p, EPSILON, 1.0 - EPSILON))
