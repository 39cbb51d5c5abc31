"""All parameters of a network as one row, and quantiles over a fixed random sample of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

_SIZE, _SEED = 512, 20260101
"""Parameters in the sample (all, if there are fewer), and the seed they are drawn with."""


def flat(tensors: Sequence[Any]) -> Any:
    """Return the elements of all tensors or variables, one after the other; (n_parameters,)."""
    rows = [tensor if len(tensor.shape) == 1 else ops.reshape(tensor, [-1]) for tensor in tensors]
    return ops.concatenate(rows)


def cut(row: Any, sizes: Sequence[int]) -> list[Any]:
    """Cut a row, (sum of sizes,), into pieces of some sizes."""
    return ops.split(row, np.cumsum(sizes)[:-1].tolist()) if len(sizes) > 1 else [row]


def like(row: Any, tensors: Sequence[Any]) -> list[Any]:
    """Cut a row into tensors of the shapes of `tensors`."""
    parts = cut(row, [size(tensor) for tensor in tensors])
    return [ops.reshape(part, tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def size(tensor: Any) -> int:
    """Return the number of elements of a tensor or variable."""
    return math.prod(tensor.shape)


def quantiles(row: Any, percents: Sequence[int]) -> Any:
    """Return quantiles over a sample of the parameters, linear between the two nearest values.

    Parameters
    ----------
    row : (n_parameters,) float32 tensor
        A number per parameter. Which parameters are sampled depends on the length alone.
    percents : sequence of int

    Returns
    -------
    (percents,) tensor
    """
    n = row.shape[0]
    rows = np.arange(n) if n <= _SIZE else np.random.default_rng(_SEED).choice(n, _SIZE, replace=False)
    sample = ops.take(row, np.sort(rows).astype(np.int32))
    falling = ops.top_k(sample, len(rows))[0]
    # quantiles are linear in the sorted sample: one product for all
    return ops.matmul(_interpolation(len(rows), percents), falling)


def _interpolation(n: int, percents: Sequence[int]) -> np.ndarray:
    """Return the weights that make quantiles of n values in falling order; (percents, n) float32."""
    weights = np.zeros((len(percents), n), np.float32)
    for row, percent in zip(weights, percents, strict=True):
        low, share = divmod((1 - percent / 100) * (n - 1), 1)
        row[int(low)] += 1 - share
        row[min(int(low) + 1, n - 1)] += share
    return weights
