"""Arrays where the compiled loop finds them, held once."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

_ALIGNMENT = 64
"""Bytes; TensorFlow reckons with memory that starts at a multiple of this."""


def resident(array: np.ndarray) -> tf.Tensor:
    """Put an array on the device, without a copy where that is the CPU and the array is aligned and contiguous.

    `tf.constant` always copies. The tensor keeps the array's memory, which must not be changed any more.
    """
    if array.ctypes.data % _ALIGNMENT or not array.flags.c_contiguous or not array.flags.writeable:
        return tf.constant(array)
    # identity: where there is a GPU the tensor moves there, else it stays the same memory
    return tf.identity(tf.experimental.dlpack.from_dlpack(array.__dlpack__()))
