"""QuasarNET: a one-dimensional convolutional network with one head per line.

Busca & Balland (2018), arXiv:1808.09955, section 3. The heads, dense layers of `boxes` units each for the boxes and the
offsets of every line, are computed as one dense layer, which is several times faster and draws the same initial
weights; `head_slices` says which of its units belong to which head.
"""

from __future__ import annotations

import math

import keras

from quasarcurves.quasarnet.objective import OFFSET_SCALE, OFFSET_SHIFT
from quasarcurves.spectra.grid import N_BINS

KERNEL_WIDTH, STRIDE = 10, 2
HEADS = "heads"


def build(
    filters: int = 100,
    layers: int = 4,
    boxes: int = 13,
    n_lines: int = 7,
    dropout: float = 0.0,
    rescale_offsets: bool = True,
    convolution: type[keras.layers.Conv1D] = keras.layers.Conv1D,
    dense: type[keras.layers.Dense] = keras.layers.Dense,
    normalisation: type[keras.layers.BatchNormalization] = keras.layers.BatchNormalization,
    precision: str = "float32",
    bins: int = N_BINS,
    frozen: int = 0,
) -> keras.Model:
    """Build the network with fresh weights.

    Parameters
    ----------
    filters : int
        Filters of each convolution, units of the common layer.
    layers : int
        Number of convolutions. Up to four use no padding; more would run out of bins and use padding "same".
    boxes : int
        Boxes per line.
    n_lines : int
        Emission and BAL lines together.
    dropout : float
        Share of activations dropped after each convolution (the later fork uses 0.2).
    rescale_offsets : bool
        Without, the offsets reach from 0 to 1.
    convolution, dense, normalisation : type
        How convolutions, the common dense layer and the batch normalisations after them are computed.
    precision : str
        Keras's dtype policy of all layers but the heads, which stay in float32.
    bins : int
        Of the grid that spectra are on.
    frozen : int
        Layers, counted from the spectrum, that training leaves as they are: see `frozen_layers`.

    Returns
    -------
    keras.Model
        (n, bins, 1) float32 -> (n, n_lines, 2 * boxes) float32: box probabilities, then offsets in -0.1 to 1.1.
    """
    padding = padding_of(layers)
    x = spectrum = keras.Input((bins, 1), name="spectrum")
    for i in range(1, layers + 1):
        x = convolution(filters, KERNEL_WIDTH, STRIDE, padding, dtype=precision, name=f"conv_{i}")(x)
        x = normalisation(dtype=precision, name=f"norm_{i}")(x)
        x = keras.layers.ReLU(dtype=precision, name=f"relu_{i}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, dtype=precision, name=f"dropout_{i}")(x)
    x = keras.layers.Flatten(dtype=precision, name="flatten")(x)
    x = dense(filters, dtype=precision, name="fc_common")(x)
    x = normalisation(dtype=precision, name="norm_common")(x)
    x = keras.layers.ReLU(dtype=precision, name="relu_common")(x)
    x = keras.layers.Dense(2 * boxes * n_lines, kernel_initializer=_head_initializer(filters, boxes), name=HEADS)(x)
    x = keras.layers.Reshape((n_lines, 2 * boxes), name="lines")(x)
    x = keras.layers.Activation("sigmoid", name="sigmoid")(x)
    if rescale_offsets:
        scale = [1.0] * boxes + [OFFSET_SCALE] * boxes
        shift = [0.0] * boxes + [OFFSET_SHIFT] * boxes
        x = keras.layers.Rescaling(scale, shift, name="rescale")(x)
    model = keras.Model(spectrum, x, name="quasarnet")
    for name in frozen_layers(layers, frozen):
        model.get_layer(name).trainable = False
    return model


def frozen_layers(layers: int, frozen: int) -> list[str]:
    """Return the layers that keep their weights: the first of the convolutions and, last, the common layer.

    Each with its normalisation, which then uses the means and variances that it has: with those of the batch the
    layers after it would see other values than they were trained on.
    """
    parts = [*(str(i) for i in range(1, layers + 1)), "common"][:frozen]
    return [name for part in parts for name in (f"fc_{part}" if part == "common" else f"conv_{part}", f"norm_{part}")]


def build_logits(network: keras.Model) -> keras.Model:
    """Return a network with the same variables whose outputs are those before the sigmoid.

    Returns
    -------
    keras.Model
        (n, bins, 1) -> (n, n_lines, 2 * boxes): logits of the boxes, then of the offsets.
    """
    return keras.Model(network.input, network.get_layer("lines").output, name="quasarnet_logits")


def padding_of(layers: int) -> str:
    """Padding of each of that many convolutions: more than four would run out of bins without."""
    return "valid" if layers <= 4 else "same"


def head_slices(boxes: int, n_lines: int) -> tuple[list[slice], list[slice]]:
    """Units of the joint head layer that hold each line's boxes and each line's offsets."""
    starts = range(0, 2 * boxes * n_lines, 2 * boxes)
    return (
        [slice(start, start + boxes) for start in starts],
        [slice(start + boxes, start + 2 * boxes) for start in starts],
    )


def _head_initializer(filters: int, boxes: int) -> keras.initializers.Initializer:
    """Glorot uniform as each separate head would draw it: from its own fan-out, not the joint layer's."""
    limit = math.sqrt(6 / (filters + boxes))
    return keras.initializers.RandomUniform(-limit, limit)
