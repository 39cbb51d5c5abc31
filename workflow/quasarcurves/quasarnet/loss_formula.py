"""QuasarNET's loss as a formula: cross-entropy of the boxes, filled and empty ones weighted alike, and squared offsets.

Busca & Balland (2018), arXiv:1808.09955, equation 2, in the form of the code published with it. Written for any
library of arrays that names its functions as numpy does: `keras.ops` in training, numpy in evaluation.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

EPSILON = 1e-7


def line_losses(y_true: Any, y_pred: Any, library: ModuleType) -> Any:
    """Loss per spectrum and line.

    L = -sum(y log p)/(sum y + e) - sum((1-y) log(1-p))/(sum(1-y) + e) + sum(y (o-q)^2)/(sum y + e), with boxes y and p,
    offsets o and q, e = 1e-7; p and 1-p are each clipped to [e, 1-e] before the logarithm.

    Parameters
    ----------
    y_true, y_pred : (n, L, 2B) float32 arrays
        B boxes followed by B offsets.
    library : module
        numpy, or a library with functions of the same names.

    Returns
    -------
    (n, L) array
    """

    def total(values: Any) -> Any:
        return library.sum(values, axis=-1)

    def safe_log(values: Any) -> Any:
        return library.log(library.clip(values, EPSILON, 1.0 - EPSILON))

    y, o = library.split(y_true, 2, axis=-1)
    p, q = library.split(y_pred, 2, axis=-1)
    filled, empty = total(y) + EPSILON, total(1.0 - y) + EPSILON
    hits, misses = total(y * safe_log(p)) / filled, total((1.0 - y) * safe_log(1.0 - p)) / empty
    return total(y * library.square(o - q)) / filled - hits - misses
