"""The shapes of a network's layers, worked out without Keras."""

from __future__ import annotations

from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra.grid import N_BINS

KERNEL, STRIDE = 10, 2
"""Of the convolutions, in bins."""

MANY_CHANNELS = 48
"""With as many and more a training convolves by `toom_cook`. With fewer, matrices are so small that evaluating and
interpolating takes longer than it saves."""


def bins_after(layers: int, bins: int = N_BINS) -> list[int]:
    """Bins left by each convolution."""
    lengths = [bins]
    for _ in range(layers):
        lengths.append(-(-lengths[-1] // STRIDE) if layers > 4 else (lengths[-1] - KERNEL) // STRIDE + 1)
    return lengths[1:]


def kernel_shapes(network: NetworkSettings) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the kernels before the heads, by their layers."""
    filters, lengths = network.filters, bins_after(network.layers, network.wavelength_grid.n)
    shapes = {f"conv_{i}": (KERNEL, filters if i > 1 else 1, filters) for i in range(1, network.layers + 1)}
    return {**shapes, "fc_common": (lengths[-1] * filters, filters)}
